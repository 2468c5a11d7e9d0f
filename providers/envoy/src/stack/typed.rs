//! `google.protobuf.Any`, as far as Portico puts messages into one: as text, the message with its type under `@type`.

use super::cluster::UpstreamProtocolOptions;
use super::http::{
    CookieBasedSessionState, Cors, CorsPolicy, ExtAuthz, ExtAuthzPerRoute, HeaderBasedSessionState, HttpConnectionManager, Router,
    StatefulSession, StatefulSessionPerRoute,
};
use super::listener::{FileAccessLog, ProxyProtocol, TcpProxy, TlsInspector, UdpProxyConfig, UdpRoute};
use super::matcher::{RuntimeFraction, SourcePortInput};
use super::route::PreviousHostsPredicate;
use super::tls::{DownstreamTlsContext, UpstreamTlsContext};
use prost::bytes::{Buf, BufMut};
use prost::encoding::{self, DecodeContext, WireType};
use prost::{DecodeError, Message};
use serde::{Deserialize, Serialize};

macro_rules! typed {
    ($($variant:ident = $url:literal),+ $(,)?) => {
        /// A message of one of the types that Envoy's extensions are configured by.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "@type")]
        pub enum TypedConfig {
            $(
                #[doc = concat!("`", $url, "`.")]
                #[serde(rename = $url)]
                $variant(Box<$variant>),
            )+
        }

        $(
            impl From<$variant> for TypedConfig {
                fn from(message: $variant) -> Self {
                    Self::$variant(Box::new(message))
                }
            }
        )+

        impl TypedConfig {
            /// URL of the message's type.
            pub fn type_url(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $url,)+
                }
            }

            /// An empty message of a type.
            fn of(type_url: &str) -> Result<Self, DecodeError> {
                match type_url {
                    $($url => Ok($variant::default().into()),)+
                    other => Err(DecodeError::new_unexpected_type_url(other, "a type that Portico uses")),
                }
            }

            fn value(&self) -> Vec<u8> {
                match self {
                    $(Self::$variant(message) => message.encode_to_vec(),)+
                }
            }

            fn value_len(&self) -> usize {
                match self {
                    $(Self::$variant(message) => message.encoded_len(),)+
                }
            }

            fn merge_value(&mut self, value: &[u8]) -> Result<(), DecodeError> {
                match self {
                    $(Self::$variant(message) => message.merge(value),)+
                }
            }
        }
    };
}

typed! {
    Router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
    HttpConnectionManager = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
    Cors = "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors",
    CorsPolicy = "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy",
    StatefulSession = "type.googleapis.com/envoy.extensions.filters.http.stateful_session.v3.StatefulSession",
    StatefulSessionPerRoute = "type.googleapis.com/envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute",
    CookieBasedSessionState = "type.googleapis.com/envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState",
    HeaderBasedSessionState = "type.googleapis.com/envoy.extensions.http.stateful_session.header.v3.HeaderBasedSessionState",
    ExtAuthz = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
    ExtAuthzPerRoute = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute",
    TcpProxy = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
    UdpProxyConfig = "type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig",
    UdpRoute = "type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.Route",
    RuntimeFraction = "type.googleapis.com/envoy.extensions.matching.input_matchers.runtime_fraction.v3.RuntimeFraction",
    SourcePortInput = "type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.SourcePortInput",
    TlsInspector = "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
    ProxyProtocol = "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol",
    FileAccessLog = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
    PreviousHostsPredicate = "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
    DownstreamTlsContext = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
    UpstreamTlsContext = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
    UpstreamProtocolOptions = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
}

const TYPE_URL: u32 = 1;
const VALUE: u32 = 2;

impl Default for TypedConfig {
    fn default() -> Self {
        Router::default().into()
    }
}

impl Message for TypedConfig {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        encoding::string::encode(TYPE_URL, &self.type_url().to_owned(), buf);
        encoding::bytes::encode(VALUE, &self.value(), buf);
    }

    /// The type comes before the value in everything that is encoded canonically.
    fn merge_field(&mut self, tag: u32, wire_type: WireType, buf: &mut impl Buf, ctx: DecodeContext) -> Result<(), DecodeError> {
        match tag {
            TYPE_URL => {
                let mut url = String::new();
                encoding::string::merge(wire_type, &mut url, buf, ctx)?;
                *self = Self::of(&url)?;
                Ok(())
            }
            VALUE => {
                let mut value = Vec::new();
                encoding::bytes::merge(wire_type, &mut value, buf, ctx)?;
                self.merge_value(&value)
            }
            _ => encoding::skip_field(wire_type, tag, buf, ctx),
        }
    }

    fn encoded_len(&self) -> usize {
        let value = self.value_len();
        encoding::string::encoded_len(TYPE_URL, &self.type_url().to_owned())
            + encoding::key_len(VALUE)
            + encoding::encoded_len_varint(value as u64)
            + value
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_both_forms() {
        let tls = DownstreamTlsContext { require_client_certificate: Some(true), ..DownstreamTlsContext::default() };
        for config in [TypedConfig::from(tls), TypedConfig::from(TcpProxy { cluster: Some("a".into()), ..TcpProxy::default() })] {
            let bytes = config.encode_to_vec();
            assert_eq!(bytes.len(), config.encoded_len());
            assert_eq!(TypedConfig::decode(bytes.as_slice()).unwrap(), config);
            let text = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<TypedConfig>(&text).unwrap(), config, "{text}");
        }
    }
}
