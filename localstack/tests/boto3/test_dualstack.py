"""IPv6 of VPCs, subnets and load balancers, as far as it is configuration. Sources: EC2 API reference; user guides of application and network load balancers,
"IP address type", "Update the IP address types"."""

import ipaddress

import pytest

from cloud import Fails, ids, run


class Wide:
    """A VPC of its own whose first two subnets have IPv6 addresses, and the third has none; with an internet gateway, load balancers would be public."""

    def __init__(self, world):
        self.world, self.made = world, []
        made = world.ec2.create_vpc(CidrBlock="10.79.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"]
        self.vpc, block = made["VpcId"], made["Ipv6CidrBlockAssociationSet"][0]
        self.association, self.block = block["AssociationId"], ipaddress.ip_network(block["Ipv6CidrBlock"])
        assert (block["Ipv6CidrBlockState"]["State"], block["Ipv6Pool"], self.block.prefixlen) == ("associated", "Amazon", 56)
        parts = self.block.subnets(new_prefix=64)
        self.parts = [next(parts) for _ in range(4)]
        one = lambda n, **more: world.ec2.create_subnet(VpcId=self.vpc, CidrBlock=f"10.79.{n}.0/24", AvailabilityZone=f"us-east-1{'abc'[n]}", **more)["Subnet"]
        first, second, third = one(0, Ipv6CidrBlock=str(self.parts[0])), one(1), one(2)
        assert first["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"] == str(self.parts[0])
        self.subnets = [first["SubnetId"], second["SubnetId"], third["SubnetId"]]
        made = world.ec2.associate_subnet_cidr_block(SubnetId=self.subnets[1], Ipv6CidrBlock=str(self.parts[1]))
        assert (made["SubnetId"], made["Ipv6CidrBlockAssociation"]["Ipv6CidrBlock"]) == (self.subnets[1], str(self.parts[1]))
        self.second = made["Ipv6CidrBlockAssociation"]["AssociationId"]
        self.group = world.ec2.create_security_group(GroupName=world.name(), Description="x", VpcId=self.vpc)["GroupId"]

    def create(self, kind="application", subnets=None, **more):
        arguments = {"Name": self.world.name(), "Type": kind, "Scheme": "internal", "Subnets": subnets or self.subnets[:2]} | more
        if kind == "application":
            arguments |= {"SecurityGroups": [self.group]}
        made = self.world.elb.create_load_balancer(**{k: v for k, v in arguments.items() if v is not None})["LoadBalancers"][0]
        self.made.append(made["LoadBalancerArn"])
        return made

    def clear(self):
        """Leaves room for others: an account has few load balancers."""
        while self.made:
            self.world.elb.delete_load_balancer(LoadBalancerArn=self.made.pop())

    def mapped(self, *more, **settings):
        mappings = [{"SubnetId": subnet} | extra for subnet, extra in zip(self.subnets, more)]
        return self.create("network", Subnets=None, SubnetMappings=mappings, IpAddressType="dualstack", **settings)

    def listener(self, balancer, protocol):
        group = self.world.elb.create_target_group(Name=self.world.name(), Protocol=protocol, Port=53, VpcId=self.vpc, TargetType="ip")["TargetGroups"][0]["TargetGroupArn"]
        action = [{"Type": "forward", "TargetGroupArn": group}]
        return self.world.elb.create_listener(LoadBalancerArn=balancer["LoadBalancerArn"], Protocol=protocol, Port=53, DefaultActions=action)["Listeners"][0]

    def describe(self, balancer):
        return self.world.elb.describe_load_balancers(LoadBalancerArns=[balancer["LoadBalancerArn"]])["LoadBalancers"][0]


@pytest.fixture(scope="module")
def wide(world):
    return Wide(world)


def there_and_back(w):
    made = w.create()
    types = [made["IpAddressType"]]
    for wanted in ("dualstack", "ipv4"):
        w.world.elb.set_ip_address_type(LoadBalancerArn=made["LoadBalancerArn"], IpAddressType=wanted)
        types.append(w.describe(made)["IpAddressType"])
    return types


def addresses(w):
    first, second = str(w.parts[0][10]), str(w.parts[1][10])
    made = w.describe(w.mapped({"IPv6Address": first}, {"IPv6Address": second, "PrivateIPv4Address": "10.79.1.77"}))
    told = {zone["SubnetId"]: zone["LoadBalancerAddresses"] for zone in made["AvailabilityZones"]}
    return told == {w.subnets[0]: [{"IPv6Address": first}], w.subnets[1]: [{"IPv6Address": second, "PrivateIPv4Address": "10.79.1.77"}]}


