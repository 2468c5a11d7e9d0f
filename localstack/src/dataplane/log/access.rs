//! Entries of access logs. Source: AWS, "Access logs for your Application Load Balancer".

use std::{
    fmt::{self, Display},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use jiff::Timestamp;

use super::{Or, moment, quoted};

/// AWS: longer user agents are cut (8 KB).
const USER_AGENT_LIMIT: usize = 8 * 1024;

/// A request and its response; for WebSockets, a connection.
#[derive(Clone, Debug)]
pub(in super::super) struct AccessEntry {
    /// `http`, `https`, `h2`, `grpcs`, `ws` or `wss`.
    pub(in super::super) kind: &'static str,
    /// When the response was made; for WebSockets, when the connection ended.
    pub(in super::super) time: Timestamp,
    pub(in super::super) load_balancer: String,
    pub(in super::super) client: SocketAddr,
    pub(in super::super) target: Option<SocketAddr>,
    /// From the request's arrival until it was sent to the target.
    pub(in super::super) request_time: Option<Duration>,
    /// From then until the target's response began.
    pub(in super::super) target_time: Option<Duration>,
    /// From then until the response to the client began.
    pub(in super::super) response_time: Option<Duration>,
    pub(in super::super) status: u16,
    pub(in super::super) target_status: Option<u16>,
    pub(in super::super) received_bytes: u64,
    pub(in super::super) sent_bytes: u64,
    /// `METHOD protocol://host:port/uri VERSION`.
    pub(in super::super) request: String,
    pub(in super::super) user_agent: Option<String>,
    /// Cipher and protocol.
    pub(in super::super) tls: Option<(&'static str, &'static str)>,
    pub(in super::super) target_group: Option<String>,
    pub(in super::super) trace_id: Option<String>,
    /// The server's name that the client asked for, if a certificate is for it.
    pub(in super::super) domain: Option<String>,
    /// The certificate's ARN, or `session-reused`.
    pub(in super::super) certificate: Option<String>,
    /// 0 for the default rule; None if no rule was looked for.
    pub(in super::super) rule_priority: Option<u32>,
    /// When the request arrived.
    pub(in super::super) created: Timestamp,
    pub(in super::super) actions: Vec<&'static str>,
    pub(in super::super) redirect: Option<String>,
    pub(in super::super) error: Option<&'static str>,
    /// Class and reason of desync mitigation.
    pub(in super::super) classification: Option<(&'static str, &'static str)>,
    /// The connection's id, by which its entry in the connection log is found.
    pub(in super::super) connection: String,
    /// What a transform made of the Host header.
    pub(in super::super) transformed_host: Option<String>,
    /// What a transform made of the URI.
    pub(in super::super) transformed_uri: Option<String>,
    /// How the transforms went.
    pub(in super::super) transform_status: Option<&'static str>,
    pub(in super::super) node: IpAddr,
}

/// Seconds with milliseconds, or -1.
struct Seconds(Option<Duration>);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(time) => write!(f, "{:.3}", time.as_secs_f64()),
            None => f.write_str("-1"),
        }
    }
}

impl Display for AccessEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user_agent = self.user_agent.as_deref().map(|text| text.get(..text.floor_char_boundary(USER_AGENT_LIMIT)).unwrap_or_default());
        let target = self.target.map(|target| target.to_string());
        let target_status = self.target_status.map(|status| status.to_string());
        let actions = (!self.actions.is_empty()).then(|| self.actions.join(","));
        // AWS shows milliseconds of it, with zeros behind them.
        let created = self.created.strftime("%Y-%m-%dT%H:%M:%S.%3f000Z");
        write!(f, "{} {} {} {} {}", self.kind, moment(self.time), self.load_balancer, self.client, Or(self.target))?;
        write!(f, " {} {} {}", Seconds(self.request_time), Seconds(self.target_time), Seconds(self.response_time))?;
        write!(f, " {} {} {} {}", self.status, Or(self.target_status), self.received_bytes, self.sent_bytes)?;
        write!(f, " {} {}", quoted(Some(&self.request)), quoted(user_agent))?;
        write!(
            f,
            " {} {} {}",
            Or(self.tls.map(|(cipher, _)| cipher)),
            Or(self.tls.map(|(_, protocol)| protocol)),
            Or(self.target_group.as_ref())
        )?;
        write!(f, " {} {} {}", quoted(self.trace_id.as_deref()), quoted(self.domain.as_deref()), quoted(self.certificate.as_deref()))?;
        write!(f, " {} {created} {}", Or(self.rule_priority), quoted(actions.as_deref()))?;
        write!(f, " {} {}", quoted(self.redirect.as_deref()), quoted(self.error))?;
        write!(f, " {} {}", quoted(target.as_deref()), quoted(target_status.as_deref()))?;
        write!(f, " {} {}", quoted(self.classification.map(|(class, _)| class)), quoted(self.classification.map(|(_, reason)| reason)))?;
        write!(f, " {}", self.connection)?;
        write!(f, " {} {}", quoted(self.transformed_host.as_deref()), quoted(self.transformed_uri.as_deref()))?;
        write!(f, " {} {}", quoted(self.transform_status), self.node)
    }
}

