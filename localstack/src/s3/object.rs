//! Objects.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::body::Bytes;
use md5::{Digest, Md5};

use super::{Bucket, Version, invalid_argument};
use crate::clock::http_date;
use crate::error::{Answer, ApiError};
use crate::id::Ids;
use crate::state::State;
use crate::wire::{Input, Output, Record};

/// AWS: keys have at most 1024 bytes.
const KEY_LIMIT: usize = 1024;
/// Headers that an object keeps, by the member of its answer.
const KEPT: &[(&str, &str)] = &[
    ("CacheControl", "cache-control"),
    ("ContentDisposition", "content-disposition"),
    ("ContentEncoding", "content-encoding"),
    ("ContentLanguage", "content-language"),
    ("Expires", "expires"),
];
/// AWS encrypts all objects with keys of its own.
const ENCRYPTION: &str = "AES256";

impl Bucket {
    /// Writes an object: a new version, or in the place of the one that has no version. Answers with the version's id.
    pub fn write(&mut self, ids: &mut Ids, key: &str, mut version: Version) -> String {
        let versions = self.objects.entry(key.into()).or_default();
        if self.versioning.as_deref() == Some("Enabled") {
            version.id = ids.hex(32);
        } else {
            version.id = "null".into();
            versions.retain(|other| other.id != "null");
        }
        let id = version.id.clone();
        versions.push(version);
        id
    }
}

impl Version {
    /// A version with this content, at this moment.
    pub fn new(state: &State, body: Bytes, content_type: &str) -> Self {
        let digest = Md5::digest(&body);
        Self {
            id: String::new(),
            modified: state.now,
            etag: format!("\"{}\"", digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
            content_type: content_type.into(),
            headers: BTreeMap::new(),
            metadata: BTreeMap::new(),
            body: Some(body),
        }
    }

    fn version_id(&self, bucket: &Bucket) -> Option<&String> {
        Some(&self.id).filter(|_| bucket.versioning.is_some())
    }
}

/// PutObject.
pub fn put(state: &mut State, input: &Input) -> Answer<Record> {
    let (bucket, key) = (input.required("Bucket")?.to_string(), input.required("Key")?.to_string());
    let body = input.bytes("Body").cloned().unwrap_or_default();
    let digest = input.text("ContentMD5").map(str::to_string);
    let content_type = input.text("ContentType").unwrap_or("binary/octet-stream").to_string();
    let mut version = Version::new(state, body, &content_type);
    version.headers = KEPT.iter().filter_map(|(name, header)| Some(((*header).to_string(), input.text(name)?.to_string()))).collect();
    version.metadata = input.child("Metadata").map(Input::entries).unwrap_or_default().into_iter().collect();
    let (only_if, only_if_not) = (input.text("IfMatch").map(str::to_string), input.text("IfNoneMatch").map(str::to_string));
    input.done()?;
    if key.len() > KEY_LIMIT {
        return Err(ApiError::new("KeyTooLongError", "Your key is too long"));
    }
    if let Some(digest) = digest {
        let told = STANDARD.decode(&digest).ok().filter(|bytes| bytes.len() == 16);
        let told = told.ok_or_else(|| ApiError::new("InvalidDigest", "The Content-MD5 you specified was invalid."))?;
        if version.etag.trim_matches('"') != told.iter().map(|byte| format!("{byte:02x}")).collect::<String>() {
            return Err(ApiError::new("BadDigest", "The Content-MD5 you specified did not match what we received."));
        }
    }
    let existing = state.s3.object(&bucket, &key, None).map(|(found, _)| found.etag.clone()).ok();
    if only_if.is_some() && existing.is_none() {
        state.s3.bucket(&bucket)?;
        return Err(super::no_such_key());
    }
    let differs = only_if.is_some_and(|etag| existing.as_ref() != Some(&etag));
    let exists = only_if_not.is_some_and(|etag| if etag == "*" { existing.is_some() } else { existing.as_ref() == Some(&etag) });
    if differs || exists {
        return Err(precondition_failed());
    }
    let bucket = match state.s3.buckets.get_mut(&bucket) {
        Some(bucket) if !bucket.managed => bucket,
        _ => return state.s3.bucket_mut(&bucket).map(|_| Record::new()),
    };
    let record = Record::new().with("ETag", &version.etag).with("ServerSideEncryption", ENCRYPTION);
    let keeps = bucket.versioning.is_some();
    let id = bucket.write(&mut state.ids, &key, version);
    Ok(record.maybe("VersionId", keeps.then_some(id)))
}

fn precondition_failed() -> ApiError {
    ApiError::with_status("PreconditionFailed", "At least one of the pre-conditions you specified did not hold", 412)
}

/// `bytes=FIRST-LAST`, `bytes=FIRST-` or `bytes=-LENGTH` as positions within a content; `None` for what is no such range, which S3 ignores.
fn range(text: &str, length: usize) -> Option<Answer<(usize, usize)>> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let (begin, end) = match (first.parse::<usize>(), last.parse::<usize>()) {
        (Ok(first), Ok(last)) if first <= last => (first, last.saturating_add(1).min(length)),
        (Ok(first), Err(_)) if last.is_empty() => (first, length),
        (Err(_), Ok(last)) if first.is_empty() => (length.saturating_sub(last), length),
        _ => return None,
    };
    let outside = || ApiError::with_status("InvalidRange", "The requested range is not satisfiable", 416);
    Some(if begin < end { Ok((begin, end)) } else { Err(outside()) })
}

