//! Reading AWS: one function per thing that can be asked for, with pages and batches within.

use crate::budget::Kind;
use crate::convert;
use crate::error::{Class, Failure};
use crate::lock;
use crate::region::Region;
use aws_sdk_ec2::types::Filter;
use aws_sdk_elasticloadbalancingv2::types as sdk;
use ipnet::IpNet;
use portico_aws::attributes;
use portico_aws::observed::{Limits, Listener, ListenerTls, LoadBalancer, Rule, State, Subnet, TargetGroup};
use portico_providers::{Presence, TagSet, TargetSetId};
use std::collections::{BTreeMap, BTreeSet};

/// AWS: resources whose tags one call tells, and names that one call takes.
const BATCH: usize = 20;
/// Pages that a listing is followed for: far more than any account's quota allows.
const PAGES: usize = 1000;

impl Region {
    async fn load_balancer_named(&self, name: &str) -> Result<Option<sdk::LoadBalancer>, Failure> {
        let answer = self.read(Kind::ElbRead, "DescribeLoadBalancers", || self.elb.describe_load_balancers().names(name).send()).await;
        Ok(present(answer)?.and_then(|answer| answer.load_balancers().first().cloned()))
    }

    /// Where the load balancer of this name stands, if there is one.
    pub async fn load_balancer_state(&self, name: &str) -> Result<Option<State>, Failure> {
        Ok(self.load_balancer_named(name).await?.and_then(|found| convert::load_balancer(&found, TagSet::new())).map(|there| there.state))
    }

    /// Whether a load balancer of this name exists, with its tags; without its attributes and listeners.
    async fn load_balancer_head(&self, name: &str) -> Result<Option<LoadBalancer>, Failure> {
        let Some(found) = self.load_balancer_named(name).await? else { return Ok(None) };
        let arn = found.load_balancer_arn().unwrap_or_default();
        let tags = self.tags_of_those_there(std::iter::once(arn)).await?.remove(arn);
        Ok(tags.and_then(|tags| convert::load_balancer(&found, tags)))
    }

    /// A load balancer with all that is known of it.
    pub async fn load_balancer(&self, name: &str) -> Result<Option<LoadBalancer>, Failure> {
        match self.load_balancer_head(name).await? {
            Some(head) => Ok(Some(self.complete(head, None).await?)),
            None => Ok(None),
        }
    }

    /// A load balancer with its listeners and attributes; these are not read if its mark says that they are those that are wanted.
    pub async fn complete(&self, mut balancer: LoadBalancer, wanted: Option<&BTreeMap<String, String>>) -> Result<LoadBalancer, Failure> {
        let listeners = self.listeners(&balancer.arn).await?;
        match wanted.filter(|wanted| attributes::are_vouched_for(wanted, &balancer.tags, !listeners.is_empty())) {
            Some(wanted) => balancer.attributes.extend(wanted.clone()),
            None => balancer.attributes = self.load_balancer_attributes(&balancer.arn).await?,
        }
        balancer.listeners = Presence::Present(listeners);
        Ok(balancer)
    }

    /// A target group with its attributes; these are not read if its mark says that they are those that are wanted.
    pub async fn complete_group(&self, mut group: TargetGroup, wanted: Option<&BTreeMap<String, String>>) -> Result<TargetGroup, Failure> {
        match wanted.filter(|wanted| attributes::are_vouched_for(wanted, &group.tags, !group.load_balancers.is_empty())) {
            Some(wanted) => group.attributes.extend(wanted.clone()),
            None => group.attributes = self.target_group_attributes(&group.arn).await?,
        }
        Ok(group)
    }

    async fn target_group_attributes(&self, arn: &str) -> Result<BTreeMap<String, String>, Failure> {
        let answer = self
            .read(Kind::ElbRead, "DescribeTargetGroupAttributes", || {
                self.elb.describe_target_group_attributes().target_group_arn(arn).send()
            })
            .await?;
        Ok(answer.attributes().iter().filter_map(|a| Some((a.key()?.to_owned(), a.value().unwrap_or_default().to_owned()))).collect())
    }

    async fn load_balancer_attributes(&self, arn: &str) -> Result<BTreeMap<String, String>, Failure> {
        let answer = self
            .read(Kind::ElbRead, "DescribeLoadBalancerAttributes", || {
                self.elb.describe_load_balancer_attributes().load_balancer_arn(arn).send()
            })
            .await?;
        Ok(answer.attributes().iter().filter_map(|a| Some((a.key()?.to_owned(), a.value().unwrap_or_default().to_owned()))).collect())
    }

