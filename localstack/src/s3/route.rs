//! From a request to an operation of S3 with its parameters.

use hyper::body::Bytes;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::error::{Answer, ApiError};
use crate::wire::rest::{Request, decoded};
use crate::wire::{Input, xml_input};

/// Sub-resources that S3 has and this cloud has not.
const UNSERVED: &[&str] = &[
    "accelerate",
    "acl",
    "analytics",
    "attributes",
    "cors",
    "encryption",
    "intelligent-tiering",
    "inventory",
    "legal-hold",
    "lifecycle",
    "logging",
    "metadataTable",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "partNumber",
    "policyStatus",
    "publicAccessBlock",
    "replication",
    "requestPayment",
    "restore",
    "retention",
    "select",
    "session",
    "tagging",
    "torrent",
    "uploadId",
    "uploads",
    "website",
];
/// Query parameters that are members of listings and of reading.
const PARAMETERS: &[(&str, &str)] = &[
    ("prefix", "Prefix"),
    ("delimiter", "Delimiter"),
    ("max-keys", "MaxKeys"),
    ("encoding-type", "EncodingType"),
    ("marker", "Marker"),
    ("start-after", "StartAfter"),
    ("continuation-token", "ContinuationToken"),
    ("fetch-owner", "FetchOwner"),
    ("key-marker", "KeyMarker"),
    ("version-id-marker", "VersionIdMarker"),
    ("versionId", "VersionId"),
];
/// Headers that are members, by the operations that have them.
const HEADERS: &[(&str, &str, &[&str])] = &[
    ("if-match", "IfMatch", &["PutObject", "GetObject", "HeadObject"]),
    ("if-none-match", "IfNoneMatch", &["PutObject", "GetObject", "HeadObject"]),
    ("range", "Range", &["GetObject", "HeadObject"]),
    ("content-md5", "ContentMD5", &["PutObject"]),
    ("content-type", "ContentType", &["PutObject"]),
    ("cache-control", "CacheControl", &["PutObject"]),
    ("content-disposition", "ContentDisposition", &["PutObject"]),
    ("content-language", "ContentLanguage", &["PutObject"]),
    ("expires", "Expires", &["PutObject"]),
    ("x-amz-confirm-remove-self-bucket-access", "ConfirmRemoveSelfBucketAccess", &["PutBucketPolicy"]),
];
/// `x-amz-…` headers that change nothing here, with the values that this holds for (none: any).
const HARMLESS: &[(&str, &[&str])] = &[
    ("x-amz-acl", &["private", "bucket-owner-full-control", "bucket-owner-read"]),
    ("x-amz-bucket-object-lock-enabled", &["false", "False"]),
    ("x-amz-checksum-mode", &[]),
    ("x-amz-content-sha256", &[]),
    ("x-amz-date", &[]),
    ("x-amz-decoded-content-length", &[]),
    ("x-amz-expected-bucket-owner", &[]),
    ("x-amz-object-ownership", &["BucketOwnerEnforced", "BucketOwnerPreferred"]),
    ("x-amz-request-payer", &[]),
    ("x-amz-sdk-checksum-algorithm", &[]),
    ("x-amz-security-token", &[]),
    ("x-amz-server-side-encryption", &["AES256"]),
    ("x-amz-storage-class", &["STANDARD"]),
    ("x-amz-trailer", &[]),
    ("x-amz-user-agent", &[]),
];

fn not_implemented(what: &str) -> ApiError {
    ApiError::with_status(
        "NotImplemented",
        format!("A header or sub-resource you provided implies functionality that is not implemented: {what}"),
        501,
    )
}

