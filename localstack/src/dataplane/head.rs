//! Request heads as bytes: why the HTTP parser refused one, and what desync mitigation says about one that it accepted.

use super::{config::DesyncMitigation, page::ErrorPage};

/// AWS: longest request line.
pub(super) const REQUEST_LINE_LIMIT: usize = 16 * 1024;
/// AWS: longest header line.
pub(super) const HEADER_LINE_LIMIT: usize = 16 * 1024;
/// AWS: size of all request header lines.
pub(super) const HEADERS_LIMIT: usize = 64 * 1024;

/// The page for a head that the HTTP parser refused.
pub(super) fn refusal(head: &[u8]) -> ErrorPage {
    let mut lines = head.split(|byte| *byte == b'\n').map(trim_end);
    let request_line = lines.next().unwrap_or_default();
    if request_line.len() > REQUEST_LINE_LIMIT {
        return ErrorPage::UriTooLong;
    }
    let version = request_line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    if is_version(version) && !matches!(version, b"HTTP/1.0" | b"HTTP/1.1") {
        return ErrorPage::VersionNotSupported;
    }
    let unsupported_coding = fields(lines).any(|(name, value)| {
        name.eq_ignore_ascii_case(b"transfer-encoding")
            && value
                .split(|byte| *byte == b',')
                .map(<[u8]>::trim_ascii)
                .any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"chunked") && !coding.eq_ignore_ascii_case(b"identity"))
    });
    if unsupported_coding { ErrorPage::NotImplemented } else { ErrorPage::BadRequest }
}

/// `HTTP/`, digits, `.`, digits.
fn is_version(text: &[u8]) -> bool {
    let digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    let Some(numbers) = text.strip_prefix(b"HTTP/") else { return false };
    let mut parts = numbers.split(|byte| *byte == b'.');
    parts.next().is_some_and(digits) && parts.next().is_none_or(digits) && parts.next().is_none()
}

/// How differently two HTTP parsers could read a request that is not compliant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    Acceptable,
    Ambiguous,
    Severe,
}

impl Class {
    /// As access logs name it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Acceptable => "Acceptable",
            Self::Ambiguous => "Ambiguous",
            Self::Severe => "Severe",
        }
    }
}

/// The class of a request that is not compliant, and AWS's code for the reason (user guide, "Classification reasons").
pub(super) type Classification = (Class, &'static str);

/// What desync mitigation does with a request that the HTTP parser accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Serve it.
    Allow,
    /// Serve it, then close the connections.
    AllowThenClose,
    /// Answer 400.
    Refuse,
}

/// Judges a head by its class. The parser has refused the severe ones already.
pub(super) fn verdict(classification: Option<Classification>, mode: DesyncMitigation) -> Verdict {
    match (classification.map(|(class, _)| class), mode) {
        (None, _) | (_, DesyncMitigation::Monitor) | (Some(Class::Acceptable), DesyncMitigation::Defensive) => Verdict::Allow,
        (Some(_), DesyncMitigation::Defensive) => Verdict::AllowThenClose,
        (Some(_), DesyncMitigation::Strictest) => Verdict::Refuse,
    }
}

/// Classifies a head that the HTTP parser accepted; None: it is compliant.
pub(super) fn classify(head: &[u8]) -> Option<Classification> {
    let mut lines = head.split(|byte| *byte == b'\n').map(trim_end);
    let request_line = lines.next().unwrap_or_default();
    let without_body = request_line.starts_with(b"GET ") || request_line.starts_with(b"HEAD ");
    let (mut lengths, mut codings) = (0, 0);
    let mut worst: Option<Classification> = None;
    let mut note = |found: Classification| {
        if worst.is_none_or(|(class, _)| class < found.0) {
            worst = Some(found);
        }
    };
    for (name, value) in fields(lines) {
        if name.eq_ignore_ascii_case(b"content-length") {
            lengths += 1;
            if without_body {
                let zero = value == b"0";
                note(if zero {
                    (Class::Acceptable, "GetHeadZeroContentLength")
                } else {
                    (Class::Ambiguous, "UndefinedContentLengthSemantics")
                });
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            codings += 1;
            if without_body {
                note((Class::Ambiguous, "UndefinedTransferEncodingSemantics"));
            }
        } else if !name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-') {
            note((Class::Acceptable, "NonCompliantHeader"));
        }
    }
    if lengths > 0 && codings > 0 {
        return Some((Class::Ambiguous, "BothTeClPresent"));
    }
    if lengths > 1 { Some((Class::Ambiguous, "DuplicateContentLength")) } else { worst }
}

