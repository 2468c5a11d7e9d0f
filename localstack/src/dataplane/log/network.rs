//! Entries of access logs of network load balancers: connections of TLS listeners. Source: AWS, "Access logs for your Network Load Balancer".

use std::{
    fmt::{self, Display, Write as _},
    net::SocketAddr,
    time::Duration,
};

use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::Or;

/// AWS: longer lists of protocols are cut.
const PROTOCOLS_LIMIT: usize = 256;
/// What a URL keeps as it is, with the slash of `http/1.1`.
const URL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// A connection with TLS.
#[derive(Clone, Debug)]
pub(in super::super) struct FlowEntry<'a> {
    /// When it ended.
    pub(in super::super) time: Timestamp,
    pub(in super::super) load_balancer: &'a str,
    pub(in super::super) listener: &'a str,
    pub(in super::super) client: SocketAddr,
    /// The node and the listener's port.
    pub(in super::super) destination: SocketAddr,
    pub(in super::super) connection_time: Duration,
    /// None if the handshake failed.
    pub(in super::super) handshake_time: Option<Duration>,
    pub(in super::super) received_bytes: u64,
    pub(in super::super) sent_bytes: u64,
    /// The alert that the client sent.
    pub(in super::super) alert: Option<u8>,
    pub(in super::super) certificate: Option<&'a str>,
    /// Cipher and protocol (`TLSv1.3`).
    pub(in super::super) tls: Option<(&'static str, &'static str)>,
    pub(in super::super) key_exchange: Option<&'static str>,
    pub(in super::super) domain: Option<&'a str>,
    /// Negotiated with the client.
    pub(in super::super) client_protocol: Option<&'static str>,
    /// Negotiated with the target.
    pub(in super::super) target_protocol: Option<&'static str>,
    /// What the client offered, if the listener has an ALPN policy.
    pub(in super::super) offered: Option<&'a [String]>,
    /// When it began.
    pub(in super::super) created: Timestamp,
}

impl Display for FlowEntry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = |at: Timestamp| at.strftime("%Y-%m-%dT%H:%M:%S");
        let protocol = self.tls.map(|(_, protocol)| protocol.replace('.', "").to_ascii_lowercase());
        write!(f, "tls 2.0 {} {} {}", moment(self.time), self.load_balancer, self.listener)?;
        write!(f, " {} {} {}", self.client, self.destination, self.connection_time.as_millis())?;
        write!(f, " {}", Or(self.handshake_time.map(|time| time.as_millis())))?;
        write!(f, " {} {} {}", self.received_bytes, self.sent_bytes, Or(self.alert))?;
        // The certificate's serial number is reserved for future use.
        write!(f, " {} - {} {}", Or(self.certificate), Or(self.tls.map(|(cipher, _)| cipher)), Or(protocol))?;
        write!(f, " {} {}", Or(self.key_exchange), Or(self.domain.map(|name| utf8_percent_encode(name, URL))))?;
        write!(f, " {} {}", Or(self.client_protocol), Or(self.target_protocol))?;
        write!(f, " {} {}", Or(self.offered.map(list)), moment(self.created))
    }
}

/// `"h2","http/1.1"`.
fn list(protocols: &[String]) -> String {
    let mut text = String::new();
    for protocol in protocols {
        let comma = if text.is_empty() { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}\"{}\"", utf8_percent_encode(protocol, URL));
    }
    text.truncate(PROTOCOLS_LIMIT);
    text
}

/// The lines of "Example log entries"; the field of the key exchange was still reserved then.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_those_of_the_user_guide() {
        let plain = FlowEntry {
            time: "2018-12-20T02:59:40Z".parse().unwrap(),
            load_balancer: "net/my-network-loadbalancer/c6e77e28c25b2234",
            listener: "g3d4b5e8bb8464cd",
            client: "72.21.218.154:51341".parse().unwrap(),
            destination: "172.100.100.185:443".parse().unwrap(),
            connection_time: Duration::from_millis(5),
            handshake_time: Some(Duration::from_millis(2)),
            received_bytes: 98,
            sent_bytes: 246,
            alert: None,
            certificate: Some("arn:aws:acm:us-east-2:671290407336:certificate/2a108f19-aded-46b0-8493-c63eb1ef4a99"),
            tls: Some(("ECDHE-RSA-AES128-SHA", "TLSv1.2")),
            key_exchange: None,
            domain: Some("my-network-loadbalancer-c6e77e28c25b2234.elb.us-east-2.amazonaws.com"),
            client_protocol: None,
            target_protocol: None,
            offered: None,
            created: "2018-12-20T02:59:30Z".parse().unwrap(),
        };
        let common = "net/my-network-loadbalancer/c6e77e28c25b2234 g3d4b5e8bb8464cd 72.21.218.154:51341 172.100.100.185:443 5 2 98 246 - \
                      arn:aws:acm:us-east-2:671290407336:certificate/2a108f19-aded-46b0-8493-c63eb1ef4a99 - ECDHE-RSA-AES128-SHA tlsv12 - \
                      my-network-loadbalancer-c6e77e28c25b2234.elb.us-east-2.amazonaws.com";
        assert_eq!(plain.to_string(), format!("tls 2.0 2018-12-20T02:59:40 {common} - - - 2018-12-20T02:59:30"));
        let protocols = ["h2".to_owned(), "http/1.1".to_owned()];
        let negotiated = FlowEntry {
            time: "2020-04-01T08:51:42Z".parse().unwrap(),
            client_protocol: Some("h2"),
            target_protocol: Some("h2"),
            offered: Some(&protocols),
            created: "2020-04-01T08:51:20Z".parse().unwrap(),
            ..plain
        };
        assert_eq!(negotiated.to_string(), format!("tls 2.0 2020-04-01T08:51:42 {common} h2 h2 \"h2\",\"http/1.1\" 2020-04-01T08:51:20"));
    }

    #[test]
    fn names_that_clients_choose_stay_one_field() {
        assert_eq!(list(&["a \"b,".to_owned()]), "\"a%20%22b%2C\"");
        assert_eq!(list(&["x".repeat(300)]).len(), PROTOCOLS_LIMIT);
    }
}
