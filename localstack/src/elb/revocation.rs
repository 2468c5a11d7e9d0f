//! Revocation lists of trust stores, and who uses a trust store.

use super::trust_store::{self, Revocation, Source, TrustStore, count, keep, location, revocation_key};
use super::{arn, validation};
use crate::error::{Answer, ApiError};
use crate::page;
use crate::state::State;
use crate::wire::{Input, Record};
use crate::x509::trust::{TrustMaterial, entries, revocation_lists};

/// AWS: size of a file with a revocation list.
const FILE_LIMIT: usize = 50 * 1024 * 1024;

fn record(store: &TrustStore, id: u64, revocation: &Revocation) -> Record {
    Record::new()
        .with("TrustStoreArn", &store.arn)
        .with("RevocationId", i64::try_from(id).unwrap_or(i64::MAX))
        .with("RevocationType", "CRL")
        .with("NumberOfRevokedEntries", count(revocation.entries))
}

fn not_found(id: &str) -> ApiError {
    ApiError::new("RevocationIdNotFound", format!("The revocation ID '{id}' does not exist"))
}

/// AddTrustStoreRevocations: all of the files or none.
pub fn add(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("TrustStoreArn")?.to_string();
    let mut sources = Vec::new();
    for item in input.items("RevocationContents") {
        validation::one_of(item.text("RevocationType").filter(|kind| !kind.is_empty()).unwrap_or("CRL"), "revocationType", &["CRL"])?;
        sources.push(Source {
            bucket: item.required("S3Bucket")?.to_string(),
            key: item.required("S3Key")?.to_string(),
            version: item.text("S3ObjectVersion").filter(|text| !text.is_empty()).map(str::to_string),
        });
    }
    input.done()?;
    let store = state.elb.trust_store(&arn)?;
    if sources.is_empty() {
        return Err(ApiError::validation("You must specify at least one revocation file"));
    }
    let mut files = Vec::new();
    for source in sources {
        let pem = source.read(&state.s3, |message| ApiError::new("RevocationContentNotFound", message))?.clone();
        files.push((read(store, source, &pem)?, pem));
    }
    let quotas = &state.config.quotas;
    let (lists, revoked) =
        (store.revocations.len() + files.len(), store.revoked() + files.iter().map(|(file, _)| file.entries).sum::<usize>());
    for (have, limit, what) in [
        (lists, quotas.revocation_lists_per_trust_store, "revocation lists"),
        (revoked, quotas.revocation_entries_per_trust_store, "revocation entries"),
    ] {
        if have > limit {
            return Err(ApiError::new(
                "TooManyTrustStoreRevocationEntries",
                format!("The maximum number of {what} per trust store has been reached: [{limit}]"),
            ));
        }
    }
    let mut added = Vec::new();
    let mut copies = Vec::new();
    let store = state.elb.trust_store_mut(&arn)?;
    for (file, pem) in files {
        store.last_revocation += 1;
        let id = store.last_revocation;
        added.push(record(store, id, &file));
        store.revocations.insert(id, file);
        copies.push((revocation_key(&arn, id), pem));
    }
    store.refresh();
    for (key, pem) in copies {
        keep(state, &key, pem);
    }
    Ok(Record::new().list("TrustStoreRevocations", added))
}

/// Reads and checks a file. What the data plane could not use is refused here.
fn read(store: &TrustStore, source: Source, pem: &[u8]) -> Answer<Revocation> {
    let invalid = |message: String| ApiError::new("InvalidRevocationContent", message);
    if pem.len() > FILE_LIMIT {
        return Err(invalid(format!("The revocation file has more than [{FILE_LIMIT}] bytes")));
    }
    let lists =
        revocation_lists(pem).ok_or_else(|| invalid("The revocation file must hold a certificate revocation list in PEM".into()))?;
    let material = TrustMaterial { authorities: store.material.authorities.clone(), revocations: lists.clone() };
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    material.verifier(&provider, false).map_err(|error| invalid(format!("The revocation file cannot be used: {error}")))?;
    let entries = lists.iter().filter_map(|list| entries(list)).sum();
    Ok(Revocation { source, entries, lists })
}

/// RemoveTrustStoreRevocations: all or none.
pub fn remove(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("TrustStoreArn")?.to_string();
    let ids = input.required_strings("RevocationIds")?;
    input.done()?;
    let wanted = known(state.elb.trust_store(&arn)?, &ids)?;
    let store = state.elb.trust_store_mut(&arn)?;
    store.revocations.retain(|id, _| !wanted.contains(id));
    store.refresh();
    for id in wanted {
        trust_store::forget(state, &revocation_key(&arn, id));
    }
    Ok(Record::new())
}

/// Ids that must all exist.
fn known(store: &TrustStore, ids: &[String]) -> Answer<Vec<u64>> {
    ids.iter().map(|text| text.parse().ok().filter(|id| store.revocations.contains_key(id)).ok_or_else(|| not_found(text))).collect()
}

/// DescribeTrustStoreRevocations: all, or by id.
pub fn describe(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("TrustStoreArn")?;
    let ids = input.strings("RevocationIds");
    let (marker, size) = validation::paging(input)?;
    input.done()?;
    let store = state.elb.trust_store(arn)?;
    let wanted = known(store, &ids)?;
    let chosen: Vec<_> = store.revocations.iter().filter(|(id, _)| wanted.is_empty() || wanted.contains(id)).collect();
    let (shown, next) = page::page(chosen, |(id, _)| format!("{id:020}"), marker.as_deref(), size)?;
    let records = shown.into_iter().map(|(id, revocation)| record(store, *id, revocation));
    Ok(Record::new().list("TrustStoreRevocations", records).maybe("NextMarker", next))
}

/// GetTrustStoreRevocationContent: where the file can be read, for ten minutes.
pub fn content(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("TrustStoreArn")?.to_string();
    let id = input.required("RevocationId")?.to_string();
    input.done()?;
    let known = known(state.elb.trust_store(&arn)?, &[id])?;
    let keys: Vec<String> = known.into_iter().map(|id| revocation_key(&arn, id)).collect();
    let key = keys.first().map_or("", String::as_str);
    Ok(Record::new().with("Location", location(state, key)))
}

/// DescribeTrustStoreAssociations: the load balancers whose listeners use it.
pub fn associations(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("TrustStoreArn")?;
    let (marker, size) = validation::paging(input)?;
    input.done()?;
    state.elb.trust_store(arn)?;
    let mut users: Vec<&str> = state.elb.users_of_trust_store(arn).map(|(balancer, _)| balancer).collect();
    users.dedup();
    let (shown, next) = page::page(users, |user| (*user).to_string(), marker.as_deref(), size)?;
    let records = shown.into_iter().map(|user| Record::new().with("ResourceArn", user));
    Ok(Record::new().list("TrustStoreAssociations", records).maybe("NextMarker", next))
}

/// DeleteSharedTrustStoreAssociation: for trust stores that other accounts use, of which this cloud has none.
pub fn delete_association(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("TrustStoreArn")?.to_string();
    let resource = input.required("ResourceArn")?.to_string();
    input.done()?;
    state.elb.trust_store(&arn)?;
    if arn::kind(&resource).is_none() {
        return Err(ApiError::validation(format!("'{resource}' is not a valid resource ARN")));
    }
    let mut users = state.elb.users_of_trust_store(&arn);
    if users.any(|(balancer, listener)| balancer == resource || listener == resource) {
        return Err(ApiError::new("DeleteAssociationSameAccount", "The specified association can't be within the same account."));
    }
    Err(ApiError::new("AssociationNotFound", "The specified association does not exist."))
}
