//! The question to the embedded cloud: which addresses does a load balancer's name have?

use std::net::IpAddr;

use http_body_util::Empty;
use hyper::body::Bytes;
use tokio::net::TcpStream;

use crate::exchange::exchange;

/// Longest answer that is read, in bytes.
const ANSWER_LIMIT: usize = 64 * 1024;

#[derive(serde::Deserialize)]
struct Answer {
    addresses: Vec<IpAddr>,
}

/// `GET {base}/_cloud/dns?name=NAME`: the addresses, or none where the cloud does not know the name (404).
pub async fn addresses(base: &str, name: &str) -> Result<Option<Vec<IpAddr>>, String> {
    let query: String = form_urlencoded::Serializer::new(String::new()).append_pair("name", name).finish();
    let uri: http::Uri =
        format!("{}/_cloud/dns?{query}", base.trim_end_matches('/')).parse().map_err(|error| format!("{base}: {error}"))?;
    let authority = uri.authority().ok_or_else(|| format!("{base}: no host"))?.clone();
    let port = authority.port_u16().unwrap_or(80);
    let stream = TcpStream::connect((authority.host(), port)).await.map_err(|error| format!("{authority}: {error}"))?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = http::Request::get(path).header(http::header::HOST, authority.as_str()).body(Empty::<Bytes>::new());
    let request = request.map_err(|error| error.to_string())?;
    let (status, body) = exchange(stream, request, ANSWER_LIMIT).await?;
    match status.as_u16() {
        200 => serde_json::from_slice::<Answer>(&body).map(|answer| Some(answer.addresses)).map_err(|error| error.to_string()),
        404 => Ok(None),
        status => Err(format!("the cloud answered {status}")),
    }
}
