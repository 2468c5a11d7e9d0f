//! A request.

use std::fmt;

/// A request, as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The port that it is sent to.
    pub port: u16,
    /// The Host header.
    pub host: String,
    /// The path, as it stands in the request line.
    pub path: String,
    /// The query without its question mark; `None` where there is no question mark.
    pub query: Option<String>,
    /// The other headers.
    pub headers: Vec<(String, String)>,
}

impl Request {
    /// `GET PATH` of `example.com` on port 80.
    #[cfg(test)]
    pub fn get(path: &str) -> Self {
        Self { method: "GET".into(), port: 80, host: "example.com".into(), path: path.into(), query: None, headers: Vec::new() }
    }

    /// Path and query.
    pub fn target(&self) -> String {
        with_query(&self.path, self.query.as_deref())
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The headers that the echo server is asked to answer with: `X-Echo-Set-Header: NAME:VALUE`.
    pub fn echoed(&self) -> Vec<(String, String)> {
        let asked = self.header("x-echo-set-header").and_then(|pair| pair.split_once(':'));
        asked.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// The value of a query parameter, as it stands there.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let mut pairs = self.query.as_deref().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// The host without its port, in lower case: hostnames have no case.
    pub fn hostname(&self) -> String {
        self.host.split(':').next().unwrap_or_default().to_ascii_lowercase()
    }
}

/// A path with a query.
pub fn with_query(path: &str, query: Option<&str>) -> String {
    query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"))
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "curl -X {} -H 'Host: {}'", self.method, self.host)?;
        for (name, value) in &self.headers {
            write!(f, " -H '{name}: {value}'")?;
        }
        write!(f, " --path-as-is 'http://ADDRESS:{}{}'", self.port, self.target())
    }
}
