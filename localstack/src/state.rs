//! All that the control plane knows, and how it changes with time.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::acm::Acm;
use crate::config::CloudConfig;
use crate::dataplane::health::HealthBoard;
use crate::ec2::Ec2;
use crate::elb::{Elb, ip_pool};
use crate::error::CloudError;
use crate::id::Ids;
use crate::route53::Route53;
use crate::s3::S3;
use crate::shield::Shield;
use crate::wafv2::Wafv2;

/// The state of one cloud. It is changed under one lock, which is never held across an await.
#[derive(Debug)]
pub struct State {
    /// The settings.
    pub config: CloudConfig,
    /// The moment of the running call.
    pub now: Timestamp,
    /// Makes identifiers.
    pub ids: Ids,
    /// EC2: networks, security groups, interfaces, instances.
    pub ec2: Ec2,
    /// ELBv2: load balancers and target groups.
    pub elb: Elb,
    /// ACM: certificates.
    pub acm: Acm,
    /// S3: buckets and objects.
    pub s3: S3,
    /// WAFv2: web ACLs and who has them.
    pub wafv2: Wafv2,
    /// Shield: the subscription and protections.
    pub shield: Shield,
    /// Route 53: hosted zones.
    pub route53: Route53,
    /// Where the data plane publishes the targets' health.
    pub health: HealthBoard,
    /// Grows with every change.
    pub revision: u64,
}

/// What of a state is kept over restarts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Grows with every change.
    pub revision: u64,
    /// EC2.
    pub ec2: Ec2,
    /// ELBv2.
    pub elb: Elb,
    /// ACM, without certificates' material.
    pub acm: Acm,
    /// S3.
    pub s3: S3,
    /// WAFv2.
    pub wafv2: Wafv2,
    /// Shield.
    pub shield: Shield,
    /// Route 53.
    pub route53: Route53,
}

impl State {
    /// A fresh account with its default network.
    pub fn new(config: CloudConfig, now: Timestamp, health: HealthBoard) -> Result<Self, CloudError> {
        let mut ids = Ids::new(config.seed);
        let ec2 = Ec2::new(&config, &mut ids, now)?;
        let elb = Elb::new(config.addresses);
        Ok(Self {
            config,
            now,
            ids,
            ec2,
            elb,
            acm: Acm::default(),
            s3: S3::default(),
            wafv2: Wafv2::default(),
            shield: Shield::default(),
            route53: Route53::default(),
            health,
            revision: 1,
        })
    }

    /// A state that was kept: what time did meanwhile is done, and everything is brought to the data plane anew.
    pub fn resumed(config: CloudConfig, now: Timestamp, health: HealthBoard, kept: Kept) -> Self {
        // The seed's own ids were given out before.
        let ids = Ids::new(config.seed.map(|seed| seed.wrapping_add(kept.revision)));
        let Kept { revision, mut ec2, elb, acm, s3, wafv2, shield, route53 } = kept;
        ec2.reach.all = true;
        let mut state = Self { config, now, ids, ec2, elb, acm, s3, wafv2, shield, route53, health, revision };
        state.restore_trust_stores();
        ip_pool::resume(&mut state);
        state.advance(now);
        state
    }

    /// What is kept over restarts. Every member of the state is either here or begins anew.
    pub fn kept(&self) -> Kept {
        let Self { config: _, now: _, ids: _, health: _, ec2, elb, acm, s3, wafv2, shield, route53, revision } = self;
        Kept {
            revision: *revision,
            ec2: ec2.clone(),
            elb: elb.clone(),
            acm: acm.clone(),
            s3: s3.clone(),
            wafv2: wafv2.clone(),
            shield: shield.clone(),
            route53: route53.clone(),
        }
    }

    /// Moves to a later moment and lets everything happen that was due: targets that have drained go, interfaces of deleted load
    /// balancers go, load balancers become active. Returns whether anything changed.
    pub fn advance(&mut self, now: Timestamp) -> bool {
        self.now = self.now.max(now);
        let targets = self.elb.expire(self.now);
        let interfaces = self.ec2.expire(self.now);
        if targets || interfaces {
            self.revision += 1;
        }
        targets || interfaces
    }

    /// The next moment at which [`State::advance`] will have something to do.
    pub fn next_event(&self) -> Option<Timestamp> {
        [self.elb.next_event(), self.ec2.next_event()].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests;
