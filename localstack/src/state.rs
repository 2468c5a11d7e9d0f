//! All that the control plane knows, and how it changes with time.

use jiff::Timestamp;

use crate::acm::Acm;
use crate::config::CloudConfig;
use crate::dataplane::health::HealthBoard;
use crate::ec2::Ec2;
use crate::elb::Elb;
use crate::error::CloudError;
use crate::id::Ids;

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
    /// Where the data plane publishes the targets' health.
    pub health: HealthBoard,
    /// Grows with every change.
    pub revision: u64,
}

impl State {
    /// A fresh account with its default network.
    pub fn new(config: CloudConfig, now: Timestamp, health: HealthBoard) -> Result<Self, CloudError> {
        let mut ids = Ids::new(config.seed);
        let ec2 = Ec2::new(&config, &mut ids, now)?;
        let elb = Elb::new(config.addresses);
        Ok(Self { config, now, ids, ec2, elb, acm: Acm::default(), health, revision: 1 })
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
