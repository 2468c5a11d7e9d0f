//! Trust stores: authorities that vouch for the clients of HTTPS listeners.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::body::Bytes;
use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::pki_types::CertificateRevocationListDer;
use serde::{Deserialize, Serialize};

use super::{Elb, arn, tagging, validation};
use crate::clock;
use crate::error::{Answer, ApiError};
use crate::page;
use crate::s3;
use crate::state::State;
use crate::tag::Tags;
use crate::wire::{Input, Record};
use crate::x509;
use crate::x509::trust::{TrustMaterial, revocation_lists};

/// AWS: size of a certificate of an authority.
const CERTIFICATE_LIMIT: usize = 16 * 1024;
/// For how long the URLs of what a trust store holds are valid, in seconds (AWS: ten minutes).
const URL_SECONDS: u32 = 600;

/// A trust store.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrustStore {
    /// Its ARN.
    pub arn: String,
    /// Its name, unique in the account's region.
    pub name: String,
    /// When it becomes active.
    pub active_at: Timestamp,
    /// Where the bundle came from.
    pub source: Source,
    /// Its revocation lists by id.
    pub revocations: BTreeMap<u64, Revocation>,
    /// The id of the last revocation list.
    pub last_revocation: u64,
    /// Its tags.
    pub tags: Tags,
    /// Its authorities and revocation lists. Not kept over restarts: they are read from the copies of the files.
    #[serde(skip)]
    pub material: Arc<TrustMaterial>,
}

/// An object in S3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The version, if one was named.
    pub version: Option<String>,
}

/// A revocation list of a trust store.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Revocation {
    /// Where it came from.
    pub source: Source,
    /// How many certificates it names.
    pub entries: usize,
    /// The lists of the file, in DER. Not kept over restarts: they are read from the copy of the file.
    #[serde(skip)]
    pub lists: Vec<CertificateRevocationListDer<'static>>,
}

impl Source {
    /// The object's content.
    pub fn read<'a>(&self, s3: &'a s3::S3, missing: impl Fn(String) -> ApiError) -> Answer<&'a Bytes> {
        let found = s3.object(&self.bucket, &self.key, self.version.as_deref());
        found
            .map(|(_, body)| body)
            .map_err(|error| missing(format!("The S3 object '{}/{}' cannot be read: {}", self.bucket, self.key, error.code)))
    }
}

impl TrustStore {
    /// How many certificates its lists name.
    pub fn revoked(&self) -> usize {
        self.revocations.values().map(|revocation| revocation.entries).sum()
    }

    /// Whether listeners can use it.
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.active_at <= now
    }

    /// Takes the revocation lists over into what listeners verify by.
    pub(super) fn refresh(&mut self) {
        let authorities = self.material.authorities.clone();
        let revocations = self.revocations.values().flat_map(|revocation| revocation.lists.iter().cloned()).collect();
        self.material = Arc::new(TrustMaterial { authorities, revocations });
    }

    fn record(&self, now: Timestamp) -> Record {
        Record::new()
            .with("Name", &self.name)
            .with("TrustStoreArn", &self.arn)
            .with("Status", if self.is_active(now) { "ACTIVE" } else { "CREATING" })
            .with("NumberOfCaCertificates", count(self.material.authorities.len()))
            .with("TotalRevokedEntries", count(self.revoked()))
    }
}

/// A count as a number of an answer.
pub(super) fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn not_found(arn: &str) -> ApiError {
    ApiError::new("TrustStoreNotFound", format!("Trust store '{arn}' not found"))
}

impl Elb {
    /// The trust store with this ARN.
    pub fn trust_store(&self, arn: &str) -> Answer<&TrustStore> {
        arn::check(arn, arn::Kind::TrustStore)?;
        self.trust_stores.get(arn).ok_or_else(|| not_found(arn))
    }

    /// The trust store with this ARN, to change it: the load balancers that use it will have to be served anew.
    pub fn trust_store_mut(&mut self, arn: &str) -> Answer<&mut TrustStore> {
        self.trust_store(arn)?;
        let users: Vec<String> = self.users_of_trust_store(arn).map(|(balancer, _)| balancer.to_string()).collect();
        self.dirty.load_balancers.extend(users);
        self.trust_stores.get_mut(arn).ok_or_else(|| not_found(arn))
    }

    /// The load balancers and listeners that use a trust store, by ARN.
    pub fn users_of_trust_store<'a>(&'a self, arn: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.load_balancers.values().flat_map(move |balancer| {
            let listeners = balancer.listeners.values();
            let using = listeners.filter(move |listener| listener.tls.as_ref().and_then(|tls| tls.mutual.trust_store()) == Some(arn));
            using.map(|listener| (balancer.arn.as_str(), listener.arn.as_str()))
        })
    }
}

