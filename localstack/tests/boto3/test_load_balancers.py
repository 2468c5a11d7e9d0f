"""Load balancers: one row each: what is called, and what must come of it."""

import re

import pytest

from cloud import Fails, anything, eventually, ids, run


def described(w, arn):
    return w.elb.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"][0]


def attributes(w, arn):
    return {a["Key"]: a["Value"] for a in w.elb.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]}


def modify(w, key, value, arn=None):
    changed = w.elb.modify_load_balancer_attributes(LoadBalancerArn=arn or w.lb, Attributes=[{"Key": key, "Value": value}])
    return {a["Key"]: a["Value"] for a in changed["Attributes"]}[key]


def twice(w, **second):
    """Creates one, and then one of the same name."""
    name = w.name()
    first = w.balancer(Name=name)
    return first == w.balancer(Name=name, **second)


def interfaces(w, arn):
    name = "ELB " + arn.split("loadbalancer/")[1]
    return w.ec2.describe_network_interfaces(Filters=[{"Name": "description", "Values": [name]}])["NetworkInterfaces"]


def deleted(w):
    arn = w.balancer()
    w.elb.delete_load_balancer(LoadBalancerArn=arn)
    w.elb.delete_load_balancer(LoadBalancerArn=arn)
    return interfaces(w, arn), described(w, arn)


def protected(w):
    arn = w.balancer()
    modify(w, "deletion_protection.enabled", "true", arn)
    w.elb.delete_load_balancer(LoadBalancerArn=arn)


def moved(w):
    """A load balancer with its subnets replaced: zones and network interfaces follow."""
    arn = w.balancer()
    wanted = [subnet["SubnetId"] for subnet in w.public[1:3]]
    answer = w.elb.set_subnets(LoadBalancerArn=arn, Subnets=wanted)["AvailabilityZones"]
    held = sorted(interface["SubnetId"] for interface in interfaces(w, arn))
    return sorted(zone["SubnetId"] for zone in answer) == sorted(wanted) == held


def regrouped(w):
    """A load balancer with other security groups: its network interfaces have them too."""
    arn, other = w.balancer(), w.group()
    w.elb.set_security_groups(LoadBalancerArn=arn, SecurityGroups=[other])
    return described(w, arn)["SecurityGroups"] == [other] and all(i["Groups"][0]["GroupId"] == other for i in interfaces(w, arn))


def pages(w):
    """All load balancers, one per page, are as many as without pages."""
    paged = [b["LoadBalancerArn"] for p in w.elb.get_paginator("describe_load_balancers").paginate(PaginationConfig={"PageSize": 1}) for b in p["LoadBalancers"]]
    return sorted(paged) == sorted(b["LoadBalancerArn"] for b in w.elb.describe_load_balancers()["LoadBalancers"])


ABSENT = "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/absent/0123456789abcdef"

def reserve(w, balancer, units):
    return w.elb.modify_capacity_reservation(LoadBalancerArn=balancer, MinimumLoadBalancerCapacity={"CapacityUnits": units})


def reserved(w):
    balancer = w.balancer()
    found = reserve(w, balancer, 300)
    assert (found["MinimumLoadBalancerCapacity"]["CapacityUnits"], found["DecreaseRequestsRemaining"]) == (300, 2)
    assert [zone["EffectiveCapacityUnits"] for zone in found["CapacityReservationState"]] == [150, 150]
    assert reserve(w, balancer, 100)["DecreaseRequestsRemaining"] == 1
    gone = w.elb.modify_capacity_reservation(LoadBalancerArn=balancer, ResetCapacityReservation=True)
    return "MinimumLoadBalancerCapacity" not in gone and gone["CapacityReservationState"] == []