    /// The listeners of a load balancer with their rules.
    pub async fn listeners(&self, load_balancer: &str) -> Result<BTreeMap<u16, Listener>, Failure> {
        let mut listeners = BTreeMap::new();
        for (port, mut listener) in self.listener_heads(load_balancer).await? {
            listener.rules = Presence::Present(self.rules(&listener.arn).await?);
            listeners.insert(port, listener);
        }
        Ok(listeners)
    }

    /// The listeners of a load balancer without their rules.
    pub async fn listener_heads(&self, load_balancer: &str) -> Result<BTreeMap<u16, Listener>, Failure> {
        let mut listeners = BTreeMap::new();
        let mut marker = None;
        for _ in 0..PAGES {
            let answer = self
                .read(Kind::ElbRead, "DescribeListeners", || {
                    self.elb.describe_listeners().load_balancer_arn(load_balancer).set_marker(marker.clone()).send()
                })
                .await?;
            for found in answer.listeners() {
                let (Some(arn), Some(port)) = (found.listener_arn(), found.port().and_then(|port| u16::try_from(port).ok())) else {
                    continue;
                };
                let default = found.certificates().first().and_then(|certificate| certificate.certificate_arn());
                let mut tls = default.map(|default_certificate| ListenerTls {
                    policy: found.ssl_policy().unwrap_or_default().to_owned(),
                    default_certificate: default_certificate.to_owned(),
                    certificates: BTreeSet::new(),
                });
                if let Some(tls) = &mut tls {
                    tls.certificates = self.listener_certificates(arn).await?;
                }
                let listener = Listener {
                    arn: arn.to_owned(),
                    protocol: convert::listener_protocol(found.protocol()),
                    tls,
                    default_action: convert::read_action(found.default_actions()),
                    rules: Presence::Unknown,
                };
                listeners.insert(port, listener);
            }
            marker = answer.next_marker().map(str::to_owned);
            if marker.is_none() {
                break;
            }
        }
        Ok(listeners)
    }

    /// The rules of a listener but its default one.
    pub async fn rules(&self, listener: &str) -> Result<BTreeMap<u32, Rule>, Failure> {
        let mut rules = BTreeMap::new();
        let mut marker = None;
        for _ in 0..PAGES {
            let answer = self
                .read(Kind::ElbRead, "DescribeRules", || self.elb.describe_rules().listener_arn(listener).set_marker(marker.clone()).send())
                .await?;
            for found in answer.rules() {
                let (Some(arn), Some(priority)) = (found.rule_arn(), found.priority().and_then(|priority| priority.parse().ok())) else {
                    continue;
                };
                let mut conditions: Vec<_> = found.conditions().iter().map(convert::read_condition).collect();
                conditions.sort();
                let mut transforms: Vec<_> = found.transforms().iter().map(convert::read_transform).collect();
                transforms.sort();
                rules.insert(priority, Rule { arn: arn.to_owned(), conditions, transforms, action: convert::read_action(found.actions()) });
            }
            marker = answer.next_marker().map(str::to_owned);
            if marker.is_none() {
                break;
            }
        }
        Ok(rules)
    }

    /// Target groups by name, with tags and attributes. Those that do not exist are proven absent.
    pub async fn target_groups(&self, names: &BTreeSet<TargetSetId>) -> Result<BTreeMap<TargetSetId, Presence<TargetGroup>>, Failure> {
        let mut found = Vec::new();
        let all: Vec<_> = names.iter().map(|name| name.0.clone()).collect();
        for batch in all.chunks(BATCH) {
            // AWS answers a batch only if it knows every name in it.
            match present(
                self.read(Kind::ElbRead, "DescribeTargetGroups", || {
                    self.elb.describe_target_groups().set_names(Some(batch.to_vec())).send()
                })
                .await,
            )? {
                Some(answer) => found.extend(answer.target_groups().to_vec()),
                None if batch.len() == 1 => {}
                None => {
                    for name in batch {
                        let answer =
                            self.read(Kind::ElbRead, "DescribeTargetGroups", || self.elb.describe_target_groups().names(name).send()).await;
                        found.extend(present(answer)?.map(|answer| answer.target_groups().to_vec()).unwrap_or_default());
                    }
                }
            }
        }
        let mut tags = self.tags_of_those_there(found.iter().filter_map(|group| group.target_group_arn())).await?;
        let mut groups: BTreeMap<_, _> = names.iter().map(|name| (name.clone(), Presence::Absent)).collect();
        for group in &found {
            let tags = tags.remove(group.target_group_arn().unwrap_or_default());
            let Some((name, group)) = tags.and_then(|tags| convert::target_group(group, tags)) else { continue };
            groups.insert(name, Presence::Present(self.complete_group(group, None).await?));
        }
        Ok(groups)
    }

