//! Redirects: the Location of a redirect action.

use std::borrow::Cow;

use super::config::Redirect;

/// The parts of a request that placeholders stand for, after the rule's transforms.
#[derive(Debug)]
pub(super) struct RedirectSource<'a> {
    /// `http` or `https`.
    pub(super) protocol: &'a str,
    /// Host without port.
    pub(super) host: &'a str,
    /// The port under which the client reaches the listener.
    pub(super) port: u16,
    /// Path with its leading slash.
    pub(super) path: &'a str,
    /// Query without `?`.
    pub(super) query: &'a str,
}

/// `protocol://host:port/path?query`; the port is always printed.
pub(super) fn location(redirect: &Redirect, source: &RedirectSource<'_>) -> String {
    let protocol = expand(&redirect.protocol, source).to_ascii_lowercase();
    let host = expand(&redirect.host, source);
    let port = expand(&redirect.port, source);
    let path = expand(&redirect.path, source);
    let query = expand(&redirect.query, source);
    let slash = if path.starts_with('/') { "" } else { "/" };
    let question = if query.is_empty() { "" } else { "?" };
    format!("{protocol}://{host}:{port}{slash}{path}{question}{query}")
}

/// Fills placeholders in one pass: what a placeholder brings in is not looked at again.
fn expand(template: &str, source: &RedirectSource<'_>) -> String {
    let mut result = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((plain, behind)) = rest.split_once("#{") {
        result.push_str(plain);
        let known = behind.split_once('}').and_then(|(name, after)| {
            let value: Cow<'_, str> = match name {
                "protocol" => source.protocol.into(),
                "host" => source.host.into(),
                "port" => Cow::Owned(source.port.to_string()),
                "path" => source.path.strip_prefix('/').unwrap_or(source.path).into(),
                "query" => source.query.into(),
                _ => return None,
            };
            Some((value, after))
        });
        match known {
            Some((value, after)) => {
                result.push_str(&value);
                rest = after;
            }
            None => {
                result.push_str("#{");
                rest = behind;
            }
        }
    }
    result.push_str(rest);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_follow_the_templates() {
        let source = RedirectSource { protocol: "http", host: "a.example.com", port: 80, path: "/x/y", query: "q=1&r" };
        // (protocol, host, port, path, query, location)
        let rows = [
            // AWS's defaults keep every part.
            ("#{protocol}", "#{host}", "#{port}", "/#{path}", "#{query}", "http://a.example.com:80/x/y?q=1&r"),
            ("HTTPS", "#{host}", "443", "/#{path}", "#{query}", "https://a.example.com:443/x/y?q=1&r"),
            // Only the protocol changed: the listener's port stays, as the reference warns.
            ("HTTPS", "#{host}", "#{port}", "/#{path}", "#{query}", "https://a.example.com:80/x/y?q=1&r"),
            ("#{protocol}", "example.org", "#{port}", "/#{path}", "", "http://example.org:80/x/y"),
            (
                "#{protocol}",
                "www.#{host}",
                "8080",
                "/new/#{path}",
                "from=#{host}",
                "http://www.a.example.com:8080/new/x/y?from=a.example.com",
            ),
            ("#{protocol}", "#{host}", "#{port}", "/fixed", "#{protocol}:#{port}/#{path}", "http://a.example.com:80/fixed?http:80/x/y"),
            ("#{protocol}", "#{host}", "#{port}", "/#{nothing}#{", "", "http://a.example.com:80/#{nothing}#{"),
        ];
        for (protocol, host, port, path, query, expected) in rows {
            let redirect = Redirect {
                status: 301,
                protocol: protocol.into(),
                host: host.into(),
                port: port.into(),
                path: path.into(),
                query: query.into(),
            };
            assert_eq!(location(&redirect, &source), expected);
        }
    }

    #[test]
    fn what_a_placeholder_brings_in_is_not_expanded() {
        let source = RedirectSource { protocol: "http", host: "h", port: 8080, path: "/#{host}", query: "" };
        let redirect = Redirect {
            status: 302,
            protocol: "#{protocol}".into(),
            host: "#{host}".into(),
            port: "#{port}".into(),
            path: "/#{path}".into(),
            query: "#{query}".into(),
        };
        assert_eq!(location(&redirect, &source), "http://h:8080/#{host}");
    }
}