ROWS = [
    # Creating.
    ("create begins in provisioning", lambda w: w.create_balancer(), lambda r: r["State"]["Code"] == "provisioning"),
    ("create gives an ARN", lambda w: w.create_balancer(), lambda r: re.search(r":loadbalancer/app/t[^/]+/[0-9a-f]{16}$", r["LoadBalancerArn"])),
    ("create gives a DNS name", lambda w: w.create_balancer(), lambda r: re.fullmatch(r"t[^.]+-\d{9,10}\.us-east-1\.elb\.amazonaws\.com", r["DNSName"])),
    ("create fills in defaults", lambda w: w.create_balancer(), lambda r: (r["Scheme"], r["Type"], r["IpAddressType"]) == ("internet-facing", "application", "ipv4")),
    ("an internal one says so in its name", lambda w: w.create_balancer(Scheme="internal"), lambda r: r["DNSName"].startswith("internal-t")),
    ("without groups it gets the default one", lambda w: w.create_balancer(SecurityGroups=None), lambda r: len(r["SecurityGroups"]) == 1),
    ("subnet mappings will do", lambda w: w.create_balancer(Subnets=None, SubnetMappings=[{"SubnetId": s} for s in w.two]), lambda r: len(r["AvailabilityZones"]) == 2),
    ("becomes active", lambda w: eventually(lambda: described(w, w.lb)["State"]["Code"] == "active", "active"), anything),
    ("has an interface per subnet", lambda w: interfaces(w, w.lb), lambda r: len(r) == 2 and all(i["RequesterId"] == "amazon-elb" for i in r)),
    ("the same again is the same", lambda w: twice(w), lambda r: r),
    ("the same name with other tags", lambda w: twice(w, Tags=[{"Key": "a", "Value": "b"}]), Fails("DuplicateLoadBalancerName", "exists, but with different settings")),
    ("the same name with another scheme", lambda w: twice(w, Scheme="internal"), Fails("DuplicateLoadBalancerName")),
    ("one subnet", lambda w: w.balancer(Subnets=w.two[:1]), Fails("ValidationError", "At least two subnets in two different Availability Zones must be specified")),
    ("two subnets of one zone", lambda w: w.balancer(Subnets=[w.public[0]["SubnetId"], w.private[0]["SubnetId"]]), Fails("InvalidConfigurationRequest", "multiple subnets in the same Availability Zone")),
    ("an unknown subnet", lambda w: w.balancer(Subnets=[w.two[0], "subnet-0000"]), Fails("SubnetNotFound")),
    ("subnets and mappings", lambda w: w.balancer(SubnetMappings=[{"SubnetId": w.two[0]}]), Fails("ValidationError")),
    ("an elastic address", lambda w: w.balancer(Subnets=None, SubnetMappings=[{"SubnetId": w.two[0], "AllocationId": "eipalloc-1"}]), Fails("ValidationError")),
    ("an unknown security group", lambda w: w.balancer(SecurityGroups=["sg-0000"]), Fails("InvalidSecurityGroup")),
    ("six security groups", lambda w: w.balancer(SecurityGroups=[w.group() for _ in range(6)]), Fails("InvalidConfigurationRequest")),
    ("a long name", lambda w: w.balancer(Name="a" * 33), Fails("ValidationError", "cannot be longer than '32' characters")),
    ("a name with an underscore", lambda w: w.balancer(Name="a_b"), Fails("ValidationError", "alphanumeric characters or hyphens(-)")),
    ("a name with a hyphen in front", lambda w: w.balancer(Name="-a"), Fails("ValidationError", "cannot begin or end with '-'")),
    ("a name that looks internal", lambda w: w.balancer(Name="internal-a"), Fails("ValidationError", "internal-")),
    ("an unknown scheme", lambda w: w.balancer(Scheme="public"), Fails("ValidationError", "enum value set: [internal, internet-facing]")),
    ("a gateway load balancer", lambda w: w.balancer(Type="gateway"), Fails("InvalidConfigurationRequest", "'gateway' are not served")),
    ("dualstack without IPv6 subnets", lambda w: w.balancer(IpAddressType="dualstack"), Fails("InvalidConfigurationRequest", "IPv6")),
    ("a reserved tag", lambda w: w.balancer(Tags=[{"Key": "aws:x", "Value": ""}]), Fails("ValidationError", "aws:")),
    ("a tag twice", lambda w: w.balancer(Tags=[{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]), Fails("DuplicateTagKeys")),
    ("51 tags", lambda w: w.balancer(Tags=[{"Key": f"k{n}", "Value": ""} for n in range(51)]), Fails("TooManyTags")),
    # Describing.
    ("describe by name", lambda w: w.elb.describe_load_balancers(Names=[described(w, w.lb)["LoadBalancerName"]])["LoadBalancers"], lambda r: len(r) == 1),
    ("pages cover everything", pages, lambda r: r),
    ("an unknown name", lambda w: w.elb.describe_load_balancers(Names=["absent"]), Fails("LoadBalancerNotFound", "Load balancers '[absent]' not found")),
    ("an unknown ARN", lambda w: described(w, ABSENT), Fails("LoadBalancerNotFound")),
    ("no ARN at all", lambda w: described(w, "x"), Fails("ValidationError", "'x' is not a valid load balancer ARN")),
    ("21 names", lambda w: w.elb.describe_load_balancers(Names=[f"n{n}" for n in range(21)]), Fails("ValidationError", "You cannot describe more than '20' load balancers at a time")),
    ("names and ARNs", lambda w: w.elb.describe_load_balancers(Names=["a"], LoadBalancerArns=[w.lb]), Fails("ValidationError")),
    ("a page of 401", lambda w: w.elb.describe_load_balancers(PageSize=401), Fails("ValidationError", "less than or equal to 400")),
    ("a foreign marker", lambda w: w.elb.describe_load_balancers(Marker="zz"), Fails("ValidationError")),
    # Deleting.
    ("deleted, twice, with its interfaces", deleted, Fails("LoadBalancerNotFound")),
    ("deletion protection", protected, Fails("OperationNotPermitted", "because deletion protection is enabled")),
    # Attributes.
    ("attributes have defaults", lambda w: attributes(w, w.lb), lambda r: r["idle_timeout.timeout_seconds"] == "60" and r["routing.http2.enabled"] == "true" and r["routing.http.xff_header_processing.mode"] == "append"),
    ("an attribute is changed", lambda w: modify(w, "idle_timeout.timeout_seconds", "4000"), lambda r: r == "4000"),
    ("an attribute out of range", lambda w: modify(w, "idle_timeout.timeout_seconds", "4001"), Fails("ValidationError", "between '1' and '4000'")),
    ("an attribute that is no flag", lambda w: modify(w, "routing.http2.enabled", "yes"), Fails("ValidationError")),
    ("an unknown attribute", lambda w: modify(w, "colour", "red"), Fails("ValidationError", "Load balancer attribute key 'colour' is not recognized")),
    ("cross-zone cannot be switched off", lambda w: modify(w, "load_balancing.cross_zone.enabled", "false"), Fails("ValidationError")),
    ("logs need a bucket", lambda w: modify(w, "access_logs.s3.enabled", "true"), Fails("InvalidConfigurationRequest", "bucket")),
    ("attributes of an unknown one", lambda w: attributes(w, ABSENT), Fails("LoadBalancerNotFound")),
    # Moving.
    ("subnets are replaced", moved, lambda r: r),
    ("subnets of one zone", lambda w: w.elb.set_subnets(LoadBalancerArn=w.lb, Subnets=[w.public[0]["SubnetId"], w.private[0]["SubnetId"]]), Fails("InvalidConfigurationRequest")),
    ("one subnet is not enough", lambda w: w.elb.set_subnets(LoadBalancerArn=w.lb, Subnets=w.two[:1]), Fails("ValidationError")),
    ("security groups are replaced", regrouped, lambda r: r),
    ("unknown security groups", lambda w: w.elb.set_security_groups(LoadBalancerArn=w.lb, SecurityGroups=["sg-0000"]), Fails("InvalidSecurityGroup")),
    ("the IP address type stays", lambda w: w.elb.set_ip_address_type(LoadBalancerArn=w.lb, IpAddressType="ipv4"), lambda r: r["IpAddressType"] == "ipv4"),
    ("an unknown IP address type", lambda w: w.elb.set_ip_address_type(LoadBalancerArn=w.lb, IpAddressType="ipv5"), Fails("ValidationError")),
    # Reserved capacity (user guide, "Capacity reservations").
    ("nothing is reserved", lambda w: w.elb.describe_capacity_reservation(LoadBalancerArn=w.lb), lambda r: "MinimumLoadBalancerCapacity" not in r and r["DecreaseRequestsRemaining"] == 2),
    ("reserved, made smaller, given back", reserved, bool),
    ("too little to reserve", lambda w: reserve(w, w.lb, 99), Fails("InvalidConfigurationRequest")),
    ("too much to reserve", lambda w: reserve(w, w.lb, 15001), Fails("CapacityUnitsLimitExceeded")),
    ("nothing said about capacity", lambda w: w.elb.modify_capacity_reservation(LoadBalancerArn=w.lb), Fails("ValidationError")),
    ("made smaller a third time", lambda w: (lambda b: [reserve(w, b, units) for units in (500, 400, 300, 200)])(w.balancer()), Fails("CapacityDecreaseRequestLimitExceeded")),
    ("capacity of an unknown one", lambda w: reserve(w, ABSENT, 100), Fails("LoadBalancerNotFound")),
    # What this account has not.
    ("an absent IPAM pool", lambda w: w.elb.modify_ip_pools(LoadBalancerArn=w.lb, IpamPools={"Ipv4IpamPoolId": "ipam-pool-1"}), Fails("InvalidConfigurationRequest", "ipam-pool-1")),
    ("an IPAM pool is taken from one that has none", lambda w: w.elb.modify_ip_pools(LoadBalancerArn=w.lb, RemoveIpamPools=["ipv4"]), anything),
    ("no resource policy", lambda w: w.elb.get_resource_policy(ResourceArn=w.lb), Fails("ResourceNotFound")),
    # The account.
    ("limits are told", lambda w: {l["Name"]: l["Max"] for l in w.elb.describe_account_limits()["Limits"]}, lambda r: r["rules-per-application-load-balancer"] == "100" and len(r) == 22),
    ("TLS policies are told", lambda w: w.elb.describe_ssl_policies(Names=["ELBSecurityPolicy-2016-08"])["SslPolicies"], lambda r: len(r) == 1),
    ("an unknown TLS policy", lambda w: w.elb.describe_ssl_policies(Names=["x"]), Fails("SSLPolicyNotFound", "SSL policy 'x' not found")),
]


@pytest.mark.parametrize("row", ROWS, ids=ids(ROWS))
def test_load_balancers(row, world):
    run(row, world)
