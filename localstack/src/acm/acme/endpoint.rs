//! ACME endpoints.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{arn, call, not_found, tagging, times};
use crate::acm::{invalid, only, paging};
use crate::elb::validation::one_of;
use crate::error::Answer;
use crate::page;
use crate::state::State;
use crate::tag::{self, Tags};
use crate::wire::{Input, Record};

/// Key algorithms that an endpoint can be narrowed to.
const ALGORITHMS: &[&str] = &["RSA_2048", "EC_prime256v1", "EC_secp384r1"];

/// An endpoint.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Endpoint {
    /// The URL of its directory, at which nothing listens here.
    pub url: String,
    /// Whether clients must say who they are: `REQUIRED` or `NOT_REQUIRED`.
    pub contact: String,
    /// The key algorithms that it takes; all if there are none.
    pub algorithms: Vec<String>,
    /// The tags of certificates that it issues.
    pub certificate_tags: Tags,
    /// Its tags.
    pub tags: Tags,
    /// When it was made.
    pub created: Timestamp,
    /// When it was changed last.
    pub updated: Timestamp,
}

impl Endpoint {
    fn record(&self, arn: &str) -> Record {
        let algorithms = (!self.algorithms.is_empty()).then(|| self.algorithms.clone());
        let public = algorithms.into_iter().fold(Record::new(), |record, all| record.list("AllowedKeyAlgorithms", all));
        let tags = (!self.certificate_tags.is_empty()).then(|| tag::upper(&self.certificate_tags));
        let record = Record::new()
            .with("AcmeEndpointArn", arn)
            .with("EndpointUrl", &self.url)
            .with("Status", "ACTIVE")
            .with("AuthorizationBehavior", "PRE_APPROVED")
            .with("Contact", &self.contact)
            .with("CertificateAuthority", Record::new().with("PublicCertificateAuthority", public))
            .maybe("CertificateTags", tags);
        times(record, self.created, self.updated)
    }
}

/// What can be set, as far as it is given.
struct Settings {
    behavior: bool,
    contact: Option<String>,
    algorithms: Option<Vec<String>>,
}

fn read(input: &Input) -> Answer<Settings> {
    let behavior = input.text("AuthorizationBehavior").filter(|text| !text.is_empty());
    let contact = input.text("Contact").filter(|text| !text.is_empty()).map(str::to_string);
    let authority = input.child("CertificateAuthority");
    let public = authority.map(|authority| only(authority, "certificateAuthority", &["PublicCertificateAuthority"])).transpose()?;
    let algorithms = public.map(|(_, public)| public.strings("AllowedKeyAlgorithms"));
    if let Some(behavior) = behavior {
        one_of(behavior, "authorizationBehavior", &["PRE_APPROVED"])?;
    }
    if let Some(contact) = &contact {
        one_of(contact, "contact", &["REQUIRED", "NOT_REQUIRED"])?;
    }
    algorithms.iter().flatten().try_for_each(|one| one_of(one, "allowedKeyAlgorithms", ALGORITHMS))?;
    Ok(Settings { behavior: behavior.is_some(), contact, algorithms })
}

/// CreateAcmeEndpoint.
pub fn create(state: &mut State, input: &Input) -> Answer<Record> {
    let settings = read(input)?;
    let (token, call) = call("CreateAcmeEndpoint", input);
    let (tags, certificate_tags) = (tagging::read(input, "Tags")?, tagging::read(input, "CertificateTags")?);
    input.done()?;
    if !settings.behavior {
        return Err(crate::wire::input::missing("AuthorizationBehavior"));
    }
    let algorithms = settings.algorithms.ok_or_else(|| crate::wire::input::missing("CertificateAuthority"))?;
    let now = state.now;
    if let Some(arn) = state.acm.acme.created(token.as_deref(), &call, now)? {
        return Ok(Record::new().with("AcmeEndpointArn", arn));
    }
    let id = state.ids.request();
    let arn = format!("arn:aws:acm:{}:{}:acme-endpoint/{id}", state.config.region, state.config.account);
    let endpoint = Endpoint {
        url: format!("https://acm-acme-enroll.{}.api.aws/{id}/directory", state.config.region),
        contact: settings.contact.unwrap_or_else(|| "NOT_REQUIRED".into()),
        algorithms,
        certificate_tags,
        tags,
        created: now,
        updated: now,
    };
    state.acm.acme.endpoints.insert(arn.clone(), endpoint);
    state.acm.acme.remember(token, call, arn.clone(), now);
    Ok(Record::new().with("AcmeEndpointArn", arn))
}

/// UpdateAcmeEndpoint: what is not given stays.
pub fn update(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = arn(input, "AcmeEndpointArn", None)?;
    let settings = read(input)?;
    input.done()?;
    let now = state.now;
    let endpoint = state.acm.acme.endpoints.get_mut(&arn).ok_or_else(|| not_found(&arn))?;
    endpoint.contact = settings.contact.unwrap_or_else(|| endpoint.contact.clone());
    endpoint.algorithms = settings.algorithms.unwrap_or_else(|| endpoint.algorithms.clone());
    endpoint.updated = now;
    Ok(Record::new())
}

/// DescribeAcmeEndpoint.
pub fn describe(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = arn(input, "AcmeEndpointArn", None)?;
    input.done()?;
    Ok(Record::new().with("AcmeEndpoint", state.acm.acme.endpoint(&arn)?.record(&arn)))
}

/// ListAcmeEndpoints.
pub fn list(state: &mut State, input: &Input) -> Answer<Record> {
    let (token, size) = paging(input, "MaxResults", 100, 100)?;
    input.done()?;
    let all = state.acm.acme.endpoints.iter().collect();
    let (shown, next) =
        page::page(all, |(arn, _)| (*arn).clone(), token.as_deref(), size).map_err(|_| invalid("The NextToken is not valid"))?;
    Ok(Record::new().list("AcmeEndpoints", shown.into_iter().map(|(arn, one)| one.record(arn))).maybe("NextToken", next))
}

/// DeleteAcmeEndpoint, with all that it has. What is absent is deleted already.
pub fn delete(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = arn(input, "AcmeEndpointArn", None)?;
    input.done()?;
    let acme = &mut state.acm.acme;
    acme.endpoints.remove(&arn);
    acme.domain_validations.retain(|_, one| one.endpoint != arn);
    acme.bindings.retain(|_, one| one.endpoint != arn);
    acme.tokens.retain(|_, token| !token.arn.starts_with(&arn));
    Ok(Record::new())
}