/// Reads where a bundle is to be found.
fn read_source(input: &Input) -> Answer<Source> {
    Ok(Source {
        bucket: input.required("CaCertificatesBundleS3Bucket")?.to_string(),
        key: input.required("CaCertificatesBundleS3Key")?.to_string(),
        version: input.text("CaCertificatesBundleS3ObjectVersion").filter(|text| !text.is_empty()).map(str::to_string),
    })
}

/// Reads and checks a bundle of certificates in PEM.
fn read_bundle(state: &State, source: &Source) -> Answer<(Bytes, TrustMaterial)> {
    let invalid = |message: String| ApiError::new("InvalidCaCertificatesBundle", message);
    let pem = source.read(&state.s3, |message| ApiError::new("CaCertificatesBundleNotFound", message))?;
    let authorities = x509::certificates(pem)
        .ok_or_else(|| invalid("The CA certificates bundle is not valid: it must hold certificates in PEM and nothing else".into()))?;
    let limit = state.config.quotas.certificates_per_trust_store;
    if authorities.len() > limit {
        return Err(invalid(format!("The CA certificates bundle has more than the maximum of [{limit}] certificates")));
    }
    let mut roots = RootCertStore::empty();
    for authority in &authorities {
        if authority.len() > CERTIFICATE_LIMIT {
            return Err(invalid(format!("A certificate of the CA certificates bundle has more than [{CERTIFICATE_LIMIT}] bytes")));
        }
        roots
            .add(authority.clone())
            .map_err(|error| invalid(format!("A certificate of the CA certificates bundle is not valid: {error}")))?;
    }
    Ok((pem.clone(), TrustMaterial { authorities, revocations: Vec::new() }))
}

/// CreateTrustStore. With the settings of an existing one it answers with that one.
pub fn create(state: &mut State, input: &Input) -> Answer<Record> {
    let name = input.required("Name")?.to_string();
    let source = read_source(input)?;
    let tags = tagging::read(input)?;
    input.done()?;
    validation::name("Trust store", &name)?;
    if name.contains("--") {
        return Err(ApiError::validation(format!("Trust store name '{name}' cannot contain '--'")));
    }
    let (pem, material) = read_bundle(state, &source)?;
    if let Some(existing) = state.elb.trust_stores.values().find(|other| other.name == name) {
        if existing.source == source && existing.material.authorities == material.authorities && existing.tags == tags {
            return Ok(Record::new().list("TrustStores", [existing.record(state.now)]));
        }
        return Err(ApiError::new(
            "DuplicateTrustStoreName",
            format!("A trust store with the same name '{name}' exists, but with different settings"),
        ));
    }
    let limit = state.config.quotas.trust_stores;
    if state.elb.trust_stores.len() >= limit {
        return Err(ApiError::new("TooManyTrustStores", format!("The maximum number of trust stores has been reached: [{limit}]")));
    }
    let arn = format!("{}truststore/{name}/{}", arn::prefix(&state.config), state.ids.hex(16));
    let store = TrustStore {
        arn: arn.clone(),
        name,
        active_at: clock::after(state.now, state.config.times.trust_store_creation),
        source,
        revocations: BTreeMap::new(),
        last_revocation: 0,
        tags,
        material: Arc::new(material),
    };
    let record = store.record(state.now);
    state.elb.trust_stores.insert(arn.clone(), store);
    keep(state, &bundle_key(&arn), pem);
    Ok(Record::new().list("TrustStores", [record]))
}

/// ModifyTrustStore: another bundle. Revocation lists stay.
pub fn modify(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("TrustStoreArn")?.to_string();
    let source = read_source(input)?;
    input.done()?;
    state.elb.trust_store(&arn)?;
    let (pem, material) = read_bundle(state, &source)?;
    let now = state.now;
    let store = state.elb.trust_store_mut(&arn)?;
    store.source = source;
    store.material = Arc::new(material);
    store.refresh();
    let record = store.record(now);
    keep(state, &bundle_key(&arn), pem);
    Ok(Record::new().list("TrustStores", [record]))
}

/// DeleteTrustStore: refused while a listener uses it.
pub fn delete(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("TrustStoreArn")?.to_string();
    input.done()?;
    state.elb.trust_store(&arn)?;
    if state.elb.users_of_trust_store(&arn).next().is_some() {
        return Err(ApiError::new("TrustStoreInUse", format!("Trust store '{arn}' is currently in use by a listener")));
    }
    state.elb.trust_stores.remove(&arn);
    let prefix = format!("{}/", id(&arn));
    let name = bucket(state);
    state.managed_bucket(&name).objects.retain(|key, _| !key.starts_with(&prefix));
    Ok(Record::new())
}

