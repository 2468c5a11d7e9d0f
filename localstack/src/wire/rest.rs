//! The REST protocols: an operation is a method and a path, parameters stand in path, query, headers and body.

use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;
use percent_encoding::percent_decode_str;
use quick_xml::escape::escape;

use super::output::timestamp;
use super::{Output, Record, xml};
use crate::error::ApiError;

/// A request as a REST service sees it.
#[derive(Debug)]
pub struct Request<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its path as it came.
    pub path: &'a str,
    /// Its query's names and values, decoded.
    pub query: Vec<(String, String)>,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl<'a> Request<'a> {
    /// A request.
    pub fn new(head: &'a http::request::Parts, body: Bytes) -> Self {
        let query = form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes());
        let query = query.map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        Self { method: &head.method, path: head.uri.path(), query, headers: &head.headers, body }
    }

    /// The value of a query parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A part of a path, decoded.
pub fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// How the answer of an operation is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The status of success.
    pub status: u16,
    /// The root element of the body; `None` if the body is empty, or the member `Body`.
    pub root: Option<&'static str>,
    /// The XML namespace.
    pub namespace: &'static str,
    /// Members that are headers.
    pub headers: &'static [(&'static str, &'static str)],
}

/// Writes the answer of a call that succeeded: members that are headers become headers, `Status` the status, `Body` the body as it is, and the
/// rest a document.
pub fn answer(layout: &Layout, record: &Record) -> Response<Full<Bytes>> {
    let mut document = Record::new();
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::from_u16(layout.status).unwrap_or(StatusCode::OK);
    for (name, value) in &record.members {
        let header = layout.headers.iter().find(|(member, _)| *member == name.as_ref());
        match (name.as_ref(), header, value) {
            (_, Some((_, header)), value) if !matches!(value, Output::List(_)) => put(response.headers_mut(), header, value),
            ("Metadata", _, Output::Record(entries)) => {
                for (key, value) in &entries.members {
                    put(response.headers_mut(), &format!("x-amz-meta-{key}"), value);
                }
            }
            ("Status", _, Output::Number(status)) => {
                let status = u16::try_from(*status).ok().and_then(|status| StatusCode::from_u16(status).ok());
                *response.status_mut() = status.unwrap_or(StatusCode::OK);
            }
            ("Body", _, Output::Blob(bytes)) => *response.body_mut() = Full::new(bytes.clone()),
            _ => document.members.push((name.clone(), value.clone())),
        }
    }
    if let Some(root) = layout.root {
        response.headers_mut().entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/xml"));
        *response.body_mut() = Full::new(Bytes::from(xml::document(root, layout.namespace, &document)));
    }
    response
}

/// Writes the answer of a call that failed, as S3 does. Statuses without a body get none.
pub fn error(request_id: &str, resource: &str, error: &ApiError) -> Response<Full<Bytes>> {
    let [code, message, resource] = [error.code.as_ref(), error.message.as_str(), resource].map(escape);
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message><Resource>{resource}</Resource>\
         <RequestId>{request_id}</RequestId></Error>"
    );
    let body = if error.status == 304 { Bytes::new() } else { Bytes::from(text) };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response
}

fn put(headers: &mut HeaderMap, name: &str, value: &Output) {
    let text = match value {
        Output::Text(text) => text.clone(),
        Output::Number(number) => number.to_string(),
        Output::Flag(flag) => flag.to_string(),
        Output::Moment(at) => timestamp(*at),
        Output::Blob(_) | Output::List(_) | Output::Record(_) => return,
    };
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(text)) {
        headers.insert(name, value);
    }
}
