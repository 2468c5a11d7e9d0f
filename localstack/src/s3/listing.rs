//! Listings of objects: pages, prefixes, delimiters.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Bucket, Version, invalid_argument, moment};
use crate::error::Answer;
use crate::page;
use crate::state::State;
use crate::wire::{Input, Output, Record};

/// What `encoding-type=url` leaves as it is.
const SAFE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// What the three listings have in common.
struct Listing {
    bucket: String,
    prefix: String,
    delimiter: String,
    size: usize,
    encoded: bool,
}

/// An entry of a listing: an object's key, or what many keys have in common up to a delimiter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Entry {
    Key(String),
    Common(String),
}

impl Entry {
    fn text(&self) -> &str {
        match self {
            Self::Key(text) | Self::Common(text) => text,
        }
    }
}

impl Listing {
    fn read(input: &Input) -> Answer<Self> {
        let size: i64 = input.parse("MaxKeys")?.unwrap_or(1000);
        let encoding = input.text("EncodingType").unwrap_or_default();
        if !["", "url"].contains(&encoding) {
            return Err(invalid_argument("Invalid Encoding Method specified in Request"));
        }
        Ok(Self {
            bucket: input.required("Bucket")?.to_string(),
            prefix: input.text("Prefix").unwrap_or_default().to_string(),
            delimiter: input.text("Delimiter").unwrap_or_default().to_string(),
            // AWS: at most 1000, whatever is asked for.
            size: usize::try_from(size)
                .map_err(|_| invalid_argument("Argument max-keys must be an integer between 0 and 2147483647"))?
                .min(1000),
            encoded: encoding == "url",
        })
    }

    fn text(&self, text: &str) -> String {
        if self.encoded { utf8_percent_encode(text, SAFE).to_string() } else { text.to_string() }
    }

    /// The entries behind a key, a page of them, and whether there are more.
    fn page(&self, bucket: &Bucket, after: &str, shown: impl Fn(&[Version]) -> bool) -> (Vec<Entry>, bool) {
        let mut entries: Vec<Entry> = Vec::new();
        let keys = bucket.objects.iter().filter(|(key, versions)| key.starts_with(&self.prefix) && shown(versions)).map(|(key, _)| key);
        for key in keys {
            let rest = key.strip_prefix(self.prefix.as_str()).unwrap_or_default();
            let common = rest.find(self.delimiter.as_str()).filter(|_| !self.delimiter.is_empty());
            let entry = match common.and_then(|at| rest.get(..at + self.delimiter.len())) {
                Some(begin) => Entry::Common(format!("{}{begin}", self.prefix)),
                None => Entry::Key(key.clone()),
            };
            if entry.text() > after && entries.last() != Some(&entry) {
                entries.push(entry);
            }
        }
        let more = entries.len() > self.size;
        entries.truncate(self.size);
        (entries, more)
    }

    fn head(&self, more: bool) -> Record {
        Record::new()
            .with("Name", &self.bucket)
            .with("Prefix", self.text(&self.prefix))
            .maybe("Delimiter", Some(self.text(&self.delimiter)).filter(|text| !text.is_empty()))
            .with("MaxKeys", i64::try_from(self.size).unwrap_or(1000))
            .maybe("EncodingType", self.encoded.then_some("url"))
            .with("IsTruncated", more)
    }

    fn contents(&self, bucket: &Bucket, entries: &[Entry], owner: Option<&str>) -> Vec<Record> {
        let keys = entries.iter().filter_map(|entry| match entry {
            Entry::Key(key) => bucket.objects.get(key).and_then(|versions| versions.last()).map(|version| (key, version)),
            Entry::Common(_) => None,
        });
        let record = |(key, version): (&String, &Version)| {
            let owner = owner.map(|id| Record::new().with("ID", id));
            object_record(&self.text(key), version).maybe("Owner", owner)
        };
        keys.map(record).collect()
    }

    fn commons(&self, entries: &[Entry]) -> Vec<Output> {
        let commons = entries.iter().filter(|entry| matches!(entry, Entry::Common(_)));
        commons.map(|entry| Record::new().with("Prefix", self.text(entry.text())).into()).collect()
    }
}