/// The lines that AWS prints in "Example log entries", of which each ends with the connection's id, the three fields of transforms and, added since, the
/// node's address.
#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> AccessEntry {
        AccessEntry {
            kind: "http",
            time: "2018-07-02T22:23:00.186641Z".parse().unwrap(),
            load_balancer: "app/my-loadbalancer/50dc6c495c0c9188".into(),
            client: "192.168.131.39:2817".parse().unwrap(),
            target: Some("10.0.0.1:80".parse().unwrap()),
            request_time: Some(Duration::ZERO),
            target_time: Some(Duration::from_millis(1)),
            response_time: Some(Duration::ZERO),
            status: 200,
            target_status: Some(200),
            received_bytes: 34,
            sent_bytes: 366,
            request: "GET http://www.example.com:80/ HTTP/1.1".into(),
            user_agent: Some("curl/7.46.0".into()),
            tls: None,
            target_group: Some("arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/my-targets/73e2d6bc24d8a067".into()),
            trace_id: Some("Root=1-58337262-36d228ad5d99923122bbe354".into()),
            domain: None,
            certificate: None,
            rule_priority: Some(0),
            created: "2018-07-02T22:22:48.364Z".parse().unwrap(),
            actions: vec!["forward"],
            redirect: None,
            error: None,
            classification: None,
            connection: "TID_1234abcd5678ef90".into(),
            transformed_host: None,
            transformed_uri: None,
            transform_status: None,
            node: "172.160.1.192".parse().unwrap(),
        }
    }

    fn https() -> AccessEntry {
        AccessEntry { kind: "https", tls: Some(("ECDHE-RSA-AES128-GCM-SHA256", "TLSv1.2")), rule_priority: Some(1), ..entry() }
    }

    #[test]
    fn entries_are_those_of_the_user_guide() {
        const GROUP: &str = "arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/my-targets/73e2d6bc24d8a067";
        let rows = [
            (
                "Example HTTP Entry",
                entry(),
                r#"http 2018-07-02T22:23:00.186641Z app/my-loadbalancer/50dc6c495c0c9188 192.168.131.39:2817 10.0.0.1:80 0.000 0.001 0.000 200 200 34 366 "GET http://www.example.com:80/ HTTP/1.1" "curl/7.46.0" - - GROUP "Root=1-58337262-36d228ad5d99923122bbe354" "-" "-" 0 2018-07-02T22:22:48.364000Z "forward" "-" "-" "10.0.0.1:80" "200" "-" "-" TID_1234abcd5678ef90 "-" "-" "-" 172.160.1.192"#,
            ),
            (
                "Example HTTPS Entry",
                AccessEntry {
                    request_time: Some(Duration::from_millis(86)),
                    target_time: Some(Duration::from_millis(48)),
                    response_time: Some(Duration::from_millis(37)),
                    received_bytes: 0,
                    sent_bytes: 57,
                    request: "GET https://www.example.com:443/ HTTP/1.1".into(),
                    trace_id: Some("Root=1-58337281-1d84f3d73c47ec4e58577259".into()),
                    domain: Some("www.example.com".into()),
                    certificate: Some("arn:aws:acm:us-east-2:123456789012:certificate/12345678-1234-1234-1234-123456789012".into()),
                    actions: vec!["authenticate", "forward"],
                    transformed_host: Some("m.example.com".into()),
                    transform_status: Some("TransformSuccess"),
                    ..https()
                },
                r#"https 2018-07-02T22:23:00.186641Z app/my-loadbalancer/50dc6c495c0c9188 192.168.131.39:2817 10.0.0.1:80 0.086 0.048 0.037 200 200 0 57 "GET https://www.example.com:443/ HTTP/1.1" "curl/7.46.0" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 GROUP "Root=1-58337281-1d84f3d73c47ec4e58577259" "www.example.com" "arn:aws:acm:us-east-2:123456789012:certificate/12345678-1234-1234-1234-123456789012" 1 2018-07-02T22:22:48.364000Z "authenticate,forward" "-" "-" "10.0.0.1:80" "200" "-" "-" TID_1234abcd5678ef90 "m.example.com" "-" "TransformSuccess" 172.160.1.192"#,
            ),
            (
                "Example HTTP/2 Entry",
                AccessEntry {
                    kind: "h2",
                    client: "10.0.1.252:48160".parse().unwrap(),
                    target: Some("10.0.0.66:9000".parse().unwrap()),
                    target_time: Some(Duration::from_millis(2)),
                    received_bytes: 5,
                    sent_bytes: 257,
                    request: "GET https://10.0.2.105:773/ HTTP/2.0".into(),
                    trace_id: Some("Root=1-58337327-72bd00b0343d75b906739c42".into()),
                    actions: vec!["redirect"],
                    redirect: Some("https://example.com:80/".into()),
                    ..https()
                },
                r#"h2 2018-07-02T22:23:00.186641Z app/my-loadbalancer/50dc6c495c0c9188 10.0.1.252:48160 10.0.0.66:9000 0.000 0.002 0.000 200 200 5 257 "GET https://10.0.2.105:773/ HTTP/2.0" "curl/7.46.0" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 GROUP "Root=1-58337327-72bd00b0343d75b906739c42" "-" "-" 1 2018-07-02T22:22:48.364000Z "redirect" "https://example.com:80/" "-" "10.0.0.66:9000" "200" "-" "-" TID_1234abcd5678ef90 "-" "-" "-" 172.160.1.192"#,
            ),
            (
                "Example WebSockets Entry",
                AccessEntry {
                    kind: "ws",
                    client: "10.0.0.140:40914".parse().unwrap(),
                    target: Some("10.0.1.192:8010".parse().unwrap()),
                    request_time: Some(Duration::from_millis(1)),
                    target_time: Some(Duration::from_millis(3)),
                    status: 101,
                    target_status: Some(101),
                    received_bytes: 218,
                    sent_bytes: 587,
                    request: "GET http://10.0.0.30:80/ HTTP/1.1".into(),
                    user_agent: None,
                    trace_id: Some("Root=1-58337364-23a8c76965a2ef7629b185e3".into()),
                    rule_priority: Some(1),
                    ..entry()
                },
                r#"ws 2018-07-02T22:23:00.186641Z app/my-loadbalancer/50dc6c495c0c9188 10.0.0.140:40914 10.0.1.192:8010 0.001 0.003 0.000 101 101 218 587 "GET http://10.0.0.30:80/ HTTP/1.1" "-" - - GROUP "Root=1-58337364-23a8c76965a2ef7629b185e3" "-" "-" 1 2018-07-02T22:22:48.364000Z "forward" "-" "-" "10.0.1.192:8010" "101" "-" "-" TID_1234abcd5678ef90 "-" "-" "-" 172.160.1.192"#,
            ),
        ];
        for (name, entry, expected) in rows {
            assert_eq!(entry.to_string(), expected.replace("GROUP", GROUP), "{name}");
        }
    }

    #[test]
    fn what_there_is_not_is_a_hyphen() {
        let entry = AccessEntry {
            target: None,
            request_time: None,
            target_time: None,
            response_time: None,
            status: 400,
            target_status: None,
            received_bytes: 0,
            sent_bytes: 272,
            request: "- http://www.example.com:80- -".into(),
            user_agent: Some("é".repeat(USER_AGENT_LIMIT)),
            target_group: None,
            trace_id: None,
            rule_priority: None,
            actions: Vec::new(),
            classification: Some(("Severe", "BadMethod")),
            ..entry()
        };
        let line = entry.to_string();
        // As such an entry looks on AWS.
        let expected = r#"http 2018-07-02T22:23:00.186641Z app/my-loadbalancer/50dc6c495c0c9188 192.168.131.39:2817 - -1 -1 -1 400 - 0 272 "- http://www.example.com:80- -" "#;
        assert!(line.starts_with(expected), "{line}");
        let expected = r#" - - - "-" "-" "-" - 2018-07-02T22:22:48.364000Z "-" "-" "-" "-" "-" "Severe" "BadMethod" TID_1234abcd5678ef90 "-" "-" "-" 172.160.1.192"#;
        assert!(line.ends_with(expected), "{line}");
        assert!(line.len() < USER_AGENT_LIMIT + 600);
    }
}