/// The operation that a request asks for.
pub fn route(request: &Request<'_>) -> Answer<(&'static str, Input)> {
    let (bucket, key) = request.path.trim_start_matches('/').split_once('/').unwrap_or((request.path.trim_start_matches('/'), ""));
    let (bucket, key) = (decoded(bucket), decoded(key));
    let asks = |name: &str| request.parameter(name).is_some();
    if let Some(name) = UNSERVED.iter().find(|name| asks(name)) {
        return Err(not_implemented(name));
    }
    if request.header("x-amz-copy-source").is_some() {
        return Err(not_implemented("x-amz-copy-source"));
    }
    let operation = match (request.method.as_str(), bucket.is_empty(), key.is_empty()) {
        ("GET", true, _) => "ListBuckets",
        (_, true, _) => return Err(not_allowed()),
        ("GET", _, true) if asks("location") => "GetBucketLocation",
        ("GET", _, true) if asks("versioning") => "GetBucketVersioning",
        ("GET", _, true) if asks("policy") => "GetBucketPolicy",
        ("GET", _, true) if asks("versions") => "ListObjectVersions",
        ("GET", _, true) if request.parameter("list-type") == Some("2") => "ListObjectsV2",
        ("GET", _, true) => "ListObjects",
        ("PUT", _, true) if asks("versioning") => "PutBucketVersioning",
        ("PUT", _, true) if asks("policy") => "PutBucketPolicy",
        ("PUT", _, true) => "CreateBucket",
        ("DELETE", _, true) if asks("policy") => "DeleteBucketPolicy",
        ("DELETE", _, true) => "DeleteBucket",
        ("HEAD", _, true) => "HeadBucket",
        ("POST", _, true) if asks("delete") => "DeleteObjects",
        ("GET", _, false) => "GetObject",
        ("HEAD", _, false) => "HeadObject",
        ("PUT", _, false) => "PutObject",
        ("DELETE", _, false) => "DeleteObject",
        _ => return Err(not_allowed()),
    };
    let mut input = Input::new();
    let mut put = |name: &str, text: &str| input.put(name, Input::leaf(name, text));
    if !bucket.is_empty() {
        put("Bucket", &bucket);
    }
    if !key.is_empty() {
        put("Key", &key);
    }
    for (name, value) in &request.query {
        if let Some((_, member)) = PARAMETERS.iter().find(|(known, _)| known == name) {
            put(member, value);
        }
    }
    for (header, member, operations) in HEADERS {
        if let Some(value) = request.header(header).filter(|_| operations.contains(&operation)) {
            put(member, value);
        }
    }
    if let Some(owner) = request.header("x-amz-expected-bucket-owner") {
        put("ExpectedBucketOwner", owner);
    }
    if let Some(until) = presigned_until(request) {
        put("PresignedUntil", &until);
    }
    let encoding = request.header("content-encoding").unwrap_or_default();
    let kept: Vec<&str> = encoding.split(',').map(str::trim).filter(|coding| !["", "aws-chunked"].contains(coding)).collect();
    if operation == "PutObject" && !kept.is_empty() {
        put("ContentEncoding", &kept.join(","));
    }
    metadata(request, operation, &mut input)?;
    body(request, operation, &mut input)?;
    Ok((operation, input))
}

fn not_allowed() -> ApiError {
    ApiError::with_status("MethodNotAllowed", "The specified method is not allowed against this resource.", 405)
}

/// When a presigned URL ends to be valid; what is no time is left for the operation to refuse.
fn presigned_until(request: &Request<'_>) -> Option<String> {
    if let Some(end) = request.parameter("Expires").filter(|_| request.parameter("AWSAccessKeyId").is_some()) {
        let end = end.parse().ok().and_then(|end| Timestamp::from_second(end).ok());
        return Some(end.map_or_else(String::new, |end| end.to_string()));
    }
    let (date, seconds) = (request.parameter("X-Amz-Date")?, request.parameter("X-Amz-Expires")?);
    let begin = DateTime::strptime("%Y%m%dT%H%M%SZ", date).ok().and_then(|time| time.to_zoned(TimeZone::UTC).ok());
    let end = begin.and_then(|begin| begin.timestamp().checked_add(SignedDuration::from_secs(seconds.parse().ok()?)).ok());
    Some(end.map_or_else(|| date.to_string(), |end: Timestamp| end.to_string()))
}

/// `x-amz-meta-…` becomes metadata; other headers of S3's must be known, so that none is ignored that means something.
fn metadata(request: &Request<'_>, operation: &str, input: &mut Input) -> Answer<()> {
    let mut metadata = Input::named("Metadata");
    for (name, value) in request.headers {
        let (name, value) = (name.as_str(), value.to_str().unwrap_or_default());
        if let Some(key) = name.strip_prefix("x-amz-meta-") {
            metadata.put(key, Input::leaf(key, value));
            continue;
        }
        if !name.starts_with("x-amz-") || name.starts_with("x-amz-checksum-") || HEADERS.iter().any(|(known, _, _)| *known == name) {
            continue;
        }
        let known = HARMLESS.iter().find(|(known, _)| *known == name);
        if known.is_none_or(|(_, values)| !values.is_empty() && !values.contains(&value)) {
            return Err(not_implemented(name));
        }
    }
    if operation == "PutObject" {
        input.put("Metadata", metadata);
    }
    Ok(())
}

