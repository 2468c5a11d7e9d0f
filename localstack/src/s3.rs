//! S3 (version 2006-03-01), as far as trust stores and access logs need it: buckets with policies and versioning, objects.
//!
//! Path-style requests only. Who asks does not matter: the account is allowed everything in its buckets; a bucket's policy decides what load
//! balancers may write there.

use std::collections::BTreeMap;

use hyper::body::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::{Answer, ApiError};
use crate::operation::{Kind, Operation};
use crate::state::State;
use crate::wire::rest::Layout;
use crate::wire::{Input, Record};

pub mod bucket;
pub mod listing;
pub mod object;
pub mod policy;
pub mod route;

/// The XML namespace of answers.
pub const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// The state of S3.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct S3 {
    /// Buckets by name.
    pub buckets: BTreeMap<String, Bucket>,
}

/// A bucket.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// When it was created.
    pub created: Timestamp,
    /// Whether it is a service's own, which the account neither sees in its list nor can change.
    pub managed: bool,
    /// Whether it keeps versions: `Enabled` or `Suspended`; `None` if it never did.
    pub versioning: Option<String>,
    /// Its policy, a JSON document.
    pub policy: Option<String>,
    /// Its objects by key; of each its versions, the current one last.
    pub objects: BTreeMap<String, Vec<Version>>,
}

impl Bucket {
    /// The bytes of all versions of its objects.
    pub fn size(&self) -> usize {
        self.objects.values().flatten().filter_map(|version| version.body.as_ref()).map(Bytes::len).sum()
    }

    /// What it holds, without contents: sizes of objects by key, `null` for deleted ones.
    pub fn summary(&self) -> Value {
        let size = |versions: &Vec<Version>| versions.last().and_then(|version| version.body.as_ref()).map(Bytes::len);
        let objects: BTreeMap<&String, Option<usize>> = self.objects.iter().map(|(key, versions)| (key, size(versions))).collect();
        json!({ "name": self.name, "region": self.region, "created": self.created, "versioning": self.versioning, "policy": self.policy, "objects": objects })
    }
}

/// A version of an object, or a delete marker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Version {
    /// Its id; `null` if the bucket did not keep versions when it was written.
    pub id: String,
    /// When it was written.
    pub modified: Timestamp,
    /// Its MD5 digest in hex, in double quotes.
    pub etag: String,
    /// Its content type.
    pub content_type: String,
    /// Its other headers, by name: `cache-control`, `content-encoding` and so on.
    pub headers: BTreeMap<String, String>,
    /// Its metadata, without `x-amz-meta-`.
    pub metadata: BTreeMap<String, String>,
    /// Its content; `None` for a delete marker.
    #[serde(with = "content")]
    pub body: Option<Bytes>,
}

/// Contents in JSON: base64.
mod content {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use hyper::body::Bytes;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(body: &Option<Bytes>, serializer: S) -> Result<S::Ok, S::Error> {
        body.as_ref().map(|bytes| STANDARD.encode(bytes)).serialize(serializer)
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<Option<Bytes>, D::Error> {
        let text: Option<String> = Option::deserialize(deserializer)?;
        text.map(|text| STANDARD.decode(text).map(Bytes::from).map_err(D::Error::custom)).transpose()
    }
}

impl S3 {
    /// The bucket with this name.
    pub fn bucket(&self, name: &str) -> Answer<&Bucket> {
        self.buckets.get(name).ok_or_else(|| no_such_bucket(name))
    }

    /// The bucket with this name, to change it: services' own are not the account's.
    pub fn bucket_mut(&mut self, name: &str) -> Answer<&mut Bucket> {
        match self.buckets.get_mut(name) {
            Some(bucket) if bucket.managed => Err(access_denied()),
            Some(bucket) => Ok(bucket),
            None => Err(no_such_bucket(name)),
        }
    }

