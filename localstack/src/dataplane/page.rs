//! Responses that the load balancer makes itself: error pages, fixed responses, redirects.

use http::{HeaderValue, Response, StatusCode, header};
use hyper::ext::ReasonPhrase;

use super::{body::ResponseBody, config::FixedResponse};

/// The `Server` header of the load balancer's own responses.
const SERVER: HeaderValue = HeaderValue::from_static("awselb/2.0");

/// An error that the load balancer answers by itself, with the status that AWS documents for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorPage {
    /// Malformed request, or one whose head is too large.
    BadRequest,
    /// Who the client is was asked for and not proven.
    Unauthorized,
    /// Its web ACL blocks it.
    Forbidden,
    /// What would prove it is not carried out by this cloud.
    AuthenticationNotServed,
    /// TRACE.
    MethodNotAllowed,
    /// The client sent no complete request in time.
    RequestTimeout,
    /// Request line too long.
    UriTooLong,
    /// More than 30 addresses in X-Forwarded-For.
    TooManyForwardedAddresses,
    /// The target group's protocol version cannot serve this client.
    IncompatibleVersion,
    /// A transform could not be applied.
    InternalServerError,
    /// Transfer-Encoding other than chunked or identity.
    NotImplemented,
    /// The target closed, reset, or answered with something that is not HTTP.
    BadGateway,
    /// No registered target.
    ServiceUnavailable,
    /// The target did not accept the connection or did not answer in time.
    GatewayTimeout,
    /// HTTP version other than 1.0 and 1.1.
    VersionNotSupported,
}

impl ErrorPage {
    /// Status code and reason.
    pub(super) fn status(self) -> (u16, &'static str) {
        match self {
            Self::BadRequest => (400, "Bad Request"),
            Self::Unauthorized => (401, "Unauthorized"),
            Self::Forbidden => (403, "Forbidden"),
            Self::AuthenticationNotServed => (500, "Authentication Is Not Carried Out By The Embedded Cloud"),
            Self::MethodNotAllowed => (405, "Method Not Allowed"),
            Self::RequestTimeout => (408, "Request Timeout"),
            Self::UriTooLong => (414, "URI Too Long"),
            Self::TooManyForwardedAddresses => (463, "Too Many Forwarded Addresses"),
            Self::IncompatibleVersion => (464, "Incompatible Protocol Version"),
            Self::InternalServerError => (500, "Internal Server Error"),
            Self::NotImplemented => (501, "Not Implemented"),
            Self::BadGateway => (502, "Bad Gateway"),
            Self::ServiceUnavailable => (503, "Service Temporarily Unavailable"),
            Self::GatewayTimeout => (504, "Gateway Time-out"),
            Self::VersionNotSupported => (505, "HTTP Version Not Supported"),
        }
    }

    /// The page as a response.
    pub(super) fn response(self) -> Response<ResponseBody> {
        let (code, reason) = self.status();
        own_response(code, Some(reason), html(code, reason), HeaderValue::from_static("text/html"))
    }

    /// The page as bytes of an HTTP/1.1 response that closes the connection.
    pub(super) fn bytes(self, date: &str) -> Vec<u8> {
        let (code, reason) = self.status();
        let body = html(code, reason);
        let length = body.len();
        format!(
            "HTTP/1.1 {code} {reason}\r\nServer: awselb/2.0\r\nDate: {date}\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        )
        .into_bytes()
    }
}

/// The response of a fixed-response action.
pub(super) fn fixed(action: &FixedResponse) -> Response<ResponseBody> {
    let content_type = HeaderValue::try_from(format!("{}; charset=utf-8", action.content_type));
    own_response(action.status, None, action.body.clone(), content_type.unwrap_or(HeaderValue::from_static("text/plain; charset=utf-8")))
}

/// The response of a redirect action; 500 if its location is not a valid header.
pub(super) fn redirect(status: u16, location: String) -> Response<ResponseBody> {
    let Ok(location) = HeaderValue::try_from(location) else { return ErrorPage::InternalServerError.response() };
    let reason = if status == 302 { "Found" } else { "Moved Permanently" };
    let mut response = own_response(status, None, html(status, reason), HeaderValue::from_static("text/html"));
    response.headers_mut().insert(header::LOCATION, location);
    response
}

fn own_response(code: u16, reason: Option<&'static str>, body: String, content_type: HeaderValue) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::own(body));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(reason) = reason {
        response.extensions_mut().insert(ReasonPhrase::from_static(reason.as_bytes()));
    }
    let headers = response.headers_mut();
    headers.insert(header::SERVER, SERVER);
    headers.insert(header::CONTENT_TYPE, content_type);
    response
}

fn html(code: u16, reason: &str) -> String {
    format!(
        "<html>\r\n<head><title>{code} {reason}</title></head>\r\n<body>\r\n<center><h1>{code} {reason}</h1></center>\r\n</body>\r\n</html>\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moved_page_has_the_length_that_aws_sends() {
        assert_eq!(html(301, "Moved Permanently").len(), 134);
    }

    #[test]
    fn pages_say_who_made_them() {
        for (page, code) in
            [(ErrorPage::BadGateway, 502), (ErrorPage::IncompatibleVersion, 464), (ErrorPage::TooManyForwardedAddresses, 463)]
        {
            let response = page.response();
            assert_eq!(response.status().as_u16(), code);
            assert_eq!(response.headers()["server"], "awselb/2.0");
            assert_eq!(response.headers()["content-type"], "text/html");
            assert!(page.bytes("d").starts_with(format!("HTTP/1.1 {code} ").as_bytes()));
        }
    }

    #[test]
    fn a_location_that_is_no_header_gives_500() {
        assert_eq!(redirect(301, "http://h:80/\n".into()).status(), 500);
    }
}
