//! Route configurations in the two forms that proxies take: with their virtual hosts in them, or as a frame whose virtual hosts come by themselves.
//!
//! What is published is the frame and each virtual host. The other form is put together from these: in protobuf, messages that are appended to a message are its members.

use crate::discovery::Node;
use crate::resource::Resource;
use crate::stream::Mode;
use portico_envoy::observed::Version;
use portico_envoy::stack::RouteConfiguration;
use portico_envoy::stack::core::ConfigSource;
use portico_envoy::stack::route::Vhds;
use prost::Message;
use prost::bytes::{Bytes, BytesMut};
use prost::encoding::{self, WireType};
use std::sync::Arc;

/// `virtual_hosts` of a route configuration.
const VIRTUAL_HOSTS: u32 = 2;
/// The first Envoy that is told of virtual hosts by themselves. Earlier ones refuse to be, over the aggregated stream, or publish routes before they have them.
const DISCOVERS: (u32, u32) = (1, 40);

/// Where a proxy takes virtual hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hosts {
    /// In their route configuration: one that changes costs all of them.
    Within,
    /// By themselves (VHDS): one that changes costs itself.
    Apart,
}

impl Hosts {
    /// What a proxy can do, by what it says of itself. Virtual hosts are discovered in the incremental form of the protocol only.
    pub fn of(mode: Mode, node: &Node) -> Self {
        let version = node.user_agent_build_version.as_ref().and_then(|it| it.version.as_ref());
        let recent = version.is_some_and(|it| (it.major_number, it.minor_number) >= DISCOVERS);
        if mode == Mode::Delta && node.user_agent_name == "envoy" && recent { Self::Apart } else { Self::Within }
    }
}

/// A route configuration without its virtual hosts, which come by the same stream.
pub(crate) fn frame(routes: &RouteConfiguration) -> Bytes {
    let vhds = Some(Vhds { config_source: Some(ConfigSource::aggregated()) });
    RouteConfiguration { vhds, ..routes.frame() }.encode_to_vec().into()
}

/// A frame with its virtual hosts in it.
pub(crate) fn whole<'a>(frame: &Resource, hosts: impl Iterator<Item = &'a Arc<Resource>>) -> Resource {
    // It was encoded here.
    let routes = RouteConfiguration::decode(frame.body.as_ref()).unwrap_or_default();
    let mut body = BytesMut::from(RouteConfiguration { vhds: None, ..routes }.encode_to_vec().as_slice());
    for host in hosts {
        encoding::encode_key(VIRTUAL_HOSTS, WireType::LengthDelimited, &mut body);
        encoding::encode_varint(host.body.len() as u64, &mut body);
        body.extend_from_slice(&host.body);
    }
    let body = body.freeze();
    Resource { key: frame.key.clone(), version: Version::of(&body), unit: frame.unit.clone(), body, needs: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::{BuildVersion, SemanticVersion};
    use portico_crds::NamespacedName;
    use portico_envoy::observed::{ResourceKey, ResourceKind};
    use portico_envoy::stack::VirtualHost;
    use portico_providers::UnitId;

    fn resource(kind: ResourceKind, name: &str, body: Bytes) -> Arc<Resource> {
        let key = ResourceKey { kind, name: name.to_owned() };
        let unit = UnitId::Gateway(NamespacedName::new("infra", "web"));
        Arc::new(Resource { key, version: Version::of(&body), unit, body, needs: Vec::new() })
    }

    #[test]
    fn a_frame_with_its_hosts_is_what_the_stack_says() {
        let host = |name: &str| VirtualHost { name: format!("r/{name}"), domains: vec![name.to_owned()], ..VirtualHost::default() };
        let routes = RouteConfiguration {
            name: "r".to_owned(),
            virtual_hosts: vec![host("a.example.com"), host("b.example.com")],
            ignore_port_in_host_matching: true,
            ..RouteConfiguration::default()
        };
        let frame = resource(ResourceKind::RouteConfiguration, "r", frame(&routes));
        let told = RouteConfiguration::decode(frame.body.as_ref()).unwrap();
        assert!(told.virtual_hosts.is_empty() && told.vhds.is_some() && told.ignore_port_in_host_matching);
        let encoded = |host: &VirtualHost| resource(ResourceKind::VirtualHost, &host.name, host.encode_to_vec().into());
        let hosts: Vec<_> = routes.virtual_hosts.iter().map(encoded).collect();
        let whole = whole(&frame, hosts.iter());
        assert_eq!(RouteConfiguration::decode(whole.body.as_ref()).unwrap(), routes);
        assert_eq!(whole.key, frame.key);
    }

    #[test]
    fn who_takes_virtual_hosts_by_themselves() {
        let node = |name: &str, minor_number: u32| Node {
            user_agent_name: name.to_owned(),
            user_agent_build_version: Some(BuildVersion { version: Some(SemanticVersion { major_number: 1, minor_number, patch: 0 }) }),
            ..Node::default()
        };
        assert_eq!(Hosts::of(Mode::Delta, &node("envoy", 40)), Hosts::Apart);
        for (mode, node) in [
            (Mode::StateOfTheWorld, node("envoy", 40)),
            (Mode::Delta, node("envoy", 39)),
            (Mode::Delta, node("gRPC C-core", 99)),
            (Mode::Delta, Node::default()),
        ] {
            assert_eq!(Hosts::of(mode, &node), Hosts::Within, "{mode:?} {node:?}");
        }
    }
}
