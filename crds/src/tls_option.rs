//! Keys of a listener's `tls.options` that Portico knows. The Gateway API leaves their names and meanings to implementations.

use std::collections::BTreeMap;

/// Name of the cloud's policy of TLS versions and ciphers, in the place of the profile's.
pub const SSL_POLICY: &str = "portico.dev/ssl-policy";
/// Certificates that the cloud holds, by their ids (AWS: ARNs of certificates in ACM), separated by commas.
pub const CERTIFICATE_ARN: &str = "portico.dev/certificate-arn";
/// `true` to serve a certificate that the cloud holds for the listener's hostname, whichever it is.
pub const CERTIFICATE_DISCOVERY: &str = "portico.dev/certificate-discovery";

/// All keys, in the order in which they are listed to people.
pub const KEYS: [&str; 3] = [CERTIFICATE_ARN, CERTIFICATE_DISCOVERY, SSL_POLICY];

/// The keys of a listener's options that have no effect here.
pub fn unknown(options: &BTreeMap<String, String>) -> impl Iterator<Item = &str> {
    options.keys().map(String::as_str).filter(|key| !KEYS.contains(key))
}

/// The known keys as a person would list them.
pub fn listed() -> String {
    KEYS.join(", ")
}