def sources(w):
    chosen = str(next(w.parts[0].subnets(new_prefix=80)))
    made = w.describe(w.mapped({"SourceNatIpv6Prefix": chosen}, {"SourceNatIpv6Prefix": "auto_assigned"}, EnablePrefixForIpv6SourceNat="on"))
    told = {zone["SubnetId"]: zone["SourceNatIpv6Prefixes"] for zone in made["AvailabilityZones"]}
    assert made["EnablePrefixForIpv6SourceNat"] == "on"
    own = ipaddress.ip_network(told[w.subnets[1]][0])
    return told[w.subnets[0]] == [chosen] and own.prefixlen == 80 and own.subnet_of(w.parts[1])


def datagrams(w, **settings):
    return w.listener(w.mapped({}, {}, **settings), "UDP")["Protocol"]


def becomes_dualstack(w, **more):
    made = w.create("network")
    w.listener(made, "UDP")
    return w.world.elb.set_subnets(LoadBalancerArn=made["LoadBalancerArn"], Subnets=w.subnets[:2], IpAddressType="dualstack", **more)


def taken(w):
    address = str(w.parts[0][20])
    w.mapped({"IPv6Address": address})
    w.mapped({"IPv6Address": address})


def of_type(*types):
    return [{"Field": "source-ip", "SourceIpConfig": {"IpAddressType": wanted}} for wanted in types]


class Ruled:
    """A dualstack network load balancer with a listener, to which rules can be added."""

    def __init__(self, w):
        self.w, self.balancer = w, w.mapped({}, {})
        listener = w.listener(self.balancer, "TCP")
        self.listener, self.action = listener["ListenerArn"], listener["DefaultActions"]

    def rule(self, *types, priority=1, **more):
        wanted = {"Conditions": of_type(*types), "Actions": [{"Type": "forward", "TargetGroupArn": self.action[0]["TargetGroupArn"]}]} | more
        return self.w.world.elb.create_rule(ListenerArn=self.listener, Priority=priority, **wanted)["Rules"][0]


def rule(w, *types, **more):
    return Ruled(w).rule(*types, **more)


def rules(w):
    ruled, elb = Ruled(w), w.world.elb
    first, second = ruled.rule("ipv4", priority=1), ruled.rule("ipv6", priority=2)
    elb.modify_rule(RuleArn=first["RuleArn"], Conditions=of_type("ipv6"))
    elb.modify_rule(RuleArn=second["RuleArn"], Conditions=of_type("ipv4"))
    elb.set_rule_priorities(RulePriorities=[{"RuleArn": first["RuleArn"], "Priority": 2}, {"RuleArn": second["RuleArn"], "Priority": 1}])
    told = elb.describe_rules(ListenerArn=ruled.listener)["Rules"]
    elb.delete_rule(RuleArn=first["RuleArn"])
    left = elb.describe_rules(ListenerArn=ruled.listener)["Rules"]
    types = [[c["SourceIpConfig"]["IpAddressType"] for c in rule["Conditions"]] for rule in told]
    return [rule["Priority"] for rule in told] == ["1", "2", "default"] and types == [["ipv4"], ["ipv6"], []] and len(left) == 2


def modified(w, **more):
    return w.world.elb.modify_rule(RuleArn=rule(w, "ipv4")["RuleArn"], **more)


def no_more_dualstack(w):
    ruled = Ruled(w)
    ruled.rule("ipv4")
    w.world.elb.set_ip_address_type(LoadBalancerArn=ruled.balancer["LoadBalancerArn"], IpAddressType="ipv4")


def comes_and_goes(w):
    vpc = w.world.ec2.create_vpc(CidrBlock="10.80.0.0/16")["Vpc"]["VpcId"]
    made = w.world.ec2.associate_vpc_cidr_block(VpcId=vpc, AmazonProvidedIpv6CidrBlock=True)["Ipv6CidrBlockAssociation"]
    found = w.world.ec2.describe_vpcs(Filters=[{"Name": "ipv6-cidr-block-association.association-id", "Values": [made["AssociationId"]]}])["Vpcs"]
    gone = w.world.ec2.disassociate_vpc_cidr_block(AssociationId=made["AssociationId"])
    left = w.world.ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]
    return [v["VpcId"] for v in found] == [vpc] and gone["VpcId"] == vpc and not left.get("Ipv6CidrBlockAssociationSet")


