//! Security policies: AWS's names, with their protocols and ciphers, and DescribeSSLPolicies.

use super::validation;
use crate::error::{Answer, ApiError};
use crate::page;
use crate::state::State;
use crate::wire::{Input, Record};

/// What listeners get that name no policy (AWS: of the API, other than of the console).
pub const DEFAULT: &str = "ELBSecurityPolicy-2016-08";

const TLS13: &[&str] = &["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];
/// Without ChaCha20, which FIPS 140 does not know.
const TLS13_FIPS: &[&str] = &["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"];
const FORWARD_GCM: &[&str] =
    &["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384"];
const FORWARD_SHA2: &[&str] =
    &["ECDHE-ECDSA-AES128-SHA256", "ECDHE-RSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA384", "ECDHE-RSA-AES256-SHA384"];
const FORWARD_SHA1: &[&str] = &["ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES256-SHA", "ECDHE-ECDSA-AES256-SHA"];
const RSA_SHA2: &[&str] = &["AES128-GCM-SHA256", "AES128-SHA256", "AES256-GCM-SHA384", "AES256-SHA256"];
const RSA_SHA1: &[&str] = &["AES128-SHA", "AES256-SHA"];

/// Forward secret without elliptic curves: only the oldest policy has it.
const FINITE_FIELD: &[&str] = &["DHE-RSA-AES128-SHA"];

/// The order of preference among the ciphers for TLS 1.2 and below, whichever of them a policy has (AWS's example of DescribeSSLPolicies).
const ORDER: &[&str] = &[
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES128-SHA256",
    "ECDHE-RSA-AES128-SHA256",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "DHE-RSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES256-SHA384",
    "ECDHE-RSA-AES256-SHA384",
    "ECDHE-RSA-AES256-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "AES128-GCM-SHA256",
    "AES128-SHA256",
    "AES128-SHA",
    "AES256-GCM-SHA384",
    "AES256-SHA256",
    "AES256-SHA",
];

const RES: &[&[&str]] = &[FORWARD_GCM];
const PLAIN: &[&[&str]] = &[FORWARD_GCM, FORWARD_SHA2];
const EXT0: &[&[&str]] = &[FORWARD_GCM, FORWARD_SHA2, FORWARD_SHA1];
const EXT1: &[&[&str]] = &[FORWARD_GCM, FORWARD_SHA2, RSA_SHA2];
const EXT2: &[&[&str]] = &[FORWARD_GCM, FORWARD_SHA2, FORWARD_SHA1, RSA_SHA2, RSA_SHA1];
const ALL: &[&[&str]] = &[FORWARD_GCM, FORWARD_SHA2, FORWARD_SHA1, FINITE_FIELD, RSA_SHA2, RSA_SHA1];

/// A security policy.
#[derive(Clone, Copy, Debug)]
pub struct SslPolicy {
    /// Its name.
    pub name: &'static str,
    /// Its lowest and highest protocol as the minor version of TLS: 0–3.
    versions: (u8, u8),
    /// Its ciphers for TLS 1.2 and below, in groups.
    older: &'static [&'static [&'static str]],
}

const fn policy(name: &'static str, versions: (u8, u8), older: &'static [&'static [&'static str]]) -> SslPolicy {
    SslPolicy { name, versions, older }
}

/// AWS's policies for application load balancers (user guide, "Security policies for your Application Load Balancer").
const POLICIES: &[SslPolicy] = &[
    policy("ELBSecurityPolicy-2015-05", (0, 2), ALL),
    policy("ELBSecurityPolicy-2016-08", (0, 2), EXT2),
    policy("ELBSecurityPolicy-FS-1-1-2019-08", (1, 2), EXT0),
    policy("ELBSecurityPolicy-FS-1-2-2019-08", (2, 2), EXT0),
    policy("ELBSecurityPolicy-FS-1-2-Res-2019-08", (2, 2), PLAIN),
    policy("ELBSecurityPolicy-FS-1-2-Res-2020-10", (2, 2), RES),
    policy("ELBSecurityPolicy-FS-2018-06", (0, 2), EXT0),
    policy("ELBSecurityPolicy-TLS-1-1-2017-01", (1, 2), EXT2),
    policy("ELBSecurityPolicy-TLS-1-2-2017-01", (2, 2), EXT1),
    policy("ELBSecurityPolicy-TLS-1-2-Ext-2018-06", (2, 2), EXT2),
    policy("ELBSecurityPolicy-TLS13-1-0-2021-06", (0, 3), EXT2),
    policy("ELBSecurityPolicy-TLS13-1-0-FIPS-2023-04", (0, 3), EXT2),
    policy("ELBSecurityPolicy-TLS13-1-0-FIPS-PQ-2025-09", (0, 3), EXT2),
    policy("ELBSecurityPolicy-TLS13-1-0-PQ-2025-09", (0, 3), EXT2),
    policy("ELBSecurityPolicy-TLS13-1-1-2021-06", (1, 3), EXT2),
    policy("ELBSecurityPolicy-TLS13-1-1-FIPS-2023-04", (1, 3), EXT2),
    policy("ELBSecurityPolicy-TLS13-1-2-2021-06", (2, 3), PLAIN),
    policy("ELBSecurityPolicy-TLS13-1-2-Ext0-FIPS-2023-04", (2, 3), EXT0),
    policy("ELBSecurityPolicy-TLS13-1-2-Ext0-FIPS-PQ-2025-09", (2, 3), EXT0),
    policy("ELBSecurityPolicy-TLS13-1-2-Ext1-2021-06", (2, 3), EXT1),
    policy("ELBSecurityPolicy-TLS13-1-2-Ext1-FIPS-2023-04", (2, 3), EXT1),
    policy("ELBSecurityPolicy-TLS13-1-2-Ext1-FIPS-PQ-2025-09", (2, 3), EXT1),
    policy("ELBSecurityPolicy-TLS13-1-2-Ext1-PQ-2025-09", (2, 3), EXT1),
    policy("ELBSecurityPolicy-TLS13-1-2-Ext2-2021-06", (2, 3), EXT2),
    policy("ELBSecurityPolicy-TLS13-1-2-Ext2-FIPS-2023-04", (2, 3), EXT2),
    policy("ELBSecurityPolicy-TLS13-1-2-Ext2-FIPS-PQ-2025-09", (2, 3), EXT2),
    policy("ELBSecurityPolicy-TLS13-1-2-Ext2-PQ-2025-09", (2, 3), EXT2),
    policy("ELBSecurityPolicy-TLS13-1-2-FIPS-2023-04", (2, 3), PLAIN),
    policy("ELBSecurityPolicy-TLS13-1-2-FIPS-PQ-2025-09", (2, 3), PLAIN),
    policy("ELBSecurityPolicy-TLS13-1-2-PQ-2025-09", (2, 3), PLAIN),
    policy("ELBSecurityPolicy-TLS13-1-2-Res-2021-06", (2, 3), RES),
    policy("ELBSecurityPolicy-TLS13-1-2-Res-FIPS-2023-04", (2, 3), RES),
    policy("ELBSecurityPolicy-TLS13-1-2-Res-FIPS-PQ-2025-09", (2, 3), RES),
    policy("ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09", (2, 3), RES),
    policy("ELBSecurityPolicy-TLS13-1-3-2021-06", (3, 3), &[]),
    policy("ELBSecurityPolicy-TLS13-1-3-FIPS-2023-04", (3, 3), &[]),
    policy("ELBSecurityPolicy-TLS13-1-3-FIPS-PQ-2025-09", (3, 3), &[]),
    policy("ELBSecurityPolicy-TLS13-1-3-PQ-2025-09", (3, 3), &[]),
];

impl SslPolicy {
    /// Whether it has this minor version of TLS 1.
    pub fn has_version(&self, minor: u8) -> bool {
        (self.versions.0..=self.versions.1).contains(&minor)
    }

    /// Its ciphers in the order of preference, as OpenSSL names them.
    pub fn ciphers(&self) -> impl Iterator<Item = &'static str> {
        let fips = self.name.contains("-FIPS-");
        let newer = match (self.has_version(3), fips) {
            (false, _) => &[][..],
            (true, true) => TLS13_FIPS,
            (true, false) => TLS13,
        };
        let older = ORDER.iter().filter(|cipher| self.older.iter().any(|group| group.contains(cipher)));
        newer.iter().chain(older).copied()
    }

    fn record(&self) -> Record {
        let protocols = ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"].into_iter().zip(0_u8..).filter(|(_, minor)| self.has_version(*minor));
        let ciphers = self.ciphers().zip(1_u32..).map(|(cipher, priority)| Record::new().with("Name", cipher).with("Priority", priority));
        Record::new()
            .list("SslProtocols", protocols.map(|(name, _)| name))
            .list("Ciphers", ciphers)
            .with("Name", self.name)
            .list("SupportedLoadBalancerTypes", ["application", "network"])
    }
}

/// The policy with this name.
pub fn find(name: &str) -> Answer<&'static SslPolicy> {
    let found = POLICIES.iter().find(|policy| policy.name == name);
    found.ok_or_else(|| ApiError::new("SSLPolicyNotFound", format!("SSL policy '{name}' not found")))
}

/// DescribeSSLPolicies.
pub fn describe(_: &mut State, input: &Input) -> Answer<Record> {
    let names = input.strings("Names");
    let (marker, size) = validation::paging(input)?;
    let kind = input.text("LoadBalancerType").filter(|text| !text.is_empty());
    input.done()?;
    if let Some(kind) = kind {
        validation::one_of(kind, "loadBalancerType", &["application", "network", "gateway"])?;
    }
    for name in &names {
        find(name)?;
    }
    let chosen: Vec<_> = POLICIES.iter().filter(|policy| names.is_empty() || names.iter().any(|wanted| wanted == policy.name)).collect();
    let (shown, next) = page::page(chosen, |policy| policy.name.to_string(), marker.as_deref(), size)?;
    Ok(Record::new().list("SslPolicies", shown.into_iter().map(SslPolicy::record)).maybe("NextMarker", next))
}
