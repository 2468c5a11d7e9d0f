//! Instances come and go: RunInstances, TerminateInstances. They run no program; what listens at their addresses is the machine's own affair.

use std::net::IpAddr;

use super::super::network_interface::{Attachment, check_groups};
use super::super::{describe::Resource, filter::Filters, finish, required, subnet, tagging};
use super::Instance;
use crate::clock;
use crate::elb::target;
use crate::error::{Answer, ApiError};
use crate::state::State;
use crate::tag::Tags;
use crate::wire::{Input, Record};

/// AWS: instances that one call may start, unless the account asked for more.
const PER_CALL: usize = 20;

/// What RunInstances is asked for.
struct Wanted {
    image: String,
    instance_type: String,
    subnet: String,
    groups: Vec<String>,
    address: Option<IpAddr>,
    token: Option<String>,
    tags: Tags,
    interface_tags: Tags,
    count: usize,
}

impl Wanted {
    fn read(state: &State, input: &Input) -> Answer<Self> {
        let image = required(input, "ImageId")?.to_string();
        let text = |name: &str| input.text(name).filter(|text| !text.is_empty()).map(str::to_string);
        let instance_type = text("InstanceType").unwrap_or_else(|| "m1.small".into());
        let number = |name: &str| -> Answer<usize> {
            input.parse(name)?.ok_or_else(|| ApiError::new("MissingParameter", format!("The request must contain the parameter {name}")))
        };
        let (least, most) = (number("MinCount")?, number("MaxCount")?);
        let (subnet_id, groups) = (text("SubnetId"), input.strings("SecurityGroupId"));
        let address = text("PrivateIpAddress");
        let token = text("ClientToken");
        let mut tags = tagging::specifications(input, &["instance", "network-interface"])?;
        finish(input)?;
        if !image.starts_with("ami-") {
            return Err(ApiError::new("InvalidAMIID.Malformed", format!("Invalid id: \"{image}\" (expecting \"ami-...\")")));
        }
        if !instance_type.contains('.') {
            return Err(ApiError::parameter_value(format!("Invalid value '{instance_type}' for InstanceType.")));
        }
        if least == 0 || most < least {
            return Err(ApiError::parameter_value(format!(
                "Value ({most}) for parameter maxCount is invalid. It must be at least minCount ({least}), and minCount at least 1."
            )));
        }
        if most > PER_CALL {
            return Err(ApiError::new(
                "InstanceLimitExceeded",
                format!("Your quota allows for {PER_CALL} more running instance(s). You requested at least {most}."),
            ));
        }
        if address.is_some() && most > 1 {
            return Err(ApiError::new(
                "InvalidParameterCombination",
                "The parameter PrivateIpAddress cannot be used with several instances",
            ));
        }
        let subnet_id = subnet_id.ok_or_else(|| {
            ApiError::new("VPCIdNotSpecified", "No default VPC for this user. GroupName is only supported for EC2-Classic and default VPC.")
        })?;
        let subnet = state.ec2.subnets.get(&subnet_id).ok_or_else(|| subnet::not_found(&subnet_id))?;
        let groups = if groups.is_empty() { state.ec2.default_group(&subnet.vpc) } else { groups };
        check_groups(&state.ec2, &groups, &subnet.vpc, state.config.quotas.security_groups_per_interface)?;
        let address = address.map(|text| subnet.free_address(&text)).transpose()?;
        let free = usize::try_from(subnet.free()).unwrap_or(usize::MAX);
        if free < least {
            return Err(ApiError::new("InsufficientFreeAddressesInSubnet", format!("The subnet '{subnet_id}' has no free addresses")));
        }
        let interface_tags = tags.remove("network-interface").unwrap_or_default();
        let tags = tags.remove("instance").unwrap_or_default();
        Ok(Self { image, instance_type, subnet: subnet_id, groups, address, token, tags, interface_tags, count: most.min(free) })
    }
}

