//! TLS: `envoy.extensions.transport_sockets.tls.v3`. Private keys never stand here: resources name secrets, which are read when they are published.

use super::core::{ConfigSource, DataSource};
use super::matcher::StringMatcher;
use super::message::{enumeration, message};

message! {
    /// `envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext`.
    DownstreamTlsContext {
        common_tls_context: message CommonTlsContext = "1",
        require_client_certificate: bool_value = "2",
    }
}

message! {
    /// `envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext`.
    UpstreamTlsContext {
        common_tls_context: message CommonTlsContext = "1",
        sni: string = "2",
    }
}

message! {
    /// `envoy.extensions.transport_sockets.tls.v3.CommonTlsContext`.
    CommonTlsContext {
        tls_params: message TlsParameters = "1",
        alpn_protocols: strings = "4",
        tls_certificate_sds_secret_configs: messages SdsSecretConfig = "6",
        validation_context: message CertificateValidationContext = "3",
        validation_context_sds_secret_config: message SdsSecretConfig = "7",
        combined_validation_context: message CombinedCertificateValidationContext = "8",
    }
}

impl CommonTlsContext {
    /// The names of the secrets that it refers to: a proxy asks for these and for no others.
    pub fn secret_names(&self) -> impl Iterator<Item = &str> {
        let combined = self.combined_validation_context.iter().filter_map(|it| it.validation_context_sds_secret_config.as_ref());
        let certificates = self.tls_certificate_sds_secret_configs.iter();
        certificates.chain(&self.validation_context_sds_secret_config).chain(combined).map(|secret| secret.name.as_str())
    }
}

message! {
    /// `envoy.extensions.transport_sockets.tls.v3.TlsParameters`.
    TlsParameters {
        tls_minimum_protocol_version: enumeration TlsProtocol "TlsProtocol" = "1",
    }
}

enumeration! {
    /// `envoy.extensions.transport_sockets.tls.v3.TlsParameters.TlsProtocol`.
    TlsProtocol {
        /// Envoy's default: 1.2 for servers and clients.
        Auto = 0 "TLS_AUTO",
        /// 1.2.
        V1_2 = 3 "TLSv1_2",
        /// 1.3.
        V1_3 = 4 "TLSv1_3",
    }
}

message! {
    /// `envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig`.
    SdsSecretConfig {
        name: string = "1",
        sds_config: message ConfigSource = "2",
    }
}

message! {
    /// `envoy.extensions.transport_sockets.tls.v3.CommonTlsContext.CombinedCertificateValidationContext`.
    CombinedCertificateValidationContext {
        default_validation_context: message CertificateValidationContext = "1",
        validation_context_sds_secret_config: message SdsSecretConfig = "2",
    }
}

message! {
    /// `envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext`.
    CertificateValidationContext {
        trusted_ca: message DataSource = "1",
        trust_chain_verification: enumeration TrustChainVerification "TrustChainVerification" = "10",
        match_typed_subject_alt_names: messages SubjectAltNameMatcher = "15",
    }
}

enumeration! {
    /// `envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext.TrustChainVerification`.
    TrustChainVerification {
        /// Connections without a valid certificate fail.
        VerifyTrustChain = 0 "VERIFY_TRUST_CHAIN",
        /// Connections with an invalid certificate go on.
        AcceptUntrusted = 1 "ACCEPT_UNTRUSTED",
    }
}

message! {
    /// `envoy.extensions.transport_sockets.tls.v3.SubjectAltNameMatcher`.
    SubjectAltNameMatcher {
        san_type: enumeration SanType "SanType" = "1",
        matcher: message StringMatcher = "2",
    }
}

enumeration! {
    /// `envoy.extensions.transport_sockets.tls.v3.SubjectAltNameMatcher.SanType`.
    SanType {
        /// Not said.
        Unspecified = 0 "SAN_TYPE_UNSPECIFIED",
        /// A DNS name.
        Dns = 2 "DNS",
        /// A URI.
        Uri = 3 "URI",
    }
}
