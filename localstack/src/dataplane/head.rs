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

/// How differently two HTTP parsers could read a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ambiguity {
    Compliant,
    Acceptable,
    Ambiguous,
}

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

/// Judges a head. The parser has refused the severe ones already.
pub(super) fn desync_verdict(head: &[u8], mode: DesyncMitigation) -> Verdict {
    if mode == DesyncMitigation::Monitor {
        return Verdict::Allow;
    }
    match (ambiguity(head), mode) {
        (Ambiguity::Compliant, _) | (Ambiguity::Acceptable, DesyncMitigation::Defensive) => Verdict::Allow,
        (Ambiguity::Ambiguous, DesyncMitigation::Defensive) => Verdict::AllowThenClose,
        (_, DesyncMitigation::Strictest) => Verdict::Refuse,
        (_, DesyncMitigation::Monitor) => Verdict::Allow,
    }
}

fn ambiguity(head: &[u8]) -> Ambiguity {
    let mut lines = head.split(|byte| *byte == b'\n').map(trim_end);
    let request_line = lines.next().unwrap_or_default();
    let without_body = request_line.starts_with(b"GET ") || request_line.starts_with(b"HEAD ");
    let (mut lengths, mut codings) = (0, 0);
    let mut worst = Ambiguity::Compliant;
    for (name, value) in fields(lines) {
        if name.eq_ignore_ascii_case(b"content-length") {
            lengths += 1;
            if without_body {
                // GetHeadZeroContentLength, UndefinedContentLengthSemantics.
                worst = worst.max(if value == b"0" { Ambiguity::Acceptable } else { Ambiguity::Ambiguous });
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            codings += 1;
            if without_body {
                worst = Ambiguity::Ambiguous;
            }
        } else if !name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-') {
            // NonCompliantHeader.
            worst = worst.max(Ambiguity::Acceptable);
        }
    }
    // DuplicateContentLength, BothTeClPresent.
    if lengths > 1 || (lengths > 0 && codings > 0) { Ambiguity::Ambiguous } else { worst }
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
                assert_eq!(desync_verdict(head.as_bytes(), mode), expected, "{mode:?} on {head}");
            }
        }
    }
}