/// RunInstances, each with one network interface. The same client token gives the same instances.
pub fn run(state: &mut State, input: &Input) -> Answer<Record> {
    let wanted = Wanted::read(state, input)?;
    let known: Vec<String> = match &wanted.token {
        None => Vec::new(),
        Some(_) => state.ec2.instances.values().filter(|one| one.token == wanted.token).map(|one| one.id.clone()).collect(),
    };
    if !known.is_empty() {
        return Ok(reservation(state, &known, None));
    }
    let reservation_id = state.ids.ec2("r");
    let zone = state.ec2.subnets.get(&wanted.subnet).map(|subnet| subnet.zone.clone()).unwrap_or_default();
    let mut made = Vec::new();
    for _ in 0..wanted.count {
        let id = state.ids.ec2("i");
        let attachment = Attachment::Instance { id: id.clone(), device: 0 };
        let groups = wanted.groups.clone();
        let interface = match wanted.address {
            Some(address) => state.ec2.add_interface_at(&mut state.ids, &wanted.subnet, address, groups, String::new(), attachment)?,
            None => state.ec2.add_interface(&mut state.ids, &wanted.subnet, groups, String::new(), attachment)?,
        };
        if let Some(interface) = state.ec2.network_interfaces.get_mut(&interface) {
            interface.tags = wanted.interface_tags.clone();
        }
        let instance = Instance {
            id: id.clone(),
            owner: state.config.account.clone(),
            reservation: reservation_id.clone(),
            interfaces: vec![interface],
            zone: zone.clone(),
            launched: state.now,
            image: wanted.image.clone(),
            instance_type: wanted.instance_type.clone(),
            token: wanted.token.clone(),
            terminated: None,
            tags: wanted.tags.clone(),
        };
        state.ec2.instances.insert(id.clone(), instance);
        made.push(id);
    }
    state.ec2.reach.all = true;
    Ok(reservation(state, &made, Some((0, "pending"))))
}

/// A reservation with instances, in this state or in their own.
fn reservation(state: &State, ids: &[String], shown: Option<(u16, &str)>) -> Record {
    let instances: Vec<&Instance> = ids.iter().filter_map(|id| state.ec2.instances.get(id)).collect();
    let records = instances.iter().map(|instance| instance.shown(&state.ec2, &Filters::default(), shown.unwrap_or(instance.state())));
    let first = instances.first();
    Record::new()
        .maybe("reservationId", first.map(|instance| &instance.reservation))
        .maybe("ownerId", first.map(|instance| &instance.owner))
        .list("groupSet", Vec::<Record>::new())
        .list("instancesSet", records.collect::<Vec<_>>())
}

/// TerminateInstances: their interfaces go with them, and targets on them get no more requests. They are shown for a while.
pub fn terminate(state: &mut State, input: &Input) -> Answer<Record> {
    let ids = input.strings("InstanceId");
    let force = ["Force", "SkipOsShutdown"].map(|name| input.flag(name));
    finish(input)?;
    for flag in force {
        flag?;
    }
    if ids.is_empty() {
        return Err(ApiError::new("MissingParameter", "The request must contain the parameter InstanceId"));
    }
    if let Some(missing) = ids.iter().find(|id| !state.ec2.instances.contains_key(*id)) {
        return Err(Instance::not_found(missing));
    }
    let gone = clock::after(state.now, state.config.times.instance_lag);
    let mut changes = Vec::new();
    for id in &ids {
        let Some(instance) = state.ec2.instances.get_mut(id) else { continue };
        let before = instance.state();
        let interfaces = std::mem::take(&mut instance.interfaces);
        let ends = instance.terminated.is_none();
        if ends {
            instance.terminated = Some(gone);
        }
        for interface in &interfaces {
            state.ec2.free_elastic_address(interface);
            state.ec2.remove_interface(interface);
        }
        let after = if ends { (32, "shutting-down") } else { before };
        let record = |(code, name): (u16, &str)| Record::new().with("code", code).with("name", name);
        changes.push(Record::new().with("instanceId", id).with("currentState", record(after)).with("previousState", record(before)));
        target::instance_ended(state, id);
    }
    state.ec2.reach.all = true;
    Ok(Record::new().list("instancesSet", changes))
}