fn object_record(key: &str, version: &Version) -> Record {
    let size = version.body.as_ref().map_or(0, |body| i64::try_from(body.len()).unwrap_or(i64::MAX));
    Record::new()
        .with("Key", key)
        .with("LastModified", moment(version.modified))
        .with("ETag", &version.etag)
        .with("Size", size)
        .with("StorageClass", "STANDARD")
}

fn is_current(versions: &[Version]) -> bool {
    versions.last().is_some_and(|version| version.body.is_some())
}

/// ListObjects.
pub fn objects(state: &mut State, input: &Input) -> Answer<Record> {
    let listing = Listing::read(input)?;
    let marker = input.text("Marker").unwrap_or_default();
    input.done()?;
    let bucket = state.s3.bucket(&listing.bucket)?;
    let (entries, more) = listing.page(bucket, marker, is_current);
    // AWS: told only if there is a delimiter; else it is the last key.
    let next = entries.last().filter(|_| more && !listing.delimiter.is_empty()).map(|entry| listing.text(entry.text()));
    Ok(listing
        .head(more)
        .with("Marker", listing.text(marker))
        .maybe("NextMarker", next)
        .list("Contents", listing.contents(bucket, &entries, Some(&state.config.account)))
        .list("CommonPrefixes", listing.commons(&entries)))
}

/// ListObjectsV2.
pub fn objects_v2(state: &mut State, input: &Input) -> Answer<Record> {
    let listing = Listing::read(input)?;
    let start = input.text("StartAfter").unwrap_or_default();
    let token = input.text("ContinuationToken").filter(|token| !token.is_empty());
    let owner = input.flag("FetchOwner")?.unwrap_or(false);
    input.done()?;
    let last = match token {
        Some(token) => page::decode(token).ok_or_else(|| invalid_argument("The continuation token provided is incorrect"))?,
        None => start.to_string(),
    };
    let bucket = state.s3.bucket(&listing.bucket)?;
    let (entries, more) = listing.page(bucket, &last, is_current);
    let next = entries.last().filter(|_| more).map(|entry| page::encode(entry.text()));
    let owner = owner.then_some(state.config.account.as_str());
    Ok(listing
        .head(more)
        .with("KeyCount", i64::try_from(entries.len()).unwrap_or_default())
        .maybe("StartAfter", Some(listing.text(start)).filter(|text| !text.is_empty()))
        .maybe("ContinuationToken", token)
        .maybe("NextContinuationToken", next)
        .list("Contents", listing.contents(bucket, &entries, owner))
        .list("CommonPrefixes", listing.commons(&entries)))
}

/// ListObjectVersions. A page holds whole keys: all versions of each.
pub fn versions(state: &mut State, input: &Input) -> Answer<Record> {
    let listing = Listing::read(input)?;
    let marker = input.text("KeyMarker").unwrap_or_default();
    let version_marker = input.text("VersionIdMarker").unwrap_or_default();
    input.done()?;
    let bucket = state.s3.bucket(&listing.bucket)?;
    let (entries, more) = listing.page(bucket, marker, |_| true);
    let (mut versions, mut markers) = (Vec::new(), Vec::new());
    let by_key: BTreeMap<&str, &Vec<Version>> = bucket.objects.iter().map(|(key, versions)| (key.as_str(), versions)).collect();
    for key in entries.iter().filter(|entry| matches!(entry, Entry::Key(_))).map(Entry::text) {
        let all = by_key.get(key).map(|versions| versions.as_slice()).unwrap_or_default();
        // The newest first.
        for (at, version) in all.iter().rev().enumerate() {
            let told = Record::new().with("VersionId", &version.id).with("IsLatest", at == 0);
            if version.body.is_some() {
                let mut record = object_record(&listing.text(key), version);
                record.members.extend(told.members);
                versions.push(record);
            } else {
                let record = Record::new().with("Key", listing.text(key)).with("LastModified", moment(version.modified));
                markers.push(Record { members: record.members.into_iter().chain(told.members).collect() });
            }
        }
    }
    let next = entries.last().filter(|_| more).map(|entry| listing.text(entry.text()));
    Ok(listing
        .head(more)
        .with("KeyMarker", listing.text(marker))
        .with("VersionIdMarker", version_marker)
        .maybe("NextKeyMarker", next)
        .list("Version", versions)
        .list("DeleteMarker", markers)
        .list("CommonPrefixes", listing.commons(&entries)))
}
