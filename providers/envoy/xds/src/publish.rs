//! From a stack's changes to resources: encoding, and the bytes of secrets.

use crate::resource::Resource;
use crate::routes;
use crate::store::Publication;
use portico_envoy::observed::{ResourceKey, ResourceKind, Version};
use portico_envoy::stack::core::TransportSocket;
use portico_envoy::stack::{Cluster, SecretMaterial, SecretSource, VirtualHost};
use portico_envoy::{Operation, Stack};
use portico_providers::{Change, ProviderError, Secrets};
use prost::Message;
use prost::bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use zeroize::Zeroizing;

/// What the changes come to.
///
/// # Errors
/// [`ProviderError::NotReady`] or [`ProviderError::Transient`] if a secret cannot be read: nothing is published then.
pub(crate) async fn publication(
    stack: &Stack,
    changes: &[Change<Operation>],
    secrets: Option<&Arc<dyn Secrets>>,
) -> Result<Publication, ProviderError> {
    let index = Index::of(stack);
    let mut publication = Publication { identification: stack.identification, ..Publication::default() };
    for change in changes {
        match &change.operation {
            Operation::Withdraw(key) => publication.withdrawals.push(key.clone()),
            Operation::Identify(_) => publication.identify = true,
            Operation::Publish(key) => {
                let Some(Encoded { body, needs, version: in_stack }) = encode(&index, key, secrets).await? else { continue };
                let version = Version::of(&body);
                let in_stack = in_stack.unwrap_or_else(|| version.clone());
                let resource = Resource { key: key.clone(), version, unit: stack.unit.clone(), body, needs };
                publication.upserts.push((in_stack, Arc::new(resource)));
            }
        }
    }
    Ok(publication)
}

/// The resources of a stack by name.
struct Index<'a> {
    stack: &'a Stack,
    hosts: BTreeMap<&'a str, &'a VirtualHost>,
    clusters: BTreeMap<&'a str, &'a Cluster>,
    secrets: BTreeMap<&'a str, &'a SecretSource>,
}

impl<'a> Index<'a> {
    fn of(stack: &'a Stack) -> Self {
        Self {
            stack,
            hosts: stack.route_configurations.iter().flat_map(|it| &it.virtual_hosts).map(|it| (it.name.as_str(), it)).collect(),
            clusters: stack.clusters.iter().map(|it| (it.name.as_str(), it)).collect(),
            secrets: stack.secrets.iter().map(|it| (it.name.as_str(), it)).collect(),
        }
    }
}

/// A resource as proxies are told of it.
struct Encoded {
    body: Bytes,
    needs: Vec<ResourceKey>,
    /// Its version in the stack, where proxies are told another text than the stack holds.
    version: Option<Version>,
}

impl Encoded {
    fn plain(message: &impl Message) -> Self {
        Self { body: message.encode_to_vec().into(), needs: Vec::new(), version: None }
    }
}

async fn encode(index: &Index<'_>, key: &ResourceKey, secrets: Option<&Arc<dyn Secrets>>) -> Result<Option<Encoded>, ProviderError> {
    let name = key.name.as_str();
    let stack = index.stack;
    Ok(match key.kind {
        ResourceKind::Listener => stack.listeners.iter().find(|it| it.name == name).map(Encoded::plain),
        ResourceKind::RouteConfiguration => stack.route_configurations.iter().find(|it| it.name == name).map(|it| Encoded {
            body: routes::frame(it),
            needs: Vec::new(),
            version: Some(it.version()),
        }),
        ResourceKind::VirtualHost => index.hosts.get(name).map(|it| Encoded::plain(*it)),
        ResourceKind::Cluster => index.clusters.get(name).map(|it| Encoded { needs: needs(it), ..Encoded::plain(*it) }),
        ResourceKind::Secret => match index.secrets.get(name) {
            Some(source) => Some(Encoded { body: secret(source, secrets).await?, needs: Vec::new(), version: Some(source.version()) }),
            None => None,
        },
        ResourceKind::ClusterLoadAssignment => None,
    })
}

/// What a cluster cannot do without.
fn needs(cluster: &Cluster) -> Vec<ResourceKey> {
    let endpoints = ResourceKey { kind: ResourceKind::ClusterLoadAssignment, name: cluster.name.clone() };
    let secrets = cluster.transport_socket.iter().flat_map(TransportSocket::secret_names);
    let secrets = secrets.map(|name| ResourceKey { kind: ResourceKind::Secret, name: name.to_owned() });
    std::iter::once(endpoints).chain(secrets).collect()
}

/// Reads what a secret holds, and encodes it.
async fn secret(source: &SecretSource, secrets: Option<&Arc<dyn Secrets>>) -> Result<Bytes, ProviderError> {
    let secrets = secrets.ok_or_else(|| ProviderError::NotReady { message: "nothing reads Secrets yet".to_owned() })?;
    let mut message = SecretMessage { name: source.name.clone(), ..SecretMessage::default() };
    match &source.material {
        SecretMaterial::TlsCertificate { secret, .. } => {
            let material = secrets.tls(secret).await?;
            let chain = format!("{}{}", material.certificate, material.chain);
            message.tls_certificate =
                Some(TlsCertificate { certificate_chain: inline(chain), private_key: inline(material.key.to_string()) });
        }
        SecretMaterial::ValidationContext { bundles } => {
            let mut text = String::new();
            for bundle in bundles {
                text.push_str(&secrets.ca_bundle(&bundle.source).await?);
                text.push('\n');
            }
            message.validation_context = Some(ValidationContext { trusted_ca: inline(text) });
        }
    }
    let bytes = Bytes::from(message.encode_to_vec());
    if let Some(key) = message.tls_certificate.and_then(|it| it.private_key).and_then(|it| it.inline_string) {
        drop(Zeroizing::new(key));
    }
    Ok(bytes)
}

fn inline(text: String) -> Option<Inline> {
    Some(Inline { inline_string: Some(text) })
}

// The messages that hold keys. They are no part of the stack, and are not shown.

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct SecretMessage {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    tls_certificate: Option<TlsCertificate>,
    #[prost(message, optional, tag = "4")]
    validation_context: Option<ValidationContext>,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct TlsCertificate {
    #[prost(message, optional, tag = "1")]
    certificate_chain: Option<Inline>,
    #[prost(message, optional, tag = "2")]
    private_key: Option<Inline>,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct ValidationContext {
    #[prost(message, optional, tag = "1")]
    trusted_ca: Option<Inline>,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct Inline {
    #[prost(string, optional, tag = "3")]
    inline_string: Option<String>,
}
