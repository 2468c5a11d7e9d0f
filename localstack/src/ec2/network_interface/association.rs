//! The public address of an interface: an elastic IP address, or one that Amazon gave a load balancer.

use std::net::Ipv4Addr;

use super::super::Ec2;
use super::NetworkInterface;
use crate::wire::Record;

/// The public address of an interface.
#[derive(Debug)]
pub struct Association<'a> {
    public: Ipv4Addr,
    /// Whose it is.
    owner: &'a str,
    region: &'a str,
    /// The ids of its allocation and association, unless it is Amazon's.
    ids: Option<(&'a str, Option<&'a str>)>,
}

impl NetworkInterface {
    /// Its public address, if it has one.
    pub fn association<'a>(&'a self, ec2: &'a Ec2) -> Option<Association<'a>> {
        let region = self.zone.trim_end_matches(|letter: char| letter.is_ascii_lowercase());
        let elastic = ec2.addresses.values().find(|address| address.interface.as_ref() == Some(&self.id));
        match elastic {
            Some(address) => {
                let ids = Some((address.id.as_str(), address.association.as_deref()));
                Some(Association { public: address.public, owner: &self.owner, region, ids })
            }
            None => self.public.map(|public| Association { public, owner: "amazon-elb", region, ids: None }),
        }
    }
}

impl Association<'_> {
    fn dns_name(&self) -> String {
        let domain = if self.region == "us-east-1" { "compute-1".into() } else { format!("{}.compute", self.region) };
        format!("ec2-{}.{domain}.amazonaws.com", self.public.to_string().replace('.', "-"))
    }

    /// Its value under a filter's name.
    pub fn attribute(&self, filter: &str) -> Option<String> {
        match filter {
            "association.allocation-id" => self.ids.map(|(allocation, _)| allocation.into()),
            "association.association-id" => self.ids.and_then(|(_, association)| association).map(str::to_string),
            "association.ip-owner-id" | "addresses.association.owner-id" => Some(self.owner.into()),
            "association.public-dns-name" => Some(self.dns_name()),
            _ => Some(self.public.to_string()),
        }
    }

    /// As a description of the interface shows it.
    pub fn record(&self) -> Record {
        Record::new()
            .maybe("allocationId", self.ids.map(|(allocation, _)| allocation))
            .maybe("associationId", self.ids.and_then(|(_, association)| association))
            .with("ipOwnerId", self.owner)
            .with("publicDnsName", self.dns_name())
            .with("publicIp", self.public.to_string())
    }
}