def subnet_comes_and_goes(w):
    made = w.world.ec2.associate_subnet_cidr_block(SubnetId=w.subnets[2], Ipv6CidrBlock=str(w.parts[2]))["Ipv6CidrBlockAssociation"]
    found = w.world.ec2.describe_subnets(Filters=[{"Name": "ipv6-cidr-block-association.ipv6-cidr-block", "Values": [str(w.parts[2])]}])["Subnets"]
    w.world.ec2.disassociate_subnet_cidr_block(AssociationId=made["AssociationId"])
    return [s["SubnetId"] for s in found] == [w.subnets[2]]


NO_BLOCK = Fails("InvalidConfigurationRequest", "You must specify subnets with an associated IPv6 CIDR block.")
ROWS = [
    ("a VPC's block comes and goes", comes_and_goes, lambda r: r),
    ("a second block", lambda w: w.world.ec2.associate_vpc_cidr_block(VpcId=w.vpc, AmazonProvidedIpv6CidrBlock=True), Fails("CidrLimitExceeded")),
    ("a VPC's block that subnets use", lambda w: w.world.ec2.disassociate_vpc_cidr_block(AssociationId=w.association), Fails("InvalidCidrBlock.InUse")),
    ("an absent block of a VPC", lambda w: w.world.ec2.disassociate_vpc_cidr_block(AssociationId="vpc-cidr-assoc-0000"), Fails("InvalidVpcCidrBlockAssociationID.NotFound")),
    ("another IPv4 block", lambda w: w.world.ec2.associate_vpc_cidr_block(VpcId=w.vpc, CidrBlock="10.81.0.0/16"), Fails("UnknownParameter", "CidrBlock")),
    ("a subnet's block comes and goes", subnet_comes_and_goes, lambda r: r),
    ("a subnet's block of another VPC", lambda w: w.world.ec2.associate_subnet_cidr_block(SubnetId=w.subnets[2], Ipv6CidrBlock="2001:db8::/64"), Fails("InvalidSubnet.Range")),
    ("a subnet's block that another has", lambda w: w.world.ec2.associate_subnet_cidr_block(SubnetId=w.subnets[2], Ipv6CidrBlock=str(w.parts[0])), Fails("InvalidSubnet.Conflict")),
    ("a subnet's block of another size", lambda w: w.world.ec2.associate_subnet_cidr_block(SubnetId=w.subnets[2], Ipv6CidrBlock=str(w.block)), Fails("InvalidSubnet.Range")),
    ("a subnet's second block", lambda w: w.world.ec2.associate_subnet_cidr_block(SubnetId=w.subnets[0], Ipv6CidrBlock=str(w.parts[3])), Fails("CidrLimitExceeded")),
    ("an absent block of a subnet", lambda w: w.world.ec2.disassociate_subnet_cidr_block(AssociationId="subnet-cidr-assoc-0000"), Fails("InvalidSubnetCidrBlockAssociationID.NotFound")),
    ("a dualstack load balancer", lambda w: w.create(IpAddressType="dualstack"), lambda r: r["IpAddressType"] == "dualstack"),
    ("a dualstack network load balancer", lambda w: w.create("network", IpAddressType="dualstack"), lambda r: (r["IpAddressType"], r["EnablePrefixForIpv6SourceNat"]) == ("dualstack", "off")),
    ("a subnet's block in use", lambda w: (w.create(IpAddressType="dualstack"), w.world.ec2.disassociate_subnet_cidr_block(AssociationId=w.second)), Fails("InvalidCidrBlock.InUse")),
    ("dualstack in a subnet without IPv6", lambda w: w.create(IpAddressType="dualstack", subnets=w.subnets[1:]), NO_BLOCK),
    ("without public IPv4, but internal", lambda w: w.create(IpAddressType="dualstack-without-public-ipv4"), Fails("InvalidConfigurationRequest", "internet-facing")),
    ("there and back", there_and_back, lambda r: r == ["ipv4", "dualstack", "ipv4"]),
    ("not there without IPv6", lambda w: w.world.elb.set_ip_address_type(LoadBalancerArn=w.create(subnets=w.subnets[1:])["LoadBalancerArn"], IpAddressType="dualstack"), NO_BLOCK),
    ("a zone without IPv6 is added", lambda w: w.world.elb.set_subnets(LoadBalancerArn=w.create(IpAddressType="dualstack")["LoadBalancerArn"], Subnets=w.subnets), NO_BLOCK),
    ("with other subnets", lambda w: w.world.elb.set_subnets(LoadBalancerArn=w.create(subnets=w.subnets[1:])["LoadBalancerArn"], Subnets=w.subnets[:2], IpAddressType="dualstack"), lambda r: r["IpAddressType"] == "dualstack"),
    ("addresses that were chosen", addresses, lambda r: r),
    ("an address elsewhere", lambda w: w.mapped({"IPv6Address": "2001:db8::1"}), Fails("InvalidConfigurationRequest", "2001:db8::1")),
    ("an address of IPv4", lambda w: w.mapped({"IPv6Address": "10.79.0.9"}), Fails("ValidationError")),
    ("an address in use", taken, Fails("ResourceInUse")),
    ("prefixes for sources", sources, lambda r: r),
    ("a prefix for sources without them", lambda w: w.mapped({"SourceNatIpv6Prefix": str(next(w.parts[0].subnets(new_prefix=80)))}), Fails("InvalidConfigurationRequest", "EnablePrefixForIpv6SourceNat")),
    ("a prefix for sources of another size", lambda w: w.mapped({"SourceNatIpv6Prefix": str(w.parts[0])}, EnablePrefixForIpv6SourceNat="on"), Fails("ValidationError")),
    ("UDP without them", datagrams, Fails("InvalidConfigurationRequest", "EnablePrefixForIpv6SourceNat")),
    ("UDP with them", lambda w: datagrams(w, EnablePrefixForIpv6SourceNat="on"), lambda r: r == "UDP"),
    ("dualstack with UDP", becomes_dualstack, Fails("InvalidConfigurationRequest", "UDP")),
    ("dualstack with UDP and prefixes", lambda w: becomes_dualstack(w, EnablePrefixForIpv6SourceNat="on"), lambda r: (r["IpAddressType"], r["EnablePrefixForIpv6SourceNat"]) == ("dualstack", "on")),
    ("a rule for IPv4", lambda w: rule(w, "ipv4"), lambda r: r["Conditions"] == of_type("ipv4") and r["Actions"][0]["Type"] == "forward" and not r["Transforms"]),
    ("rules for both", rules, lambda r: r),
    ("a rule for another type", lambda w: rule(w, "ipv5"), Fails("ValidationError", "ipv5")),
    ("a rule for two types", lambda w: rule(w, "ipv4", "ipv6"), Fails("ValidationError", "source-ip")),
    ("a rule for addresses", lambda w: rule(w, Conditions=[{"Field": "source-ip", "SourceIpConfig": {"Values": ["10.0.0.0/8"]}}]), Fails("ValidationError", "IpAddressType")),
    ("a rule for addresses and a type", lambda w: rule(w, Conditions=[{"Field": "source-ip", "SourceIpConfig": {"Values": ["10.0.0.0/8"], "IpAddressType": "ipv4"}}]), Fails("ValidationError", "both")),
    ("a rule for paths", lambda w: rule(w, Conditions=[{"Field": "path-pattern", "PathPatternConfig": {"Values": ["/x"]}}]), Fails("ValidationError", "path-pattern")),
    ("a rule that redirects", lambda w: rule(w, "ipv4", Actions=[{"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_301", "Port": "443"}}]), Fails("InvalidLoadBalancerAction", "forward")),
    ("a rule that rewrites", lambda w: rule(w, "ipv4", Transforms=[{"Type": "url-rewrite", "UrlRewriteConfig": {"Rewrites": [{"Regex": "a", "Replace": "b"}]}}]), Fails("InvalidConfigurationRequest", "Transforms")),
    ("a rule becomes one for addresses", lambda w: modified(w, Conditions=[{"Field": "source-ip", "SourceIpConfig": {"Values": ["10.0.0.0/8"]}}]), Fails("ValidationError", "IpAddressType")),
    ("a rule is to rewrite", lambda w: modified(w, Transforms=[{"Type": "url-rewrite", "UrlRewriteConfig": {"Rewrites": [{"Regex": "a", "Replace": "b"}]}}]), Fails("InvalidConfigurationRequest", "Transforms")),
    ("no more dualstack with rules (assumed)", no_more_dualstack, Fails("InvalidConfigurationRequest", "rules")),
]


@pytest.mark.parametrize("row", ROWS, ids=ids(ROWS))
def test_dualstack(row, wide):
    try:
        run(row, wide)
    finally:
        wide.clear()