/// GetObject and HeadObject.
pub fn get(state: &mut State, input: &Input) -> Answer<Record> {
    let (bucket, key) = (input.required("Bucket")?, input.required("Key")?);
    let version = input.text("VersionId").filter(|id| !id.is_empty());
    let (only_if, only_if_not) = (input.text("IfMatch"), input.text("IfNoneMatch"));
    let wanted = input.text("Range");
    input.done()?;
    let (found, body) = state.s3.object(bucket, key, version)?;
    if only_if.is_some_and(|etag| etag != found.etag && etag != "*") {
        return Err(precondition_failed());
    }
    if only_if_not.is_some_and(|etag| etag == found.etag || etag == "*") {
        return Err(ApiError::with_status("NotModified", "Not Modified", 304));
    }
    let mut record = Record::new()
        .with("ETag", &found.etag)
        .with("LastModified", http_date(found.modified))
        .with("ContentType", &found.content_type)
        .with("AcceptRanges", "bytes")
        .with("ServerSideEncryption", ENCRYPTION)
        .maybe("VersionId", found.version_id(state.s3.bucket(bucket)?));
    for (name, header) in KEPT {
        record = record.maybe(name, found.headers.get(*header));
    }
    let metadata = Record { members: found.metadata.iter().map(|(key, value)| (key.clone().into(), Output::from(value))).collect() };
    record = record.with("Metadata", metadata);
    let Some(range) = wanted.and_then(|text| range(text, body.len())) else { return Ok(record.with("Body", body.clone())) };
    let (begin, end) = range?;
    let told = format!("bytes {begin}-{}/{}", end - 1, body.len());
    Ok(record.with("Status", 206_u16).with("ContentRange", told).with("Body", body.slice(begin..end)))
}

/// DeleteObject: a version, or else what is current. Where versions are kept a delete marker takes its place. Succeeds if there is none.
pub fn delete(state: &mut State, input: &Input) -> Answer<Record> {
    let (bucket, key) = (input.required("Bucket")?.to_string(), input.required("Key")?.to_string());
    let version = input.text("VersionId").filter(|id| !id.is_empty()).map(str::to_string);
    input.done()?;
    let (marker, id) = remove(state, &bucket, &key, version.as_deref())?;
    Ok(Record::new().maybe("DeleteMarker", marker.then_some(true)).maybe("VersionId", id))
}

/// Removes an object or a version. Tells whether it was, or became, a delete marker, and the version's id.
fn remove(state: &mut State, name: &str, key: &str, version: Option<&str>) -> Answer<(bool, Option<String>)> {
    state.s3.bucket_mut(name)?;
    let marker = Version { body: None, etag: String::new(), ..Version::new(state, Bytes::new(), "") };
    let Some(bucket) = state.s3.buckets.get_mut(name) else { return Ok((false, None)) };
    let answer = match version {
        Some(id) => {
            let versions = bucket.objects.entry(key.into()).or_default();
            let at = versions.iter().position(|found| found.id == id);
            let gone = at.map(|at| versions.remove(at));
            (gone.is_some_and(|gone| gone.body.is_none()), Some(id.to_string()))
        }
        None if bucket.versioning.is_none() => {
            bucket.objects.remove(key);
            (false, None)
        }
        None => (true, Some(bucket.write(&mut state.ids, key, marker))),
    };
    bucket.objects.retain(|_, versions| !versions.is_empty());
    Ok(answer)
}

/// DeleteObjects: up to 1000 at a time.
pub fn delete_many(state: &mut State, input: &Input) -> Answer<Record> {
    let bucket = input.required("Bucket")?.to_string();
    let request = input.child("Delete").ok_or_else(|| invalid_argument("Delete must not be empty"))?;
    let quiet = request.flag("Quiet")?.unwrap_or(false);
    let mut wanted = Vec::new();
    for item in request.items("Object") {
        wanted.push((item.required("Key")?.to_string(), item.text("VersionId").filter(|id| !id.is_empty()).map(str::to_string)));
    }
    input.done()?;
    if wanted.is_empty() || wanted.len() > 1000 {
        return Err(ApiError::new(
            "MalformedXML",
            "The XML you provided was not well-formed or did not validate against our published schema",
        ));
    }
    state.s3.bucket_mut(&bucket)?;
    let mut deleted = Vec::new();
    for (key, version) in wanted {
        let (marker, id) = remove(state, &bucket, &key, version.as_deref())?;
        let record = Record::new().with("Key", key).maybe("VersionId", version.as_ref());
        let made = id.filter(|_| marker);
        deleted.push(record.maybe("DeleteMarker", marker.then_some(true)).maybe("DeleteMarkerVersionId", made));
    }
    Ok(if quiet { Record::new() } else { Record::new().list("Deleted", deleted) })
}