    /// The current or a certain version of an object, with its content.
    ///
    /// # Errors
    /// `NoSuchBucket`, `NoSuchKey`, `NoSuchVersion`, and `MethodNotAllowed` for a version that is a delete marker.
    pub fn object(&self, bucket: &str, key: &str, version: Option<&str>) -> Answer<(&Version, &Bytes)> {
        let versions = self.bucket(bucket)?.objects.get(key).map(Vec::as_slice).unwrap_or_default();
        let found = match version {
            None => versions.last().filter(|found| found.body.is_some()).ok_or_else(no_such_key)?,
            Some(id) => versions.iter().find(|found| found.id == id).ok_or_else(no_such_version)?,
        };
        let body = found
            .body
            .as_ref()
            .ok_or_else(|| ApiError::with_status("MethodNotAllowed", "The specified method is not allowed against this resource.", 405))?;
        Ok((found, body))
    }
}

fn no_such_bucket(name: &str) -> ApiError {
    ApiError::with_status("NoSuchBucket", format!("The specified bucket does not exist: {name}"), 404)
}

fn no_such_key() -> ApiError {
    ApiError::with_status("NoSuchKey", "The specified key does not exist.", 404)
}

fn no_such_version() -> ApiError {
    ApiError::with_status("NoSuchVersion", "The specified version does not exist.", 404)
}

fn access_denied() -> ApiError {
    ApiError::with_status("AccessDenied", "Access Denied", 403)
}

fn invalid_argument(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidArgument", message)
}

/// A moment as S3 writes it in XML.
fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// The operation with this name.
pub fn operation(name: &str) -> Option<Operation> {
    use Kind::{Read, Write};
    Some(match name {
        "ListBuckets" => Operation::new(Read, bucket::list),
        "CreateBucket" => Operation::new(Write, bucket::create),
        "HeadBucket" => Operation::new(Read, bucket::head),
        "DeleteBucket" => Operation::new(Write, bucket::delete),
        "GetBucketLocation" => Operation::new(Read, bucket::location),
        "GetBucketVersioning" => Operation::new(Read, bucket::versioning),
        "PutBucketVersioning" => Operation::new(Write, bucket::set_versioning),
        "GetBucketPolicy" => Operation::new(Read, policy::get),
        "PutBucketPolicy" => Operation::new(Write, policy::put),
        "DeleteBucketPolicy" => Operation::new(Write, policy::delete),
        "ListObjects" => Operation::new(Read, listing::objects),
        "ListObjectsV2" => Operation::new(Read, listing::objects_v2),
        "ListObjectVersions" => Operation::new(Read, listing::versions),
        "PutObject" => Operation::new(Write, object::put),
        "GetObject" | "HeadObject" => Operation::new(Read, object::get),
        "DeleteObject" => Operation::new(Write, object::delete),
        "DeleteObjects" => Operation::new(Write, object::delete_many),
        _ => return None,
    })
}

/// Members of answers that are headers.
const HEADERS: &[(&str, &str)] = &[
    ("AcceptRanges", "accept-ranges"),
    ("BucketRegion", "x-amz-bucket-region"),
    ("CacheControl", "cache-control"),
    ("ContentDisposition", "content-disposition"),
    ("ContentEncoding", "content-encoding"),
    ("ContentLanguage", "content-language"),
    ("ContentRange", "content-range"),
    ("ContentType", "content-type"),
    ("DeleteMarker", "x-amz-delete-marker"),
    ("ETag", "etag"),
    ("Expires", "expires"),
    ("LastModified", "last-modified"),
    ("Location", "location"),
    ("ServerSideEncryption", "x-amz-server-side-encryption"),
    ("VersionId", "x-amz-version-id"),
];

/// How the answer of an operation is written.
pub fn layout(operation: &str) -> Layout {
    let root = match operation {
        "ListBuckets" => Some("ListAllMyBucketsResult"),
        "GetBucketVersioning" => Some("VersioningConfiguration"),
        "ListObjects" | "ListObjectsV2" => Some("ListBucketResult"),
        "ListObjectVersions" => Some("ListVersionsResult"),
        "DeleteObjects" => Some("DeleteResult"),
        _ => None,
    };
    let status = if ["DeleteBucket", "DeleteObject", "DeleteBucketPolicy", "PutBucketPolicy"].contains(&operation) { 204 } else { 200 };
    Layout { status, root, namespace: NAMESPACE, headers: HEADERS }
}

/// Runs an operation: the account's number, if the caller expects one, must be right, and a presigned URL not too old.
pub fn run(operation: Operation, state: &mut State, input: &Input) -> Answer<Record> {
    if input.text("ExpectedBucketOwner").is_some_and(|owner| owner != state.config.account) {
        return Err(access_denied());
    }
    if let Some(end) = input.text("PresignedUntil") {
        let end: Timestamp = end.parse().map_err(|_| invalid_argument("X-Amz-Date and X-Amz-Expires must be a time and seconds"))?;
        if end < state.now {
            return Err(ApiError::with_status("AccessDenied", "Request has expired", 403));
        }
    }
    (operation.run)(state, input).map_err(|error| match error.code.as_ref() {
        "ValidationError" => invalid_argument(error.message),
        _ => error,
    })
}
