//! Buckets.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use hyper::body::Bytes;

use super::{Bucket, invalid_argument, moment};
use crate::error::{Answer, ApiError};
use crate::state::State;
use crate::wire::{Input, Record};

/// ListBuckets.
pub fn list(state: &mut State, input: &Input) -> Answer<Record> {
    input.done()?;
    let own = state.s3.buckets.values().filter(|bucket| !bucket.managed);
    let records = own.map(|bucket| Record::new().with("Name", &bucket.name).with("CreationDate", moment(bucket.created)));
    let owner = Record::new().with("ID", &state.config.account);
    Ok(Record::new().with("Owner", owner).with("Buckets", Record::new().list("Bucket", records)))
}

/// AWS, "Bucket naming rules": 3–63 lower-case letters, digits, dots and hyphens, a letter or digit at both ends, no address, no `..`.
fn check_name(name: &str) -> Answer<()> {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fine = (3..=63).contains(&name.len())
        && name.chars().all(|c| letter(c) || c == '.' || c == '-')
        && name.starts_with(letter)
        && name.ends_with(letter)
        && !name.contains("..")
        && name.parse::<Ipv4Addr>().is_err()
        && !["xn--", "sthree-", "amzn-s3-demo-"].iter().any(|prefix| name.starts_with(prefix))
        && !["-s3alias", "--ol-s3", ".mrap", "--x-s3"].iter().any(|suffix| name.ends_with(suffix));
    if fine { Ok(()) } else { Err(ApiError::new("InvalidBucketName", format!("The specified bucket is not valid: {name}"))) }
}

/// CreateBucket. In us-east-1 creating one's own bucket again succeeds and changes nothing.
pub fn create(state: &mut State, input: &Input) -> Answer<Record> {
    let name = input.required("Bucket")?.to_string();
    let constraint = input.child("CreateBucketConfiguration").and_then(|one| one.text("LocationConstraint")).unwrap_or_default();
    let region = &state.config.region;
    // AWS: us-east-1 is named by leaving the constraint out.
    let here = if constraint.is_empty() { region == "us-east-1" } else { constraint == region && region != "us-east-1" };
    if !here {
        return Err(match (constraint, region.as_str()) {
            (other, "us-east-1") if other != "us-east-1" => ApiError::new(
                "IllegalLocationConstraintException",
                format!("The {other} location constraint is incompatible for the region specific endpoint this request was sent to."),
            ),
            ("us-east-1", _) => ApiError::new("InvalidLocationConstraint", "The specified location-constraint is not valid"),
            _ => ApiError::new(
                "IllegalLocationConstraintException",
                "The unspecified location constraint is incompatible for the region specific endpoint this request was sent to.",
            ),
        });
    }
    input.done()?;
    check_name(&name)?;
    let location = Record::new().with("Location", format!("/{name}"));
    match state.s3.buckets.get(&name) {
        Some(existing) if existing.managed => {
            return Err(ApiError::with_status(
                "BucketAlreadyExists",
                "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again.",
                409,
            ));
        }
        Some(_) if region == "us-east-1" => return Ok(location),
        Some(_) => {
            return Err(ApiError::with_status(
                "BucketAlreadyOwnedByYou",
                "Your previous request to create the named bucket succeeded and you already own it.",
                409,
            ));
        }
        None => {}
    }
    let limit = state.config.quotas.buckets;
    if state.s3.buckets.values().filter(|bucket| !bucket.managed).count() >= limit {
        return Err(ApiError::new("TooManyBuckets", "You have attempted to create more buckets than allowed"));
    }
    let bucket = new(state, &name, false);
    state.s3.buckets.insert(name, bucket);
    Ok(location)
}

fn new(state: &State, name: &str, managed: bool) -> Bucket {
    Bucket {
        name: name.into(),
        region: state.config.region.clone(),
        created: state.now,
        managed,
        versioning: None,
        policy: None,
        objects: BTreeMap::new(),
    }
}

impl State {
    /// A bucket of a service's own, which is made if there is none yet.
    pub fn managed_bucket(&mut self, name: &str) -> &mut Bucket {
        let fresh = new(self, name, true);
        self.s3.buckets.entry(name.into()).or_insert(fresh)
    }
}

/// HeadBucket.
pub fn head(state: &mut State, input: &Input) -> Answer<Record> {
    let name = input.required("Bucket")?;
    input.done()?;
    Ok(Record::new().with("BucketRegion", &state.s3.bucket(name)?.region))
}

/// DeleteBucket: an empty one, without versions or delete markers.
pub fn delete(state: &mut State, input: &Input) -> Answer<Record> {
    let name = input.required("Bucket")?.to_string();
    input.done()?;
    if !state.s3.bucket_mut(&name)?.objects.is_empty() {
        return Err(ApiError::with_status("BucketNotEmpty", "The bucket you tried to delete is not empty", 409));
    }
    state.s3.buckets.remove(&name);
    Ok(Record::new())
}

/// GetBucketLocation: empty in us-east-1.
pub fn location(state: &mut State, input: &Input) -> Answer<Record> {
    let name = input.required("Bucket")?;
    input.done()?;
    let region = &state.s3.bucket(name)?.region;
    let text = if region == "us-east-1" { "" } else { region };
    let namespace = super::NAMESPACE;
    // The one answer of S3 whose root element holds the text itself.
    let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<LocationConstraint xmlns=\"{namespace}\">{text}</LocationConstraint>");
    Ok(Record::new().with("ContentType", "application/xml").with("Body", Bytes::from(body)))
}

/// GetBucketVersioning.
pub fn versioning(state: &mut State, input: &Input) -> Answer<Record> {
    let name = input.required("Bucket")?;
    input.done()?;
    Ok(Record::new().maybe("Status", state.s3.bucket(name)?.versioning.as_ref()))
}

/// PutBucketVersioning: once it was enabled it can only be suspended.
pub fn set_versioning(state: &mut State, input: &Input) -> Answer<Record> {
    let name = input.required("Bucket")?.to_string();
    let configuration = input.child("VersioningConfiguration");
    let status = configuration.and_then(|one| one.text("Status")).unwrap_or_default().to_string();
    let delete = configuration.and_then(|one| one.text("MfaDelete")).unwrap_or("Disabled").to_string();
    input.done()?;
    if !["Enabled", "Suspended"].contains(&status.as_str()) {
        return Err(ApiError::new(
            "IllegalVersioningConfigurationException",
            "The versioning configuration specified in the request is invalid: Status must be Enabled or Suspended",
        ));
    }
    if delete != "Disabled" {
        return Err(invalid_argument("MfaDelete is not served by this cloud; use Disabled"));
    }
    state.s3.bucket_mut(&name)?.versioning = Some(status);
    Ok(Record::new())
}