    /// Tags by ARN.
    async fn tags(&self, arns: &[String]) -> Result<BTreeMap<String, TagSet>, Failure> {
        let mut tags = BTreeMap::new();
        for batch in arns.chunks(BATCH) {
            let answer = self
                .read(Kind::ElbRead, "DescribeTags", || self.elb.describe_tags().set_resource_arns(Some(batch.to_vec())).send())
                .await?;
            for found in answer.tag_descriptions() {
                tags.insert(found.resource_arn().unwrap_or_default().to_owned(), convert::read_elb_tags(found.tags()));
            }
        }
        Ok(tags)
    }

    /// Tags by ARN of those resources that are still there: of those that a listing showed some may be gone.
    pub async fn tags_of_those_there<'a>(&self, arns: impl Iterator<Item = &'a str>) -> Result<BTreeMap<String, TagSet>, Failure> {
        let arns: Vec<_> = arns.map(str::to_owned).collect();
        let mut tags = BTreeMap::new();
        for batch in arns.chunks(BATCH) {
            // AWS answers a batch only if all of it is there.
            match present(self.tags(batch).await)? {
                Some(found) => tags.extend(found),
                None => {
                    for arn in batch {
                        tags.extend(present(self.tags(std::slice::from_ref(arn)).await)?.unwrap_or_default());
                    }
                }
            }
        }
        Ok(tags)
    }

    /// All load balancers of the account whose name begins with a prefix.
    pub async fn load_balancers_named(&self, prefix: &str) -> Result<Vec<sdk::LoadBalancer>, Failure> {
        let mut all = Vec::new();
        let mut marker = None;
        for _ in 0..PAGES {
            let call = || self.elb.describe_load_balancers().set_marker(marker.clone()).send();
            let answer = self.read(Kind::ElbRead, "DescribeLoadBalancers", call).await?;
            let found = answer.load_balancers().iter().filter(|found| found.load_balancer_name().is_some_and(|it| it.starts_with(prefix)));
            all.extend(found.cloned());
            marker = answer.next_marker().map(str::to_owned);
            if marker.is_none() {
                break;
            }
        }
        Ok(all)
    }

    /// All target groups of the account whose name begins with a prefix.
    pub async fn target_groups_named(&self, prefix: &str) -> Result<Vec<sdk::TargetGroup>, Failure> {
        let mut all = Vec::new();
        let mut marker = None;
        for _ in 0..PAGES {
            let call = || self.elb.describe_target_groups().set_marker(marker.clone()).send();
            let answer = self.read(Kind::ElbRead, "DescribeTargetGroups", call).await?;
            let found = answer.target_groups().iter().filter(|found| found.target_group_name().is_some_and(|it| it.starts_with(prefix)));
            all.extend(found.cloned());
            marker = answer.next_marker().map(str::to_owned);
            if marker.is_none() {
                break;
            }
        }
        Ok(all)
    }

    /// Security groups that pass all filters.
    pub async fn security_groups(&self, filters: Vec<Filter>) -> Result<Vec<aws_sdk_ec2::types::SecurityGroup>, Failure> {
        let mut groups = Vec::new();
        let mut token = None;
        for _ in 0..PAGES {
            let call = || self.ec2.describe_security_groups().set_filters(Some(filters.clone())).set_next_token(token.clone()).send();
            let answer = self.read(Kind::Ec2Read, "DescribeSecurityGroups", call).await?;
            groups.extend(answer.security_groups().to_vec());
            token = answer.next_token().filter(|token| !token.is_empty()).map(str::to_owned);
            if token.is_none() {
                break;
            }
        }
        Ok(groups)
    }

    /// All subnets of the region that can be used, from memory if it is young.
    pub async fn subnets(&self) -> Result<Vec<Subnet>, Failure> {
        let mut memory = self.subnets.lock().await;
        if let Some(subnets) = memory.get() {
            return Ok(subnets);
        }
        let mut subnets = Vec::new();
        let mut token = None;
        for _ in 0..PAGES {
            let call = || self.ec2.describe_subnets().filters(filter("state", ["available"])).set_next_token(token.clone()).send();
            let answer = self.read(Kind::Ec2Read, "DescribeSubnets", call).await?;
            subnets.extend(answer.subnets().iter().filter_map(convert::subnet));
            token = answer.next_token().filter(|token| !token.is_empty()).map(str::to_owned);
            if token.is_none() {
                break;
            }
        }
        subnets.sort_by(|a, b| a.id.cmp(&b.id));
        memory.set(subnets.clone());
        Ok(subnets)
    }

    /// Address ranges of a VPC, from memory if it is young.
    pub async fn vpc_ranges(&self, vpc: &str) -> Result<Vec<IpNet>, Failure> {
        let mut memory = self.vpc_ranges.lock().await;
        let memory = memory.entry(vpc.to_owned()).or_insert_with(Self::no_ranges);
        if let Some(ranges) = memory.get() {
            return Ok(ranges);
        }
        let answer = self.read(Kind::Ec2Read, "DescribeVpcs", || self.ec2.describe_vpcs().vpc_ids(vpc).send()).await?;
        let mut ranges: Vec<IpNet> = Vec::new();
        for found in answer.vpcs() {
            let ipv4 = found.cidr_block_association_set().iter().filter_map(|range| range.cidr_block());
            let ipv6 = found.ipv6_cidr_block_association_set().iter().filter_map(|range| range.ipv6_cidr_block());
            ranges.extend(found.cidr_block().into_iter().chain(ipv4).chain(ipv6).filter_map(|range| range.parse::<IpNet>().ok()));
        }
        memory.set(ranges.clone());
        Ok(ranges)
    }

    /// The account's limits as last read; AWS's defaults where the account did not tell.
    pub fn limits(&self) -> Limits {
        (*lock(&self.limits)).unwrap_or_default()
    }

    /// Reads the account's limits, unless they were read lately. Fails only if nothing is known of them: taking AWS's defaults for limits that were raised would
    /// take routes away that are served.
    pub async fn read_limits(&self) -> Result<(), Failure> {
        let mut read = self.limits_read.lock().await;
        if read.get().is_some() {
            return Ok(());
        }
        let answer = self.read(Kind::ElbRead, "DescribeAccountLimits", || self.elb.describe_account_limits().send()).await;
        match answer {
            Ok(answer) => {
                let mut limits = Limits::default();
                for found in answer.limits() {
                    let Some(max) = found.max().and_then(|max| max.parse().ok()) else { continue };
                    match found.name().unwrap_or_default() {
                        "rules-per-application-load-balancer" => limits.rules_per_load_balancer = max,
                        "listeners-per-application-load-balancer" => limits.listeners_per_load_balancer = max,
                        "certificates-per-application-load-balancer" => limits.certificates_per_load_balancer = max,
                        "target-groups-per-application-load-balancer" => limits.target_groups_per_load_balancer = max,
                        "targets-per-target-group" => limits.targets_per_target_group = max,
                        _ => {}
                    }
                }
                *lock(&self.limits) = Some(limits);
            }
            Err(failure) if failure.class() == Class::Denied => {
                let error = failure.message;
                tracing::warn!(
                    region = self.name,
                    error,
                    "account limits cannot be read: AWS's defaults are assumed; give the operator's role elasticloadbalancing:DescribeAccountLimits"
                );
            }
            Err(failure) => return if lock(&self.limits).is_some() { Ok(()) } else { Err(failure) },
        }
        read.set(());
        Ok(())
    }

    /// Targets of a target group with their state.
    pub async fn targets(&self, arn: &str) -> Result<Vec<sdk::TargetHealthDescription>, Failure> {
        let answer =
            self.read(Kind::ElbRead, "DescribeTargetHealth", || self.elb.describe_target_health().target_group_arn(arn).send()).await?;
        Ok(answer.target_health_descriptions().to_vec())
    }
}

/// An EC2 filter.
pub(crate) fn filter<'a>(name: &str, values: impl IntoIterator<Item = &'a str>) -> Filter {
    Filter::builder().name(name).set_values(Some(values.into_iter().map(str::to_owned).collect())).build()
}

/// An answer, or nothing where AWS says that what was asked for does not exist.
fn present<T>(answer: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(failure) if failure.class() == Class::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}
