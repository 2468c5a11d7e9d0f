//! Requests that show what routes do: one per rule of a plan, as a `curl` line that works as it stands, and made here to say what answers.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use portico_providers::{Hostname, PathMatch, Plan, PlanListener, PlanPort, PlanRule, PortProtocol, RuleId, RuleMatch, StringMatch};
use serde_json::Value;

/// A request that reaches a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExampleRequest {
    /// The rule.
    pub rule: RuleId,
    /// Port of the Gateway's listener.
    pub port: u16,
    /// Method.
    pub method: String,
    /// Host header; absent where any will do.
    pub host: Option<String>,
    /// Path and query.
    pub path: String,
    /// Headers that the rule asks for.
    pub headers: Vec<(String, String)>,
}

/// One request per rule of the plan that plain HTTP can reach, in the order of the plan. Regular expressions are left out.
pub fn examples(plan: &Plan) -> Vec<ExampleRequest> {
    plan.rules().filter_map(|(port, listener, rule)| example(port, listener, rule)).collect()
}

fn example(port: &PlanPort, listener: &PlanListener, rule: &PlanRule) -> Option<ExampleRequest> {
    if port.protocol != PortProtocol::Http {
        return None;
    }
    let RuleMatch::Http(wanted) = &rule.matches else { return None };
    let mut path = match &wanted.path {
        PathMatch::Exact(path) => path.clone(),
        PathMatch::Prefix(prefix) if prefix == "/" => "/".to_owned(),
        PathMatch::Prefix(prefix) => format!("{prefix}/hello"),
        PathMatch::RegularExpression(_) => return None,
    };
    for (index, parameter) in wanted.query_params.iter().enumerate() {
        let StringMatch::Exact(value) = &parameter.value else { return None };
        path.push(if index == 0 { '?' } else { '&' });
        path.push_str(&escape(&parameter.name));
        path.push('=');
        path.push_str(&escape(value));
    }
    let mut headers = Vec::new();
    for header in &wanted.headers {
        let StringMatch::Exact(value) = &header.value else { return None };
        headers.push((header.name.clone(), value.clone()));
    }
    let host = rule.hostname.as_ref().or(listener.hostname.as_ref()).map(name_for);
    let method = wanted.method.clone().unwrap_or_else(|| "GET".to_owned());
    Some(ExampleRequest { rule: rule.id.clone(), port: port.port, method, host, path, headers })
}

/// A name that the hostname stands for.
fn name_for(hostname: &Hostname) -> String {
    hostname.wildcard_suffix().map_or_else(|| hostname.as_str().to_owned(), |suffix| format!("www{suffix}"))
}

/// Percent-encodes what may not stand in a query as it is.
fn escape(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() || b"-._~".contains(&b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

/// A word for a shell: as it is where that is safe, in single quotes otherwise.
fn quote(word: &str) -> String {
    if !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~/:=@%+,".contains(&b)) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// What answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Namespace and Pod of the demo's backend, if it was one.
    pub backend: Option<(String, String)>,
    /// The path that the backend saw.
    pub seen_path: Option<String>,
}

impl ExampleRequest {
    /// The request as a `curl` line to an address.
    pub fn curl(&self, address: SocketAddr) -> String {
        let mut line = "curl -s".to_owned();
        if self.method == "HEAD" {
            line.push_str(" -I");
        } else if self.method != "GET" {
            line.push_str(&format!(" -X {}", quote(&self.method)));
        }
        let authority = if address.port() == 80 { address.ip().to_string() } else { address.to_string() };
        line.push_str(&format!(" {}", quote(&format!("http://{authority}{}", self.path))));
        let host = self.host.as_ref().map(|host| ("Host".to_owned(), host.clone()));
        for (name, value) in host.iter().chain(&self.headers) {
            line.push_str(&format!(" -H {}", quote(&format!("{name}: {value}"))));
        }
        line
    }

    /// Makes the request.
    pub async fn send(&self, address: SocketAddr) -> anyhow::Result<Answer> {
        tokio::time::timeout(Duration::from_secs(10), self.exchange(address)).await.context("no answer within 10 s")?
    }

    async fn exchange(&self, address: SocketAddr) -> anyhow::Result<Answer> {
        let stream = tokio::net::TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let host = self.host.clone().unwrap_or_else(|| address.to_string());
        let mut request = http::Request::builder().method(self.method.as_str()).uri(&self.path).header("host", host);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await.context("the request failed")?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), 1 << 20).collect().await.map_err(|e| anyhow::anyhow!("the answer broke off: {e}"))?;
        connection.abort();
        let body: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
        let text = |field: &str| body.get(field).and_then(Value::as_str).map(str::to_owned);
        Ok(Answer { status, backend: text("namespace").zip(text("pod")), seen_path: text("path") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: &str, host: Option<&str>, headers: &[(&str, &str)]) -> ExampleRequest {
        ExampleRequest {
            rule: serde_json::from_str(r#"{"route": {"kind": "HTTPRoute", "key": "a/r"}, "rule": 0, "match": 0}"#).unwrap(),
            port: 80,
            method: "GET".into(),
            host: host.map(Into::into),
            path: path.into(),
            headers: headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        }
    }

    #[test]
    fn curl_lines_are_safe_to_paste() {
        let at = SocketAddr::from(([127, 1, 0, 1], 8080));
        assert_eq!(
            request("/pre/hello", Some("news.example.com"), &[]).curl(at),
            "curl -s http://127.1.0.1:8080/pre/hello -H 'Host: news.example.com'"
        );
        assert_eq!(
            request("/a?b=c&d=e", None, &[("x-quote", "it's")]).curl(SocketAddr::from(([127, 1, 0, 1], 80))),
            r"curl -s 'http://127.1.0.1/a?b=c&d=e' -H 'x-quote: it'\''s'"
        );
        let mut post = request("/", None, &[]);
        post.method = "POST".into();
        assert_eq!(post.curl(at), "curl -s -X POST http://127.1.0.1:8080/");
    }

    #[test]
    fn wildcards_become_a_name() {
        assert_eq!(name_for(&Hostname::new("*.example.com").unwrap()), "www.example.com");
        assert_eq!(escape("a b&c"), "a%20b%26c");
    }
}
