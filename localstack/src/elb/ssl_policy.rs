//! DescribeSSLPolicies.

use super::validation;
use crate::error::{Answer, ApiError};
use crate::page;
use crate::state::State;
use crate::wire::{Input, Record};

const TLS13: &[&str] = &["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];
const TLS12: &[&str] =
    &["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384"];

/// Policies with their protocols: a selection of AWS's, the default ones among them.
const POLICIES: &[(&str, &[&str])] = &[
    ("ELBSecurityPolicy-2016-08", &["TLSv1", "TLSv1.1", "TLSv1.2"]),
    ("ELBSecurityPolicy-FS-1-2-Res-2020-10", &["TLSv1.2"]),
    ("ELBSecurityPolicy-TLS-1-1-2017-01", &["TLSv1.1", "TLSv1.2"]),
    ("ELBSecurityPolicy-TLS-1-2-2017-01", &["TLSv1.2"]),
    ("ELBSecurityPolicy-TLS-1-2-Ext-2018-06", &["TLSv1.2"]),
    ("ELBSecurityPolicy-TLS13-1-0-2021-06", &["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]),
    ("ELBSecurityPolicy-TLS13-1-1-2021-06", &["TLSv1.1", "TLSv1.2", "TLSv1.3"]),
    ("ELBSecurityPolicy-TLS13-1-2-2021-06", &["TLSv1.2", "TLSv1.3"]),
    ("ELBSecurityPolicy-TLS13-1-2-Res-2021-06", &["TLSv1.2", "TLSv1.3"]),
    ("ELBSecurityPolicy-TLS13-1-3-2021-06", &["TLSv1.3"]),
];

/// DescribeSSLPolicies.
pub fn describe(_: &mut State, input: &Input) -> Answer<Record> {
    let names = input.strings("Names");
    let (marker, size) = validation::paging(input)?;
    let kind = input.text("LoadBalancerType").filter(|text| !text.is_empty());
    input.done()?;
    if let Some(kind) = kind {
        validation::one_of(kind, "loadBalancerType", &["application", "network", "gateway"])?;
    }
    if let Some(missing) = names.iter().find(|name| !POLICIES.iter().any(|(policy, _)| policy == name)) {
        return Err(ApiError::new("SSLPolicyNotFound", format!("SSL policy '{missing}' not found")));
    }
    let chosen: Vec<_> = POLICIES.iter().filter(|(name, _)| names.is_empty() || names.iter().any(|wanted| wanted == name)).collect();
    let (shown, next) = page::page(chosen, |(name, _)| (*name).to_string(), marker.as_deref(), size)?;
    let records = shown.into_iter().map(|(name, protocols)| {
        let ciphers =
            TLS13.iter().filter(|_| protocols.contains(&"TLSv1.3")).chain(TLS12.iter().filter(|_| protocols.contains(&"TLSv1.2")));
        let ciphers = ciphers
            .enumerate()
            .map(|(index, cipher)| Record::new().with("Name", *cipher).with("Priority", u32::try_from(index + 1).unwrap_or_default()));
        Record::new()
            .list("SslProtocols", protocols.iter().copied())
            .list("Ciphers", ciphers)
            .with("Name", *name)
            .list("SupportedLoadBalancerTypes", ["application", "network"])
    });
    Ok(Record::new().list("SslPolicies", records).maybe("NextMarker", next))
}
