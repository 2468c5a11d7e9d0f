//! Requests as anybody could send them: to the cloud's API, to its admin API, to load balancers.

use std::net::SocketAddr;

use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use portico_cloud::Cloud;
use serde_json::Value;

/// An answer.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends one request on a connection of its own. An error is a connection that broke.
pub async fn exchange(address: SocketAddr, request: Request<Full<Bytes>>) -> Result<Answer, String> {
    let stream = tokio::net::TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let connection = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(connection));
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
    drop(connection);
    Ok(Answer { status: head.status, headers: head.headers, body })
}

/// GET of a path with a Host.
pub async fn get(address: SocketAddr, host: &str, path: &str) -> Answer {
    let request = Request::get(path).header("host", host).body(Full::default()).unwrap();
    exchange(address, request).await.unwrap_or_else(|error| panic!("{host}{path} at {address}: {error}"))
}

/// Everything that the cloud holds.
pub async fn state(cloud: &Cloud) -> Value {
    serde_json::from_slice(&get(cloud.address(), "cloud", "/_cloud/state").await.body).unwrap()
}

/// Adds faults; none takes all away.
pub async fn set_faults(cloud: &Cloud, faults: &Value) {
    let send = async |method: Method, body: String| {
        let request = Request::builder().method(method).uri("/_cloud/faults").header("host", "cloud").body(Full::from(body)).unwrap();
        let answer = exchange(cloud.address(), request).await.unwrap();
        assert!(answer.status.is_success(), "{}", answer.text());
    };
    send(Method::DELETE, String::new()).await;
    send(Method::POST, faults.to_string()).await;
}

/// One call of the ELBv2 query API, as anyone with the account could make it.
pub async fn call(cloud: &Cloud, action: &str, parameters: &[(&str, &str)]) -> String {
    query(cloud, ("elasticloadbalancing", "2015-12-01"), action, parameters).await
}

/// One call of the EC2 query API.
pub async fn call_ec2(cloud: &Cloud, action: &str, parameters: &[(&str, &str)]) -> String {
    query(cloud, ("ec2", "2016-11-15"), action, parameters).await
}

/// One call of ACM's API.
pub async fn call_acm(cloud: &Cloud, action: &str, parameters: &Value) -> Value {
    let request = Request::post("/")
        .header("host", cloud.address().to_string())
        .header(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=someone/20260101/us-east-1/acm/aws4_request, SignedHeaders=host, Signature=00",
        )
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", format!("CertificateManager.{action}"))
        .body(Full::new(Bytes::from(parameters.to_string())))
        .unwrap();
    let answer = exchange(cloud.address(), request).await.unwrap();
    assert!(answer.status.is_success(), "{action}: {} {}", answer.status, answer.text());
    serde_json::from_slice(&answer.body).unwrap_or_default()
}

/// Issues a certificate that was requested: its names count as validated.
pub async fn issue(cloud: &Cloud, arn: &str) {
    let body = Full::from(serde_json::json!({ "issue": arn }).to_string());
    let request = Request::post("/_cloud/certificates").header("host", "cloud").body(body).unwrap();
    let answer = exchange(cloud.address(), request).await.unwrap();
    assert!(answer.status.is_success(), "{}", answer.text());
}

async fn query(cloud: &Cloud, (service, version): (&str, &str), action: &str, parameters: &[(&str, &str)]) -> String {
    let escape = |text: &str| {
        let safe = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
        text.bytes().map(|byte| if safe(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect::<String>()
    };
    let mut body = format!("Action={action}&Version={version}");
    for (name, value) in parameters {
        body.push_str(&format!("&{name}={}", escape(value)));
    }
    let scope = format!("someone/20260101/us-east-1/{service}/aws4_request");
    let request = Request::post("/")
        .header("host", cloud.address().to_string())
        .header("authorization", format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=00"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::new(Bytes::from(body)))
        .unwrap();
    let answer = exchange(cloud.address(), request).await.unwrap();
    assert!(answer.status.is_success(), "{action}: {} {}", answer.status, answer.text());
    answer.text()
}
