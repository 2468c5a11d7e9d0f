//! What all resources are made of: `envoy.config.core.v3` and `envoy.type`.

use super::message::{enumeration, message};
use super::tls::CommonTlsContext;
use super::typed::TypedConfig;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

message! {
    /// `envoy.config.core.v3.Address`.
    Address {
        socket_address: message SocketAddress = "1",
    }
}

message! {
    /// `envoy.config.core.v3.SocketAddress`.
    SocketAddress {
        protocol: enumeration Protocol "Protocol" = "1",
        address: string = "2",
        port_value: optional_uint32 = "3",
        ipv4_compat: bool = "6",
    }
}

enumeration! {
    /// `envoy.config.core.v3.SocketAddress.Protocol`.
    Protocol {
        /// TCP.
        Tcp = 0 "TCP",
        /// UDP.
        Udp = 1 "UDP",
    }
}

message! {
    /// `envoy.config.core.v3.ConfigSource`: always the aggregated stream.
    ConfigSource {
        ads: message AggregatedConfigSource = "3",
        initial_fetch_timeout: message Duration = "4",
        resource_api_version: enumeration ApiVersion "ApiVersion" = "6",
    }
}

impl ConfigSource {
    /// The stream that brings a resource brings what it refers to.
    pub fn aggregated() -> Self {
        Self {
            ads: Some(AggregatedConfigSource {}),
            // Envoy goes on without what does not come; Portico sends everything that it names.
            initial_fetch_timeout: Some(Duration::seconds(30)),
            resource_api_version: ApiVersion::V3.into(),
        }
    }
}

message! {
    /// `envoy.config.core.v3.AggregatedConfigSource`.
    AggregatedConfigSource {}
}

enumeration! {
    /// `envoy.config.core.v3.ApiVersion`.
    ApiVersion {
        /// Not said.
        Auto = 0 "AUTO",
        /// The one that there is.
        V3 = 2 "V3",
    }
}

message! {
    /// `envoy.config.core.v3.HeaderValue`.
    HeaderValue {
        key: string = "1",
        value: string = "2",
    }
}

message! {
    /// `envoy.config.core.v3.HeaderValueOption`.
    HeaderValueOption {
        header: message HeaderValue = "1",
        append_action: enumeration HeaderAppendAction "HeaderAppendAction" = "3",
        keep_empty_value: bool = "4",
    }
}

enumeration! {
    /// `envoy.config.core.v3.HeaderValueOption.HeaderAppendAction`.
    HeaderAppendAction {
        /// Adds a value.
        Append = 0 "APPEND_IF_EXISTS_OR_ADD",
        /// Adds a value where there is none.
        AddIfAbsent = 1 "ADD_IF_ABSENT",
        /// Replaces all values.
        Overwrite = 2 "OVERWRITE_IF_EXISTS_OR_ADD",
    }
}

message! {
    /// `envoy.config.core.v3.RuntimeFractionalPercent`.
    RuntimeFractionalPercent {
        default_value: message FractionalPercent = "1",
        runtime_key: string = "2",
    }
}

message! {
    /// `envoy.type.v3.FractionalPercent`.
    FractionalPercent {
        numerator: uint32 = "1",
        denominator: enumeration DenominatorType "DenominatorType" = "2",
    }
}

enumeration! {
    /// `envoy.type.v3.FractionalPercent.DenominatorType`.
    DenominatorType {
        /// Percent.
        Hundred = 0 "HUNDRED",
        /// Hundredths of a percent.
        TenThousand = 1 "TEN_THOUSAND",
        /// Millionths.
        Million = 2 "MILLION",
    }
}

message! {
    /// `envoy.type.v3.Percent`. Only 0 is ever said, which needs no field.
    Percent {}
}

message! {
    /// `envoy.config.core.v3.DataSource`.
    DataSource {
        filename: optional_string = "1",
        inline_string: optional_string = "3",
    }
}

message! {
    /// `envoy.config.core.v3.SubstitutionFormatString`.
    SubstitutionFormatString {
        text_format_source: message DataSource = "5",
    }
}

message! {
    /// `envoy.config.core.v3.TypedExtensionConfig`, and `xds.core.v3.TypedExtensionConfig`, which has the same fields.
    TypedExtensionConfig {
        name: string = "1",
        typed_config: message TypedConfig = "2",
    }
}

message! {
    /// `envoy.config.core.v3.TransportSocket`.
    TransportSocket {
        name: string = "1",
        typed_config: message TypedConfig = "3",
    }
}

impl TransportSocket {
    /// The names of the secrets that it refers to.
    pub fn secret_names(&self) -> impl Iterator<Item = &str> {
        let common = match &self.typed_config {
            Some(TypedConfig::DownstreamTlsContext(context)) => context.common_tls_context.as_ref(),
            Some(TypedConfig::UpstreamTlsContext(context)) => context.common_tls_context.as_ref(),
            _ => None,
        };
        common.into_iter().flat_map(CommonTlsContext::secret_names)
    }
}

message! {
    /// `envoy.config.core.v3.GrpcService`.
    GrpcService {
        envoy_grpc: message EnvoyGrpc = "1",
        timeout: message Duration = "3",
    }
}

message! {
    /// `envoy.config.core.v3.GrpcService.EnvoyGrpc`.
    EnvoyGrpc {
        cluster_name: string = "1",
        authority: string = "2",
    }
}

message! {
    /// `envoy.config.core.v3.HttpUri`.
    HttpUri {
        uri: string = "1",
        cluster: optional_string = "2",
        timeout: message Duration = "3",
    }
}

message! {
    /// `envoy.config.core.v3.HttpProtocolOptions`.
    HttpProtocolOptions {
        idle_timeout: message Duration = "1",
    }
}

message! {
    /// `envoy.config.core.v3.Http1ProtocolOptions`.
    Http1ProtocolOptions {}
}

message! {
    /// `envoy.config.core.v3.Http2ProtocolOptions`.
    Http2ProtocolOptions {
        max_concurrent_streams: uint32_value = "2",
        initial_stream_window_size: uint32_value = "3",
        initial_connection_window_size: uint32_value = "4",
        allow_connect: bool = "5",
    }
}

message! {
    /// `envoy.config.core.v3.UpstreamHttpProtocolOptions`.
    UpstreamHttpProtocolOptions {
        auto_sni: bool = "1",
    }
}

/// `google.protobuf.Duration`, never negative here; as text `1.5s`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Duration {
    /// Whole seconds.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// Nanoseconds besides, below a thousand million.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

impl From<std::time::Duration> for Duration {
    fn from(duration: std::time::Duration) -> Self {
        Self {
            seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
            nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
        }
    }
}

impl Duration {
    /// Whole seconds.
    pub const fn seconds(seconds: u32) -> Self {
        Self { seconds: seconds as i64, nanos: 0 }
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.nanos == 0 {
            return serializer.collect_str(&format_args!("{}s", self.seconds));
        }
        let fraction = format!("{:09}", self.nanos);
        serializer.collect_str(&format_args!("{}.{}s", self.seconds, fraction.trim_end_matches('0')))
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || D::Error::custom(format!("{text:?} is no duration"));
        let number = text.strip_suffix('s').ok_or_else(wrong)?;
        let (seconds, fraction) = number.split_once('.').unwrap_or((number, ""));
        let nanos = format!("{fraction:0<9}");
        Ok(Self { seconds: seconds.parse().map_err(|_| wrong())?, nanos: nanos.parse().map_err(|_| wrong())? })
    }
}