/// Why a head that the HTTP parser refused is severe; None: for a reason that has no code, such as its length.
pub(super) fn severity(head: &[u8]) -> Option<Classification> {
    let mut lines = head.split(|byte| *byte == b'\n').map(trim_end);
    let request_line = lines.next().unwrap_or_default();
    let mut words = request_line.split(|byte| *byte == b' ');
    let (method, uri, version) = (words.next().unwrap_or_default(), words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let token = |text: &[u8]| !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte));
    let severe = |reason| Some((Class::Severe, reason));
    if !token(method) {
        return severe("BadMethod");
    }
    if uri.iter().any(|byte| matches!(byte, 0 | b'\r')) {
        return severe("BadUri");
    }
    if !is_version(version) {
        return severe("BadVersion");
    }
    let mut lengths: Vec<&[u8]> = Vec::new();
    let mut chunked = 0;
    for (name, value) in fields(lines.clone()) {
        if name.eq_ignore_ascii_case(b"content-length") {
            if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
                return severe("BadContentLength");
            }
            lengths.push(value);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            let codings = || value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            if !codings().all(|coding| coding.eq_ignore_ascii_case(b"chunked") || coding.eq_ignore_ascii_case(b"identity")) {
                return severe("BadTransferEncoding");
            }
            chunked += codings().filter(|coding| coding.eq_ignore_ascii_case(b"chunked")).count();
        }
    }
    if lengths.windows(2).any(|pair| matches!(pair, [first, second] if first != second)) {
        return severe("MultipleContentLength");
    }
    if chunked > 1 {
        return severe("MultipleTransferEncodingChunked");
    }
    let bad = |line: &[u8]| line.iter().any(|byte| matches!(byte, 0 | b'\r')) || !line.contains(&b':');
    if lines.take_while(|line| !line.is_empty()).any(bad) { severe("BadHeader") } else { None }
}

/// Names and values up to the empty line.
fn fields<'a>(lines: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    lines.take_while(|line| !line.is_empty()).filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at_checked(colon)?;
        Some((name, value.get(1..)?.trim_ascii()))
    })
}

fn trim_end(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_heads_get_the_documented_page() {
        for (head, expected) in [
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", ErrorPage::VersionNotSupported),
            ("GET / HTTP/3\r\n\r\n", ErrorPage::VersionNotSupported),
            ("GET / HTPP/1.1\r\n\r\n", ErrorPage::BadRequest),
            ("rubbish\r\n\r\n", ErrorPage::BadRequest),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", ErrorPage::NotImplemented),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", ErrorPage::NotImplemented),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", ErrorPage::BadRequest),
            ("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", ErrorPage::BadRequest),
            // What looks like a header behind the empty line is body.
            ("POST / HTTP/1.1\r\nbad header\r\n\r\nTransfer-Encoding: gzip\r\n", ErrorPage::BadRequest),
        ] {
            assert_eq!(refusal(head.as_bytes()), expected, "{head}");
        }
        assert_eq!(refusal(format!("GET /{} HTTP/1.1\r\n", "a".repeat(REQUEST_LINE_LIMIT)).as_bytes()), ErrorPage::UriTooLong);
    }

    #[test]
    fn desync_classes_follow_the_table() {
        use DesyncMitigation::{Defensive, Monitor, Strictest};
        use Verdict::{Allow, AllowThenClose, Refuse};
        for (head, monitor, defensive, strictest) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Allow, Allow, Allow),
            ("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", Allow, Allow, Allow),
            ("GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", Allow, Allow, Refuse),
            ("GET / HTTP/1.1\r\nx_y: 0\r\n\r\n", Allow, Allow, Refuse),
            ("GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", Allow, AllowThenClose, Refuse),
            ("HEAD / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Allow, AllowThenClose, Refuse),
            ("POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", Allow, AllowThenClose, Refuse),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", Allow, AllowThenClose, Refuse),
        ] {
            for (mode, expected) in [(Monitor, monitor), (Defensive, defensive), (Strictest, strictest)] {
                assert_eq!(verdict(classify(head.as_bytes()), mode), expected, "{mode:?} on {head}");
            }
        }
    }

    /// User guide of application load balancers, access logs, "Classification reasons".
    #[test]
    fn classes_and_reasons_are_those_of_the_user_guide() {
        use Class::{Acceptable, Ambiguous, Severe};
        for (head, expected) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", None),
            ("GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", Some((Acceptable, "GetHeadZeroContentLength"))),
            ("GET / HTTP/1.1\r\nx_y: 0\r\n\r\n", Some((Acceptable, "NonCompliantHeader"))),
            ("GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", Some((Ambiguous, "UndefinedContentLengthSemantics"))),
            ("HEAD / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", Some((Ambiguous, "UndefinedTransferEncodingSemantics"))),
            ("POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", Some((Ambiguous, "DuplicateContentLength"))),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", Some((Ambiguous, "BothTeClPresent"))),
        ] {
            assert_eq!(classify(head.as_bytes()), expected, "{head}");
        }
        for (head, reason) in [
            ("{} / HTTP/1.1\r\nHost: a\r\n\r\n", Some("BadMethod")),
            ("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", Some("BadUri")),
            ("GET / HTPP/1.1\r\nHost: a\r\n\r\n", Some("BadVersion")),
            ("POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", Some("BadContentLength")),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", Some("BadTransferEncoding")),
            ("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", Some("MultipleContentLength")),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", Some("MultipleTransferEncodingChunked")),
            ("POST / HTTP/1.1\r\nbad header\r\n\r\n", Some("BadHeader")),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", None),
        ] {
            assert_eq!(severity(head.as_bytes()), reason.map(|reason| (Severe, reason)), "{head}");
        }
    }
}