fn body(request: &Request<'_>, operation: &str, input: &mut Input) -> Answer<()> {
    let content = || {
        let chunked = request.header("content-encoding").is_some_and(|encoding| encoding.contains("aws-chunked"))
            || request.header("x-amz-content-sha256").is_some_and(|hash| hash.starts_with("STREAMING-"));
        if chunked { dechunked(&request.body) } else { Ok(request.body.clone()) }
    };
    let root = match operation {
        "PutObject" | "PutBucketPolicy" => {
            input.put("Body", Input::blob("Body", content()?));
            return Ok(());
        }
        "CreateBucket" if request.body.is_empty() => return Ok(()),
        "CreateBucket" => "CreateBucketConfiguration",
        "PutBucketVersioning" => "VersioningConfiguration",
        "DeleteObjects" => "Delete",
        _ => return Ok(()),
    };
    input.put(root, xml_input::parse(root, &content()?, &["Object"])?);
    Ok(())
}

/// The content of a body in `aws-chunked` encoding: chunks of `SIZE;chunk-signature=…`, then trailers. Neither is verified.
fn dechunked(body: &Bytes) -> Answer<Bytes> {
    let incomplete = || ApiError::new("IncompleteBody", "The request body terminated unexpectedly");
    let mut content = Vec::with_capacity(body.len());
    let mut rest: &[u8] = body;
    loop {
        let end = rest.windows(2).position(|pair| pair == b"\r\n").ok_or_else(incomplete)?;
        let line = rest.get(..end).and_then(|line| std::str::from_utf8(line).ok()).ok_or_else(incomplete)?;
        let size = line.split(';').next().and_then(|size| usize::from_str_radix(size, 16).ok()).ok_or_else(incomplete)?;
        if size == 0 {
            return Ok(Bytes::from(content));
        }
        let (chunk, after) = rest.get(end + 2..).and_then(|rest| rest.split_at_checked(size)).ok_or_else(incomplete)?;
        content.extend_from_slice(chunk);
        rest = after.strip_prefix(b"\r\n").ok_or_else(incomplete)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routed(method: &str, uri: &str, headers: &[(&str, &str)], body: &'static str) -> Answer<(&'static str, Input)> {
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        route(&Request::new(&head, Bytes::from(body)))
    }

    #[test]
    fn methods_paths_and_queries_tell_the_operation() {
        let rows = [
            ("GET", "/", "ListBuckets"),
            ("PUT", "/b", "CreateBucket"),
            ("HEAD", "/b", "HeadBucket"),
            ("DELETE", "/b/", "DeleteBucket"),
            ("GET", "/b?policy", "GetBucketPolicy"),
            ("GET", "/b?list-type=2&prefix=x", "ListObjectsV2"),
            ("GET", "/b?versions", "ListObjectVersions"),
            ("PUT", "/b/a/b%20c", "PutObject"),
            ("GET", "/b/a?versionId=1", "GetObject"),
        ];
        for (method, uri, expected) in rows {
            assert_eq!(routed(method, uri, &[], "").unwrap().0, expected, "{method} {uri}");
        }
        let (_, input) = routed("PUT", "/b/a/b%20c", &[("x-amz-meta-colour", "red")], "text").unwrap();
        assert_eq!(input.text("Key"), Some("a/b c"));
        assert_eq!(input.bytes("Body").map(|body| &body[..]), Some(&b"text"[..]));
        assert_eq!(input.child("Metadata").unwrap().entries(), [("colour".to_string(), "red".to_string())]);
    }

    #[test]
    fn what_is_not_served_is_refused_by_name() {
        let rows = [
            ("PUT", "/b/k?tagging", ""),
            ("PUT", "/b/k", "x-amz-copy-source"),
            ("PUT", "/b/k", "x-amz-object-lock-mode"),
            ("PUT", "/b/k", "x-amz-acl"),
        ];
        for (method, uri, header) in rows {
            let headers: &[(&str, &str)] = if header.is_empty() { &[] } else { &[(header, "public-read")] };
            assert_eq!(routed(method, uri, headers, "").unwrap_err().code, "NotImplemented", "{uri} {header}");
        }
    }

    #[test]
    fn chunks_are_put_together() {
        let chunked = "3;chunk-signature=0\r\nabc\r\n2\r\nde\r\n0\r\nx-amz-checksum-crc32:AAAA\r\n\r\n";
        assert_eq!(&dechunked(&Bytes::from(chunked)).unwrap()[..], b"abcde");
        for broken in ["", "5\r\nabc", "x\r\n", "3\r\nabc\r\n", "ffffffffffffffff\r\nabc\r\n"] {
            assert_eq!(dechunked(&Bytes::from(broken)).unwrap_err().code, "IncompleteBody", "{broken:?}");
        }
    }
}
