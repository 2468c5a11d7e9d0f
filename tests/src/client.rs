//! A small HTTP client for loopback and the lab's network: the cloud's admin API, health checks, raw requests.

use std::time::Duration;

use anyhow::{Context, Result};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(15);

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("not JSON (status {}): {}", self.status, self.text()))
    }
}

/// Gets a URL.
pub async fn get(url: &str) -> Result<Answer> {
    send(Method::GET, url, &[], "").await
}

/// Sends one request on a connection of its own.
pub async fn send(method: Method, url: &str, headers: &[(&str, &str)], body: &str) -> Result<Answer> {
    let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).context("the request cannot be built")?;
    let exchange = async {
        let answer = client.request(request).await?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await?.to_bytes();
        anyhow::Ok(Answer { status: head.status, headers: head.headers, body })
    };
    tokio::time::timeout(TIMEOUT, exchange)
        .await
        .with_context(|| format!("no answer from {url} within {TIMEOUT:?}"))?
        .with_context(|| url.to_owned())
}