/// DescribeTrustStores: all, by ARN or by name.
pub fn describe(state: &mut State, input: &Input) -> Answer<Record> {
    let (arns, names) = (input.strings("TrustStoreArns"), input.strings("Names"));
    let (marker, size) = validation::paging(input)?;
    input.done()?;
    if !arns.is_empty() && !names.is_empty() {
        return Err(ApiError::validation("Trust store names and trust store ARNs cannot be specified at the same time"));
    }
    validation::at_most_twenty(&arns, "trust stores")?;
    validation::at_most_twenty(&names, "trust stores")?;
    let all = &state.elb.trust_stores;
    for arn in &arns {
        state.elb.trust_store(arn)?;
    }
    if let Some(absent) = names.iter().find(|name| !all.values().any(|store| store.name == **name)) {
        return Err(ApiError::new("TrustStoreNotFound", format!("Trust store '{absent}' not found")));
    }
    let chosen: Vec<&TrustStore> = all
        .values()
        .filter(|store| arns.is_empty() || arns.contains(&store.arn))
        .filter(|store| names.is_empty() || names.contains(&store.name))
        .collect();
    let (shown, next) = page::page(chosen, |store| store.arn.clone(), marker.as_deref(), size)?;
    Ok(Record::new().list("TrustStores", shown.into_iter().map(|store| store.record(state.now))).maybe("NextMarker", next))
}

/// GetTrustStoreCaCertificatesBundle: where the bundle can be read, for ten minutes.
pub fn bundle(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("TrustStoreArn")?.to_string();
    input.done()?;
    state.elb.trust_store(&arn)?;
    Ok(Record::new().with("Location", location(state, &bundle_key(&arn))))
}

fn id(arn: &str) -> &str {
    arn.rsplit_once('/').map_or(arn, |(_, id)| id)
}

fn bundle_key(arn: &str) -> String {
    format!("{}/ca-certificates-bundle.pem", id(arn))
}

/// The key of a revocation list's file in the service's own bucket.
pub(super) fn revocation_key(arn: &str, revocation: u64) -> String {
    format!("{}/revocations/{revocation}.pem", id(arn))
}

/// The bucket of the service's own in which it keeps what trust stores were made from.
fn bucket(state: &State) -> String {
    format!("elb-trust-stores-{}", state.config.region)
}

/// Keeps a copy of a file, so that it stays when the account's object goes.
pub(super) fn keep(state: &mut State, key: &str, content: Bytes) {
    let name = bucket(state);
    let version = s3::Version { id: "null".into(), ..s3::Version::new(state, content, "application/x-pem-file") };
    state.managed_bucket(&name).objects.insert(key.into(), vec![version]);
}

/// Forgets a copy.
pub(super) fn forget(state: &mut State, key: &str) {
    let name = bucket(state);
    state.managed_bucket(&name).objects.remove(key);
}

/// A presigned URL of a copy. Its signature is made up: nothing here verifies one.
pub(super) fn location(state: &mut State, key: &str) -> String {
    let date = state.now.strftime("%Y%m%d");
    let scope = format!("ELASTICLOADBALANCING%2F{date}%2F{}%2Fs3%2Faws4_request", state.config.region);
    let (endpoint, bucket, signature) = (state.config.listen, bucket(state), state.ids.hex(64));
    let time = state.now.strftime("%Y%m%dT%H%M%SZ");
    format!(
        "http://{endpoint}/{bucket}/{key}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={scope}&X-Amz-Date={time}\
         &X-Amz-Expires={URL_SECONDS}&X-Amz-SignedHeaders=host&X-Amz-Signature={signature}"
    )
}

impl State {
    /// Reads what trust stores were made from again, from the copies that were kept.
    pub(crate) fn restore_trust_stores(&mut self) {
        let copies = self.s3.buckets.get(&bucket(self)).map(|bucket| &bucket.objects);
        let copy = |key: &str| copies.and_then(|objects| objects.get(key)?.last()?.body.as_ref());
        for (arn, store) in &mut self.elb.trust_stores {
            let authorities = copy(&bundle_key(arn)).and_then(|pem| x509::certificates(pem)).unwrap_or_default();
            for (id, revocation) in &mut store.revocations {
                revocation.lists = copy(&revocation_key(arn, *id)).and_then(|pem| revocation_lists(pem)).unwrap_or_default();
            }
            store.material = Arc::new(TrustMaterial { authorities, revocations: Vec::new() });
            store.refresh();
        }
    }
}
