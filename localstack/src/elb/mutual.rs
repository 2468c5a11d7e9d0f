//! Mutual TLS of HTTPS listeners: whether and how clients show certificates.

use serde::{Deserialize, Serialize};

use super::load_balancer::LoadBalancer;
use super::validation;
use crate::error::{Answer, ApiError};
use crate::state::State;
use crate::wire::{Input, Record};

/// `MutualAuthentication`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mutual {
    /// Clients are not asked.
    #[default]
    Off,
    /// What clients show goes to the targets, unverified.
    Passthrough,
    /// Clients must show a certificate that a trust store vouches for.
    Verify {
        /// The trust store's ARN.
        trust_store: String,
        /// Whether expired certificates are taken.
        ignore_expiry: bool,
        /// Whether clients are told the names of the authorities.
        advertise: bool,
    },
}

impl Mutual {
    /// Reads the parameter; `None` if it is absent.
    pub fn read(input: &Input) -> Answer<Option<Self>> {
        let Some(given) = input.child("MutualAuthentication") else { return Ok(None) };
        let mode = given.text("Mode").filter(|mode| !mode.is_empty()).unwrap_or("off");
        let trust_store = given.text("TrustStoreArn").filter(|arn| !arn.is_empty());
        let ignore_expiry = given.flag("IgnoreClientCertificateExpiry")?;
        let advertise = given.text("AdvertiseTrustStoreCaNames").filter(|text| !text.is_empty());
        // Describing calls show it; who hands their answer back does not mean to set it.
        let status = given.text("TrustStoreAssociationStatus").filter(|text| !text.is_empty());
        validation::one_of(mode, "mutualAuthentication.mode", &["off", "passthrough", "verify"])?;
        if let Some(status) = status {
            validation::one_of(status, "mutualAuthentication.trustStoreAssociationStatus", &["active", "removed"])?;
        }
        if let Some(advertise) = advertise {
            validation::one_of(advertise, "mutualAuthentication.advertiseTrustStoreCaNames", &["on", "off"])?;
        }
        if mode != "verify" {
            let unfit = trust_store.map(|_| "TrustStoreArn").or(ignore_expiry.filter(|on| *on).map(|_| "IgnoreClientCertificateExpiry"));
            if let Some(field) = unfit.or(advertise.filter(|text| *text == "on").map(|_| "AdvertiseTrustStoreCaNames")) {
                return Err(ApiError::validation(format!("'{field}' can be specified only if the mutual authentication mode is 'verify'")));
            }
        }
        Ok(Some(match mode {
            "passthrough" => Self::Passthrough,
            "verify" => Self::Verify {
                trust_store: trust_store
                    .ok_or_else(|| {
                        ApiError::validation("A trust store ARN must be specified if the mutual authentication mode is 'verify'")
                    })?
                    .to_string(),
                ignore_expiry: ignore_expiry.unwrap_or(false),
                advertise: advertise == Some("on"),
            },
            _ => Self::Off,
        }))
    }

    /// The ARN of the trust store that it uses.
    pub fn trust_store(&self) -> Option<&str> {
        match self {
            Self::Verify { trust_store, .. } => Some(trust_store),
            Self::Off | Self::Passthrough => None,
        }
    }

    /// As describing calls show it.
    pub fn record(&self) -> Record {
        match self {
            Self::Off => Record::new().with("Mode", "off"),
            Self::Passthrough => Record::new().with("Mode", "passthrough"),
            Self::Verify { trust_store, ignore_expiry, advertise } => Record::new()
                .with("Mode", "verify")
                .with("TrustStoreArn", trust_store)
                .with("IgnoreClientCertificateExpiry", *ignore_expiry)
                .with("AdvertiseTrustStoreCaNames", if *advertise { "on" } else { "off" }),
        }
    }

    /// Whether a listener of this load balancer can have it: the trust store is ready, and not too many listeners verify. `listener` is the
    /// listener's own ARN, if it exists already.
    pub fn check(&self, state: &State, balancer: &LoadBalancer, listener: Option<&str>) -> Answer<()> {
        let Some(arn) = self.trust_store() else { return Ok(()) };
        if !state.elb.trust_store(arn)?.is_active(state.now) {
            return Err(ApiError::new("TrustStoreNotReady", format!("Trust store '{arn}' is not active")));
        }
        let others = balancer.listeners.values().filter(|other| listener != Some(other.arn.as_str()));
        let verifying = others.filter(|other| other.tls.as_ref().is_some_and(|tls| tls.mutual.trust_store().is_some())).count();
        let limit = state.config.quotas.verifying_listeners_per_load_balancer;
        if verifying >= limit {
            // AWS documents the quota and not the error.
            return Err(ApiError::new(
                "InvalidConfigurationRequest",
                format!(
                    "The maximum number of listeners with mutual authentication mode 'verify' per load balancer has been reached: [{limit}]"
                ),
            ));
        }
        Ok(())
    }
}
