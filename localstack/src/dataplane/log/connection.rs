//! Entries of connection logs. Source: AWS, "Connection logs for your Application Load Balancer".

use std::{
    fmt::{self, Display},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use jiff::Timestamp;

use super::{Or, moment, quoted};

/// A connection that was established, or was not.
#[derive(Clone, Debug)]
pub(in super::super) struct ConnectionEntry {
    /// When it was decided.
    pub(in super::super) time: Timestamp,
    pub(in super::super) client: SocketAddr,
    pub(in super::super) listener_port: u16,
    /// Protocol and cipher.
    pub(in super::super) tls: Option<(&'static str, &'static str)>,
    /// None if the handshake failed.
    pub(in super::super) handshake_time: Option<Duration>,
    /// The client's own certificate.
    pub(in super::super) client_certificate: Option<ClientCertificateFacts>,
    /// `Success` or `Failed:` and a code; None without TLS.
    pub(in super::super) status: Option<String>,
    /// The connection's id, which entries of its requests show.
    pub(in super::super) connection: String,
    pub(in super::super) key_exchange: Option<&'static str>,
    pub(in super::super) load_balancer: String,
    pub(in super::super) node: IpAddr,
}

/// What a client's certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct ClientCertificateFacts {
    /// As RFC 2253 writes names.
    pub(in super::super) subject: String,
    /// `NotBefore=…;NotAfter=…`.
    pub(in super::super) validity: String,
    /// Hexadecimal.
    pub(in super::super) serial_number: String,
}

impl Display for ConnectionEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let certificate = self.client_certificate.as_ref();
        write!(f, "{} {} {} {}", moment(self.time), self.client.ip(), self.client.port(), self.listener_port)?;
        write!(f, " {} {}", Or(self.tls.map(|(protocol, _)| protocol)), Or(self.tls.map(|(_, cipher)| cipher)))?;
        write!(f, " {}", Or(self.handshake_time.map(|time| format!("{:.3}", time.as_secs_f64()))))?;
        write!(f, " {}", quoted(certificate.map(|facts| facts.subject.as_str())))?;
        write!(f, " {} {}", Or(certificate.map(|facts| &facts.validity)), Or(certificate.map(|facts| &facts.serial_number)))?;
        write!(f, " {} {}", Or(self.status.as_ref()), self.connection)?;
        write!(f, " {} {} {}", Or(self.key_exchange), self.load_balancer, self.node)
    }
}

/// The lines of "Example log entries", behind which the fields 13 to 15 follow that were added since.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_those_of_the_user_guide() {
        let established = ConnectionEntry {
            time: "2023-10-04T17:05:15.514108Z".parse().unwrap(),
            client: "203.0.113.1:36280".parse().unwrap(),
            listener_port: 443,
            tls: Some(("TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256")),
            handshake_time: Some(Duration::from_millis(4036)),
            client_certificate: Some(ClientCertificateFacts {
                subject: "CN=amazondomains.com,O=endEntity,L=Seattle,ST=Washington,C=US".into(),
                validity: "NotBefore=2023-09-21T22:43:21Z;NotAfter=2026-06-17T22:43:21Z".into(),
                serial_number: "FEF257372D5C14D4".into(),
            }),
            status: Some("Success".into()),
            connection: "TID_3180a73013c8ca4bac2f731159d4b0fe".into(),
            key_exchange: Some("secp256r1"),
            load_balancer: "app/my-loadbalancer/1234567890abcdef".into(),
            node: "172.160.1.192".parse().unwrap(),
        };
        let expected = "2023-10-04T17:05:15.514108Z 203.0.113.1 36280 443 TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 4.036 \
                        \"CN=amazondomains.com,O=endEntity,L=Seattle,ST=Washington,C=US\" \
                        NotBefore=2023-09-21T22:43:21Z;NotAfter=2026-06-17T22:43:21Z FEF257372D5C14D4 Success \
                        TID_3180a73013c8ca4bac2f731159d4b0fe secp256r1 app/my-loadbalancer/1234567890abcdef 172.160.1.192";
        assert_eq!(established.to_string(), expected);

        let failed = ConnectionEntry {
            handshake_time: None,
            status: Some("Failed:ClientCertUntrusted".into()),
            connection: "TID_1c71a68d70587445ad5127ff8b2687d7".into(),
            key_exchange: None,
            ..established.clone()
        };
        let expected = "2023-10-04T17:05:15.514108Z 203.0.113.1 36280 443 TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 - \
                        \"CN=amazondomains.com,O=endEntity,L=Seattle,ST=Washington,C=US\" \
                        NotBefore=2023-09-21T22:43:21Z;NotAfter=2026-06-17T22:43:21Z FEF257372D5C14D4 Failed:ClientCertUntrusted \
                        TID_1c71a68d70587445ad5127ff8b2687d7 - app/my-loadbalancer/1234567890abcdef 172.160.1.192";
        assert_eq!(failed.to_string(), expected);

        let plain = ConnectionEntry {
            listener_port: 80,
            tls: None,
            handshake_time: None,
            client_certificate: None,
            status: None,
            key_exchange: None,
            ..established
        };
        let expected = "2023-10-04T17:05:15.514108Z 203.0.113.1 36280 80 - - - \"-\" - - - TID_3180a73013c8ca4bac2f731159d4b0fe \
                        - app/my-loadbalancer/1234567890abcdef 172.160.1.192";
        assert_eq!(plain.to_string(), expected);
    }
}
