//! Redirects: their parts, their placeholders and the check against loops.

use serde::{Deserialize, Serialize};

use super::validation;
use crate::error::{Answer, ApiError};
use crate::wire::{Input, Record};

/// `RedirectConfig`, with AWS's defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    /// `HTTP`, `HTTPS` or `#{protocol}`.
    pub protocol: String,
    /// A port or `#{port}`.
    pub port: String,
    /// The host, may hold `#{host}`.
    pub host: String,
    /// The path with its slash; may hold `#{host}`, `#{path}` and `#{port}`.
    pub path: String,
    /// The query without `?`; may hold all placeholders.
    pub query: String,
    /// 301 or 302.
    pub status: u16,
}

impl Redirect {
    /// Reads and checks it for a listener of this protocol and port.
    pub fn read(config: &Input, (protocol, port): (&str, u16)) -> Answer<Self> {
        let text = |name: &str, default: &str| config.text(name).unwrap_or(default).to_string();
        let code = config.required("StatusCode")?;
        validation::one_of(code, "redirectConfig.statusCode", &["HTTP_301", "HTTP_302"])?;
        let status = if code == "HTTP_301" { 301 } else { 302 };
        let redirect = Self {
            protocol: text("Protocol", "#{protocol}"),
            port: text("Port", "#{port}"),
            host: text("Host", "#{host}"),
            path: text("Path", "/#{path}"),
            query: text("Query", "#{query}"),
            status,
        };
        redirect.check()?;
        // AWS: HTTP to HTTP, HTTP to HTTPS and HTTPS to HTTPS.
        if protocol == "HTTPS" && redirect.protocol == "HTTP" {
            return Err(ApiError::new("InvalidLoadBalancerAction", "Redirects from HTTPS to HTTP are not supported"));
        }
        if redirect.loops(protocol, port) {
            return Err(ApiError::new("InvalidLoadBalancerAction", "The redirect configuration is not valid because it creates a loop."));
        }
        Ok(redirect)
    }

    fn check(&self) -> Answer<()> {
        let fault = |message: String| Err(ApiError::validation(message));
        if !["HTTP", "HTTPS", "#{protocol}"].contains(&self.protocol.as_str()) {
            return fault(format!("The redirect protocol '{}' must be one of 'HTTP', 'HTTPS', '#{{protocol}}'", self.protocol));
        }
        if self.port != "#{port}" && !self.port.parse::<u16>().is_ok_and(|port| port > 0) {
            return fault(format!("The redirect port '{}' must be between '1' and '65535', or '#{{port}}'", self.port));
        }
        if self.host.is_empty() || !self.path.starts_with('/') {
            return fault("The redirect host cannot be empty, and the redirect path must begin with '/'".into());
        }
        if self.query.starts_with('?') {
            return fault("The redirect query cannot begin with '?'".into());
        }
        let parts = [
            ("Host", &self.host, &["host"][..]),
            ("Path", &self.path, &["host", "path", "port"][..]),
            ("Query", &self.query, &["protocol", "host", "port", "path", "query"][..]),
        ];
        for (name, value, allowed) in parts {
            if value.chars().count() > 128 {
                return fault(format!("The '{name}' value is too long; the limit is '128'"));
            }
            for piece in value.split("#{").skip(1) {
                if !piece.split_once('}').is_some_and(|(keyword, _)| allowed.contains(&keyword)) {
                    return fault(format!("The redirect '{name}' value '{value}' contains a reserved keyword that is not valid there"));
                }
            }
        }
        Ok(())
    }

    /// AWS: at least one of protocol, host, port and path must change; a literal equal to the listener's own does not count.
    fn loops(&self, protocol: &str, port: u16) -> bool {
        (self.protocol == "#{protocol}" || self.protocol == protocol)
            && (self.port == "#{port}" || self.port == port.to_string())
            && self.host == "#{host}"
            && self.path == "/#{path}"
    }

    /// As describing calls show it.
    pub fn record(&self) -> Record {
        Record::new()
            .with("Protocol", &self.protocol)
            .with("Port", &self.port)
            .with("Host", &self.host)
            .with("Path", &self.path)
            .with("Query", &self.query)
            .with("StatusCode", format!("HTTP_{}", self.status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::query;

    fn read(text: &str) -> Result<Redirect, String> {
        Redirect::read(&query::parse(text), ("HTTP", 80)).map_err(|error| error.code.into_owned())
    }

    #[test]
    fn redirects_are_checked_as_on_aws() {
        let rows = [
            ("StatusCode=HTTP_301&Protocol=HTTPS&Port=443", Ok(())),
            ("StatusCode=HTTP_302&Host=example.org", Ok(())),
            ("StatusCode=HTTP_302&Path=/x/%23{path}", Ok(())),
            ("StatusCode=HTTP_302&Port=8080", Ok(())),
            ("StatusCode=HTTP_302", Err("InvalidLoadBalancerAction")),
            ("StatusCode=HTTP_302&Protocol=HTTP&Port=80", Err("InvalidLoadBalancerAction")),
            ("StatusCode=HTTP_302&Query=a", Err("InvalidLoadBalancerAction")),
            ("StatusCode=HTTP_308&Host=example.org", Err("ValidationError")),
            ("Host=example.org", Err("ValidationError")),
            ("StatusCode=HTTP_302&Path=x", Err("ValidationError")),
            ("StatusCode=HTTP_302&Path=/%23{query}", Err("ValidationError")),
            ("StatusCode=HTTP_302&Host=%23{path}", Err("ValidationError")),
            ("StatusCode=HTTP_302&Host=a&Query=?a", Err("ValidationError")),
            ("StatusCode=HTTP_302&Port=0", Err("ValidationError")),
            ("StatusCode=HTTP_302&Protocol=FTP", Err("ValidationError")),
        ];
        for (text, expected) in rows {
            assert_eq!(read(text).map(|_| ()), expected.map_err(str::to_string), "{text}");
        }
    }

    #[test]
    fn unset_parts_get_placeholders() {
        let redirect = read("StatusCode=HTTP_301&Host=example.org").unwrap();
        assert_eq!((redirect.protocol.as_str(), redirect.path.as_str(), redirect.query.as_str()), ("#{protocol}", "/#{path}", "#{query}"));
    }
}
