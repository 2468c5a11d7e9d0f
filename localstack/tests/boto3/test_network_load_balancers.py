"""Network load balancers: one row each: what is called, and what must come of it."""

import re

import pytest

from cloud import FIXED, Fails, admin, anything, eventually, forward, ids, path, run


def create(w, **more):
    """A network load balancer without security groups."""
    return w.create_balancer(**({"Type": "network", "SecurityGroups": None} | more))


def net(w, **more):
    return create(w, **more)["LoadBalancerArn"]


def shared(w):
    """The one that rows share that do not change it."""
    if not hasattr(w, "net"):
        w.net, w.net_tg = net(w), group(w)
        w.net_listener = listener(w, w.net, port=80, actions=forward(w.net_tg))["ListenerArn"]
    return w.net


def described(w, arn):
    return w.elb.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"][0]


def addresses(w, arn):
    return {zone["SubnetId"]: zone["LoadBalancerAddresses"] for zone in described(w, arn)["AvailabilityZones"]}


def create_group(w, **more):
    return w.create_group(**({"Protocol": "TCP", "Port": 9000} | more))


def group(w, **more):
    return create_group(w, **more)["TargetGroupArn"]


def listener(w, balancer=None, actions=None, protocol="TCP", **more):
    """A listener of a load balancer of its own, with a group of the protocol."""
    balancer = balancer or net(w)
    actions = actions or forward(group(w, Protocol={"QUIC": "QUIC"}.get(protocol, protocol)))
    more = {key.capitalize() if key == "port" else key: value for key, value in more.items()}
    return w.create_listener(balancer=balancer, actions=actions, Protocol=protocol, **more)


def tls(w, **more):
    certificate = more.pop("certificate", None) or w.import_certificate()
    return listener(w, protocol="TLS", Certificates=[{"CertificateArn": certificate}], **more)


def attributes(call, **which):
    return {a["Key"]: a["Value"] for a in call(**which)["Attributes"]}


def modify(w, arn, *pairs):
    wanted = [{"Key": key, "Value": value} for key, value in pairs]
    return attributes(w.elb.modify_load_balancer_attributes, LoadBalancerArn=arn, Attributes=wanted)


def modify_listener(w, arn, key, value):
    return attributes(w.elb.modify_listener_attributes, ListenerArn=arn, Attributes=[{"Key": key, "Value": value}])


def modify_group(w, *pairs, **more):
    wanted = [{"Key": key, "Value": value} for key, value in pairs]
    return attributes(w.elb.modify_target_group_attributes, TargetGroupArn=group(w, **more), Attributes=wanted)


def group_attributes(w, **more):
    return attributes(w.elb.describe_target_group_attributes, TargetGroupArn=group(w, **more))


def last(subnet, number):
    """An address of a subnet."""
    return subnet["CidrBlock"].split("/")[0].rsplit(".", 1)[0] + f".{number}"


class Free:
    """Private addresses that nobody has had."""

    next = 200


def private(w, index=0):
    Free.next -= 1
    return last(w.private[index], Free.next)


def internal(w, address, **more):
    mapping = {"SubnetId": w.private[0]["SubnetId"], "PrivateIPv4Address": address}
    return create(w, Scheme="internal", Subnets=None, SubnetMappings=[mapping], **more)


def static(w):
    """The chosen address is told, and the network interface holds it."""
    address = private(w)
    made = internal(w, address)
    name = "ELB " + made["LoadBalancerArn"].split("loadbalancer/")[1]
    held = w.ec2.describe_network_interfaces(Filters=[{"Name": "description", "Values": [name]}])["NetworkInterfaces"]
    return made["AvailabilityZones"][0]["LoadBalancerAddresses"], [i["PrivateIpAddress"] for i in held], address


def allocated(w, use):
    """An elastic address for a while; the load balancer that has it goes before it."""
    allocation = w.ec2.allocate_address()["AllocationId"]
    before = set(all_balancers(w))
    try:
        return use(allocation)
    finally:
        for arn in set(all_balancers(w)) - before:
            w.elb.delete_load_balancer(LoadBalancerArn=arn)
        w.ec2.release_address(AllocationId=allocation)


def elastic(w):
    """The elastic address is told by the load balancer, and its interface by the address."""

    def use(allocation):
        made = MAPPED(w, AllocationId=allocation)
        address = w.ec2.describe_addresses(AllocationIds=[allocation])["Addresses"][0]
        told = made["AvailabilityZones"][0]["LoadBalancerAddresses"]
        return told == [{"IpAddress": address["PublicIp"], "AllocationId": allocation}] and address["NetworkInterfaceId"].startswith("eni-")

    return allocated(w, use)


def zone_with_elastic(w):
    """SetSubnets adds a zone with an elastic address; the address of a zone that stays cannot be changed, and a zone that goes lets go of its own."""

    def use(allocation):
        made = create(w, Subnets=[w.two[0]])
        arn = made["LoadBalancerArn"]
        mappings = lambda *all: w.elb.set_subnets(LoadBalancerArn=arn, SubnetMappings=list(all))["AvailabilityZones"]
        zones = mappings({"SubnetId": w.two[0]}, {"SubnetId": w.two[1], "AllocationId": allocation})
        address = lambda: w.ec2.describe_addresses(AllocationIds=[allocation])["Addresses"][0]
        told = {zone["SubnetId"]: zone["LoadBalancerAddresses"] for zone in zones}
        assert told == {w.two[0]: [], w.two[1]: [{"IpAddress": address()["PublicIp"], "AllocationId": allocation}]}, told
        held = w.ec2.describe_network_interfaces(NetworkInterfaceIds=[address()["NetworkInterfaceId"]])["NetworkInterfaces"][0]
        assert held["SubnetId"] == w.two[1]
        with pytest.raises(w.elb.exceptions.ClientError) as caught:
            mappings({"SubnetId": w.two[0], "AllocationId": allocation}, {"SubnetId": w.two[1]})
        refused = caught.value.response["Error"]["Code"]
        mappings({"SubnetId": w.two[0]})
        return refused, "NetworkInterfaceId" in address()

    return allocated(w, use)


def taken(w):
    return allocated(w, lambda allocation: [MAPPED(w, AllocationId=allocation), MAPPED(w, AllocationId=allocation)])


def twice(w, **second):
    name = w.name()
    return net(w, Name=name) == net(w, Name=name, **second)


def same_name(w):
    name = w.name()
    w.balancer(Name=name)
    return net(w, Name=name)


def moved(w):
    """Zones come and go; the address of the one that stays stays."""
    made = net(w)
    before = {row["address"] for row in where(made, w)}
    subnets = [subnet["SubnetId"] for subnet in w.public]
    answer = w.elb.set_subnets(LoadBalancerArn=made, Subnets=subnets)
    three = {row["address"] for row in where(made, w)}
    w.elb.set_subnets(LoadBalancerArn=made, Subnets=subnets[2:])
    one = {row["address"] for row in where(made, w)}
    return len(answer["AvailabilityZones"]) == 3 and before < three and len(three) == 3 and one < three and len(one) == 1 and not one & before


def where(balancer, w):
    """Where a load balancer listens, which it does once it has a listener."""
    if not w.elb.describe_listeners(LoadBalancerArn=balancer)["Listeners"]:
        listener(w, balancer)
    return [row for row in admin("listeners")[1] if row["load_balancer"] == balancer]


def guarded(w, **more):
    made = net(w, SecurityGroups=[w.sg])
    return made, w.elb.set_security_groups(LoadBalancerArn=made, SecurityGroups=[w.group()], **more)


def front(w, port=80, **more):
    """An application load balancer with a listener, and a target group for it."""
    balancer = w.balancer()
    w.new_listener(port, balancer=balancer)
    return balancer, group(w, TargetType="alb", Port=port, **more)


def registered(w, group, *targets):
    w.elb.register_targets(TargetGroupArn=group, Targets=[t if isinstance(t, dict) else {"Id": t} for t in targets])
    return w.health(group)


def fronted(w):
    balancer, tg = front(w)
    return list(registered(w, tg, balancer)) == [(balancer, 80)]


def deleted_while_registered(w):
    """An application load balancer that is a target cannot go, nor its listener; once deregistered it can."""
    balancer, tg = front(w)
    registered(w, tg, balancer)
    try:
        w.elb.delete_load_balancer(LoadBalancerArn=balancer)
    finally:
        found = w.elb.describe_listeners(LoadBalancerArn=balancer)["Listeners"][0]["ListenerArn"]
        with pytest.raises(w.elb.exceptions.ResourceInUseException):
            w.elb.delete_listener(ListenerArn=found)
        w.elb.deregister_targets(TargetGroupArn=tg, Targets=[{"Id": balancer}])
        w.elb.delete_listener(ListenerArn=found)
        w.elb.delete_load_balancer(LoadBalancerArn=balancer)


def changed(w, **change):
    made = listener(w)
    return w.elb.modify_listener(ListenerArn=made["ListenerArn"], **change)["Listeners"][0]


def secured(w):
    """TCP becomes TLS with a certificate, and loses it on the way back."""
    made = listener(w)
    certificate = [{"CertificateArn": w.import_certificate()}]
    there = w.elb.modify_listener(ListenerArn=made["ListenerArn"], Protocol="TLS", Certificates=certificate)["Listeners"][0]
    back = w.elb.modify_listener(ListenerArn=made["ListenerArn"], Protocol="TCP")["Listeners"][0]
    return (there["Certificates"], there["SslPolicy"]) == (certificate, "ELBSecurityPolicy-2016-08") and not {"SslPolicy", "Certificates"} & set(back)


def quic(w, *others, **more):
    balancer = net(w, **more)
    for protocol in others:
        listener(w, balancer, protocol=protocol)
    return listener(w, balancer, protocol="QUIC")


def certificates(w, count):
    made = tls(w)["ListenerArn"]
    certificate = w.import_certificate()
    for _ in range(count):
        w.elb.add_listener_certificates(ListenerArn=made, Certificates=[{"CertificateArn": w.import_certificate()}])
    w.elb.add_listener_certificates(ListenerArn=made, Certificates=[{"CertificateArn": certificate}])
    return len(w.elb.describe_listener_certificates(ListenerArn=made)["Certificates"])


def default_rule(w):
    shared(w)
    return w.elb.describe_rules(ListenerArn=w.net_listener)["Rules"]


def rule(w, **more):
    shared(w)
    wanted = {"Conditions": [{"Field": "source-ip", "SourceIpConfig": {"Values": ["10.0.0.0/8"]}}]} | more
    return w.elb.create_rule(ListenerArn=w.net_listener, Priority=1, Actions=forward(w.net_tg), **wanted)


def tagged(w, arn):
    w.elb.add_tags(ResourceArns=[arn], Tags=[{"Key": "a", "Value": "1"}])
    return w.elb.describe_tags(ResourceArns=[arn])["TagDescriptions"][0]["Tags"]


def weights(count, **more):
    return lambda w: [{"Type": "forward", "ForwardConfig": {"TargetGroups": [{"TargetGroupArn": group(w, **more), "Weight": 10 * n} for n in range(count)]}}]


def reserve(w, balancer):
    return w.elb.modify_capacity_reservation(LoadBalancerArn=balancer, MinimumLoadBalancerCapacity={"CapacityUnits": 3000})


def too_many_listeners(w):
    """Listeners per network load balancer are counted apart from those of application load balancers."""
    status, _ = admin("settings", "PUT", {"quotas": {"listeners-per-network-load-balancer": 1}})
    assert status == 200
    try:
        balancer = net(w)
        listener(w, balancer)
        listener(w, balancer)
    finally:
        admin("settings", "PUT", {"quotas": {"listeners-per-network-load-balancer": 50}})


def too_many(name, value, call):
    def limited(w):
        before = admin("settings")[1]["quotas"][name]
        admin("settings", "PUT", {"quotas": {name: value}})
        try:
            return call(w)
        finally:
            admin("settings", "PUT", {"quotas": {name: before}})

    return limited


def used_group(w, *targets, balancer=None, **more):
    made = group(w, **more)
    listener(w, balancer or net(w), actions=forward(made))
    return registered(w, made, *targets)


def zonal(w):
    """DNS: all nodes, or the one of a zone; names of the form NAME-ID.elb.REGION.amazonaws.com."""
    made = create(w)
    rows = where(made["LoadBalancerArn"], w)
    _, all_of_them = admin(f"dns?name={made['DNSName']}")
    _, one = admin(f"dns?name=us-east-1a.{made['DNSName']}")
    return sorted(all_of_them["addresses"]) == sorted({row["address"] for row in rows}) and one["addresses"][0] in all_of_them["addresses"]


ABSENT = "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/net/absent/0123456789abcdef"
MAPPED = lambda w, **more: create(w, Subnets=None, SubnetMappings=[{"SubnetId": w.two[0]} | more])
TWO = [{"Key": "a", "Value": "b"}]

BALANCERS = [
    ("an ARN of its own kind", lambda w: net(w), lambda r: re.search(r":loadbalancer/net/t[^/]+/[0-9a-f]{16}$", r)),
    ("a DNS name with its id", lambda w: create(w), lambda r: r["DNSName"] == f"{r['LoadBalancerName']}-{r['LoadBalancerArn'][-16:]}.elb.us-east-1.amazonaws.com"),
    ("AWS's defaults", lambda w: create(w), lambda r: (r["Type"], r["Scheme"], r["IpAddressType"], r["SecurityGroups"], r["State"]["Code"]) == ("network", "internet-facing", "ipv4", [], "provisioning")),
    ("a hosted zone of its own", lambda w: create(w)["CanonicalHostedZoneId"], lambda r: r == "Z26RNL4JYFTOTI"),
    ("internal ones have no prefix", lambda w: create(w, Scheme="internal"), lambda r: not r["DNSName"].startswith("internal-")),
    ("one subnet is enough", lambda w: create(w, Subnets=w.two[:1]), lambda r: len(r["AvailabilityZones"]) == 1),
    ("no subnet is not", lambda w: create(w, Subnets=[]), Fails("ValidationError", "At least one subnet must be specified")),
    ("two subnets of one zone", lambda w: create(w, Subnets=[w.public[0]["SubnetId"], w.private[0]["SubnetId"]]), Fails("InvalidConfigurationRequest", "multiple subnets in the same Availability Zone")),
    ("an unknown subnet", lambda w: create(w, Subnets=["subnet-0000"]), Fails("SubnetNotFound")),
    ("the same again is the same", lambda w: twice(w), lambda r: r),
    ("the same name with other subnets", lambda w: twice(w, Subnets=w.two[:1]), Fails("DuplicateLoadBalancerName", "exists, but with different settings")),
    ("the same name with security groups", lambda w: twice(w, SecurityGroups=[w.sg]), Fails("DuplicateLoadBalancerName")),
    ("the name of an application load balancer", same_name, Fails("DuplicateLoadBalancerName")),
    ("a private address is static", static, lambda r: (r[0], r[1]) == ([{"PrivateIPv4Address": r[2]}], [r[2]])),
    ("a private address of an internet-facing one", lambda w: MAPPED(w, PrivateIPv4Address="10.0.0.9"), Fails("InvalidConfigurationRequest", "internal load balancers only")),
    ("a private address of another subnet", lambda w: internal(w, "10.0.0.9"), Fails("InvalidConfigurationRequest", "not in the range")),
    ("AWS's own address of a subnet", lambda w: internal(w, last(w.private[0], 3)), Fails("InvalidConfigurationRequest", "not in the range")),
    ("a private address that is taken", lambda w: (lambda a: [internal(w, a), internal(w, a)])(private(w)), Fails("ResourceInUse", "already in use")),
    ("no address at all", lambda w: internal(w, "ten"), Fails("ValidationError", "not a valid IPv4 address")),
    ("an elastic address of a zone that is added", zone_with_elastic, lambda r: r[0] in ("InvalidConfigurationRequest", "ResourceInUse") and not r[1]),
    ("an unknown elastic address of a zone that is added", lambda w: w.elb.set_subnets(LoadBalancerArn=create(w, Subnets=[w.two[0]])["LoadBalancerArn"], SubnetMappings=[{"SubnetId": w.two[0]}, {"SubnetId": w.two[1], "AllocationId": "eipalloc-0000"}]), Fails("AllocationIdNotFound")),
    ("an unknown elastic address", lambda w: MAPPED(w, AllocationId="eipalloc-0000"), Fails("AllocationIdNotFound")),
    ("an elastic address is told", elastic, lambda r: r),
    ("an elastic address that is taken", lambda w: taken(w), Fails("ResourceInUse", "not available for use")),
    ("an elastic address of an internal one", lambda w: create(w, Scheme="internal", Subnets=None, SubnetMappings=[{"SubnetId": w.private[0]["SubnetId"], "AllocationId": "eipalloc-0000"}]), Fails("InvalidConfigurationRequest", "internet-facing load balancers only")),
    ("an elastic address in use stays", lambda w: allocated(w, lambda id: (MAPPED(w, AllocationId=id), w.ec2.release_address(AllocationId=id))), Fails("InvalidIPAddress.InUse")),
    ("and is the load balancer's own", lambda w: allocated(w, lambda id: (MAPPED(w, AllocationId=id), w.ec2.disassociate_address(AssociationId=w.ec2.describe_addresses(AllocationIds=[id])["Addresses"][0]["AssociationId"]))), Fails("AuthFailure")),
    ("an IPv6 address", lambda w: MAPPED(w, IPv6Address="2001:db8::1"), Fails("InvalidConfigurationRequest", "IPv6")),
    ("dualstack without IPv6 subnets", lambda w: create(w, IpAddressType="dualstack"), Fails("InvalidConfigurationRequest", "IPv6")),
    ("a type of address for application load balancers", lambda w: create(w, IpAddressType="dualstack-without-public-ipv4"), Fails("InvalidConfigurationRequest", "'network'")),
    ("source NAT of IPv6 is off", lambda w: create(w, EnablePrefixForIpv6SourceNat="off"), lambda r: r["EnablePrefixForIpv6SourceNat"] == "off"),
    ("source NAT of IPv6 needs dualstack", lambda w: create(w, EnablePrefixForIpv6SourceNat="on"), Fails("InvalidConfigurationRequest", "dualstack")),
    ("security groups at creation", lambda w: create(w, SecurityGroups=[w.sg]), lambda r: len(r["SecurityGroups"]) == 1 and r["EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic"] == "on"),
    ("and others later", lambda w: guarded(w)[1], lambda r: len(r["SecurityGroupIds"]) == 1),
    ("PrivateLink is exempted", lambda w: guarded(w, EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic="off"), lambda r: r[1]["EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic"] == "off"),
    ("but none later for one without", lambda w: w.elb.set_security_groups(LoadBalancerArn=shared(w), SecurityGroups=[w.sg]), Fails("InvalidConfigurationRequest", "created without security groups")),
    ("nor no more for one with", lambda w: w.elb.set_security_groups(LoadBalancerArn=net(w, SecurityGroups=[w.sg]), SecurityGroups=[]), Fails("ValidationError")),
    ("PrivateLink concerns no application load balancer", lambda w: w.elb.set_security_groups(LoadBalancerArn=w.lb, SecurityGroups=[w.sg], EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic="on"), Fails("InvalidConfigurationRequest", "'application'")),
    ("zones come and go", moved, lambda r: r),
    ("another subnet of a zone must wait", lambda w: w.elb.set_subnets(LoadBalancerArn=net(w), Subnets=[w.private[0]["SubnetId"], w.two[1]]), Fails("InvalidConfigurationRequest", "must be removed before")),
    ("an address stays", lambda w: w.elb.set_subnets(LoadBalancerArn=internal(w, private(w))["LoadBalancerArn"], SubnetMappings=[{"SubnetId": w.private[0]["SubnetId"], "PrivateIPv4Address": private(w)}]), Fails("InvalidConfigurationRequest", "cannot be changed")),
    ("IPAM pools are for others", lambda w: w.elb.modify_ip_pools(LoadBalancerArn=shared(w), RemoveIpamPools=["ipv4"]), Fails("InvalidConfigurationRequest", "'network'")),
    ("names in DNS", zonal, lambda r: r),
    ("an unknown one", lambda w: described(w, ABSENT), Fails("LoadBalancerNotFound")),
    ("they are counted apart", too_many("network-load-balancers", 0, net), Fails("TooManyLoadBalancers", "[0]")),
    ("interfaces per VPC", too_many("network-load-balancer-enis-per-vpc", 1, net), Fails("InvalidConfigurationRequest", "[1]")),
    ("limits are told", lambda w: {l["Name"]: l["Max"] for l in w.elb.describe_account_limits()["Limits"]}, lambda r: (r["network-load-balancers"], r["listeners-per-network-load-balancer"], r["targets-per-network-load-balancer"]) == ("50", "50", "3000")),
    ("tags", lambda w: tagged(w, net(w)), lambda r: r == [{"Key": "a", "Value": "1"}]),
    ("capacity without TLS", lambda w: reserve(w, net(w)), lambda r: r["MinimumLoadBalancerCapacity"]["CapacityUnits"] == 3000),
    ("no capacity with TLS", lambda w: reserve(w, tls(w)["LoadBalancerArn"]), Fails("InvalidConfigurationRequest", "TLS")),
]

ATTRIBUTES = [
    ("a load balancer's", lambda w: attributes(w.elb.describe_load_balancer_attributes, LoadBalancerArn=shared(w)), lambda r: len(r) == 9 and r["load_balancing.cross_zone.enabled"] == "false" and r["dns_record.client_routing_policy"] == "any_availability_zone"),
    ("an internal one's", lambda w: attributes(w.elb.describe_load_balancer_attributes, LoadBalancerArn=net(w, Scheme="internal")), lambda r: r["ipv6.deny_all_igw_traffic"] == "true"),
    ("cross-zone is switched", lambda w: modify(w, net(w), ("load_balancing.cross_zone.enabled", "true")), lambda r: r["load_balancing.cross_zone.enabled"] == "true"),
    ("clients keep to their zone", lambda w: modify(w, net(w), ("dns_record.client_routing_policy", "availability_zone_affinity")), anything),
    ("an unknown routing policy", lambda w: modify(w, shared(w), ("dns_record.client_routing_policy", "near")), Fails("ValidationError")),
    ("secondary addresses", lambda w: modify(w, net(w), ("secondary_ips.auto_assigned.per_subnet", "7")), lambda r: r["secondary_ips.auto_assigned.per_subnet"] == "7"),
    ("too many of them", lambda w: modify(w, shared(w), ("secondary_ips.auto_assigned.per_subnet", "8")), Fails("ValidationError", "between '0' and '7'")),
    ("fewer of them", lambda w: (lambda a: [modify(w, a, ("secondary_ips.auto_assigned.per_subnet", n)) for n in ("3", "2")])(net(w)), Fails("InvalidConfigurationRequest", "cannot be decreased")),
    ("an attribute of application load balancers", lambda w: modify(w, shared(w), ("idle_timeout.timeout_seconds", "60")), Fails("InvalidConfigurationRequest", "Load balancer attribute key 'idle_timeout.timeout_seconds' is not supported on load balancers with type 'network'")),
    ("an attribute of network load balancers", lambda w: modify(w, w.lb, ("dns_record.client_routing_policy", "any_availability_zone")), Fails("InvalidConfigurationRequest", "with type 'application'")),
    ("an attribute of nobody", lambda w: modify(w, shared(w), ("colour", "red")), Fails("ValidationError", "is not recognized")),
    ("a TCP listener's", lambda w: attributes(w.elb.describe_listener_attributes, ListenerArn=listener(w)["ListenerArn"]), lambda r: r == {"tcp.idle_timeout.seconds": "350"}),
    ("a TLS listener has none", lambda w: attributes(w.elb.describe_listener_attributes, ListenerArn=tls(w)["ListenerArn"]), lambda r: r == {}),
    ("an idle timeout", lambda w: modify_listener(w, listener(w)["ListenerArn"], "tcp.idle_timeout.seconds", "6000"), lambda r: r == {"tcp.idle_timeout.seconds": "6000"}),
    ("a short idle timeout", lambda w: modify_listener(w, listener(w)["ListenerArn"], "tcp.idle_timeout.seconds", "59"), Fails("ValidationError", "between '60' and '6000'")),
    ("UDP's idle timeout is fixed", lambda w: modify_listener(w, listener(w, protocol="UDP")["ListenerArn"], "tcp.idle_timeout.seconds", "60"), Fails("InvalidConfigurationRequest")),
    ("a header on TCP", lambda w: modify_listener(w, listener(w)["ListenerArn"], "routing.http.response.server.enabled", "false"), Fails("InvalidConfigurationRequest")),
    ("an idle timeout on HTTP", lambda w: modify_listener(w, w.listener, "tcp.idle_timeout.seconds", "60"), Fails("InvalidConfigurationRequest")),
    ("an ip group's", lambda w: group_attributes(w), lambda r: len(r) == 13 and (r["preserve_client_ip.enabled"], r["proxy_protocol_v2.enabled"], r["stickiness.type"], r["deregistration_delay.connection_termination.enabled"]) == ("false", "false", "source_ip", "false")),
    ("an instance group's", lambda w: group_attributes(w, TargetType="instance"), lambda r: r["preserve_client_ip.enabled"] == "true"),
    ("a UDP group's", lambda w: group_attributes(w, Protocol="UDP"), lambda r: (r["preserve_client_ip.enabled"], r["deregistration_delay.connection_termination.enabled"], r["target_health_state.unhealthy.connection_termination.enabled"]) == ("true", "true", "false")),
    ("the proxy protocol", lambda w: modify_group(w, ("proxy_protocol_v2.enabled", "true")), lambda r: r["proxy_protocol_v2.enabled"] == "true"),
    ("stickiness by address", lambda w: modify_group(w, ("stickiness.enabled", "true"), ("stickiness.type", "source_ip")), anything),
    ("stickiness by cookie", lambda w: modify_group(w, ("stickiness.type", "lb_cookie")), Fails("InvalidConfigurationRequest", "Stickiness type 'lb_cookie' is not supported for target groups with the TCP protocol")),
    ("stickiness over TLS", lambda w: modify_group(w, ("stickiness.enabled", "true"), Protocol="TLS"), Fails("InvalidConfigurationRequest", "TLS")),
    ("UDP hides no client", lambda w: modify_group(w, ("preserve_client_ip.enabled", "false"), Protocol="UDP"), Fails("InvalidConfigurationRequest", "UDP")),
    ("UDP has no connections to end", lambda w: modify_group(w, ("target_health_state.unhealthy.connection_termination.enabled", "true"), Protocol="TCP_UDP"), Fails("InvalidConfigurationRequest", "TCP_UDP")),
    ("draining of unhealthy targets", lambda w: modify_group(w, ("target_health_state.unhealthy.connection_termination.enabled", "false"), ("target_health_state.unhealthy.draining_interval_seconds", "360000")), anything),
    ("draining and termination", lambda w: modify_group(w, ("target_health_state.unhealthy.draining_interval_seconds", "60")), Fails("InvalidConfigurationRequest", "draining_interval_seconds")),
    ("draining for too long", lambda w: modify_group(w, ("target_health_state.unhealthy.draining_interval_seconds", "360001")), Fails("ValidationError", "360000")),
    ("an algorithm", lambda w: modify_group(w, ("load_balancing.algorithm.type", "round_robin")), Fails("InvalidConfigurationRequest", "The provided target group attribute is not supported")),
    ("an alb group's stay", lambda w: modify_group(w, ("proxy_protocol_v2.enabled", "true"), TargetType="alb"), Fails("InvalidConfigurationRequest", "'alb'")),
]

GROUPS = [
    ("TCP has AWS's defaults", lambda w: create_group(w), lambda r: (r["HealthCheckProtocol"], r["HealthCheckTimeoutSeconds"], r["HealthCheckIntervalSeconds"], r["UnhealthyThresholdCount"]) == ("TCP", 10, 30, 2) and not {"Matcher", "HealthCheckPath", "ProtocolVersion"} & set(r)),
    ("HTTP checks have others", lambda w: create_group(w, HealthCheckProtocol="HTTP"), lambda r: (r["HealthCheckTimeoutSeconds"], r["Matcher"], r["HealthCheckPath"]) == (6, {"HttpCode": "200-399"}, "/")),
    ("HTTPS checks too", lambda w: create_group(w, HealthCheckProtocol="HTTPS"), lambda r: r["HealthCheckTimeoutSeconds"] == 10),
    *[(f"a {protocol} group", lambda w, protocol=protocol: create_group(w, Protocol=protocol), lambda r: r["HealthCheckProtocol"] == "TCP") for protocol in ("UDP", "TLS", "TCP_UDP", "QUIC", "TCP_QUIC")],
    ("codes up to 599", lambda w: create_group(w, HealthCheckProtocol="HTTP", Matcher={"HttpCode": "200-599"}), anything),
    ("codes from 600 on", lambda w: create_group(w, HealthCheckProtocol="HTTP", Matcher={"HttpCode": "600"}), Fails("ValidationError", "200-599")),
    ("codes of TCP", lambda w: create_group(w, Matcher={"HttpCode": "200"}), Fails("InvalidConfigurationRequest", "Health check matchers are not supported for TCP health checks")),
    ("a path of TCP", lambda w: create_group(w, HealthCheckPath="/x"), Fails("InvalidConfigurationRequest", "TCP")),
    ("checks over UDP", lambda w: create_group(w, Protocol="UDP", HealthCheckProtocol="UDP"), Fails("ValidationError", "Health check protocol 'UDP'")),
    ("checks over TCP of an HTTP group", lambda w: w.new_group(HealthCheckProtocol="TCP"), Fails("ValidationError", "Health check protocol 'TCP'")),
    ("a timeout as long as the interval", lambda w: create_group(w, HealthCheckIntervalSeconds=10), lambda r: r["HealthCheckTimeoutSeconds"] == 10),
    ("a timeout longer than the interval", lambda w: create_group(w, HealthCheckIntervalSeconds=9), Fails("ValidationError", "Health check timeout '10'")),
    ("a check becomes HTTP", lambda w: w.elb.modify_target_group(TargetGroupArn=group(w), HealthCheckProtocol="HTTP", HealthCheckPath="/up")["TargetGroups"][0], lambda r: (r["HealthCheckPath"], r["Matcher"]) == ("/up", {"HttpCode": "200-399"})),
    ("a protocol version", lambda w: create_group(w, ProtocolVersion="HTTP2"), Fails("InvalidConfigurationRequest", "TCP")),
    ("an alb group", lambda w: create_group(w, TargetType="alb"), lambda r: (r["TargetType"], r["HealthCheckProtocol"]) == ("alb", "HTTP")),
    ("an alb group needs TCP", lambda w: create_group(w, TargetType="alb", Protocol="TLS"), Fails("InvalidConfigurationRequest", "'alb'")),
    ("an alb group's check needs HTTP", lambda w: create_group(w, TargetType="alb", HealthCheckProtocol="TCP"), Fails("ValidationError", "Health check protocol 'TCP'")),
    ("a load balancer as the target", fronted, lambda r: r),
    ("a second one", lambda w: (lambda f: registered(w, f[1], f[0], front(w)[0]))(front(w)), Fails("TooManyTargets", "[1]")),
    ("one without the port", lambda w: registered(w, front(w)[1], front(w, 81)[0]), Fails("ValidationError", "If the target type is ALB, the target must have at least one listener that matches the target group port")),
    ("one that is not there", lambda w: registered(w, front(w)[1], ABSENT), Fails("InvalidTarget")),
    ("a network load balancer", lambda w: registered(w, front(w)[1], shared(w)), Fails("InvalidTarget", "not Application Load Balancers")),
    ("one with a zone", lambda w: (lambda f: registered(w, f[1], {"Id": f[0], "AvailabilityZone": "all"}))(front(w)), Fails("ValidationError", "'alb'")),
    ("a registered one stays", deleted_while_registered, Fails("ResourceInUse", "registered as a target")),
    ("a QUIC target", lambda w: registered(w, group(w, Protocol="QUIC"), {"Id": last(w.public[0], 7), "QuicServerId": "0x0123456789abcdef"}), lambda r: len(r) == 1),
    ("a QUIC target without its id", lambda w: registered(w, group(w, Protocol="QUIC"), last(w.public[0], 7)), Fails("ValidationError", "must be specified")),
    ("a QUIC id in upper case", lambda w: registered(w, group(w, Protocol="TCP_QUIC"), {"Id": last(w.public[0], 7), "QuicServerId": "0x0123456789ABCDEF"}), Fails("ValidationError", "lower case")),
    ("a QUIC id for TCP", lambda w: registered(w, group(w), {"Id": last(w.public[0], 7), "QuicServerId": "0x0123456789abcdef"}), Fails("ValidationError", "QUIC and TCP_QUIC")),
    ("another QUIC id at the end", lambda w: (lambda g: (registered(w, g, {"Id": last(w.public[0], 7), "QuicServerId": "0x0123456789abcdef"}), w.elb.deregister_targets(TargetGroupArn=g, Targets=[{"Id": last(w.public[0], 7), "QuicServerId": "0x0000000000000000"}])))(group(w, Protocol="QUIC")), Fails("InvalidTarget", "does not have")),
    ("a QUIC id twice", lambda w: registered(w, group(w, Protocol="QUIC"), *[{"Id": last(w.public[0], n), "QuicServerId": "0x0123456789abcdef"} for n in (7, 8)]), Fails("InvalidTarget", "already in use")),
    ("targets per zone", too_many("targets-per-availability-zone-per-network-load-balancer", 1, lambda w: used_group(w, last(w.public[0], 7), last(w.public[0], 8))), Fails("TooManyTargets", "Availability Zone")),
    ("targets per load balancer", too_many("targets-per-network-load-balancer", 1, lambda w: used_group(w, last(w.public[0], 7), last(w.public[1], 8))), Fails("TooManyTargets", "[1]")),
]

LISTENERS = [
    *[(f"{protocol}", lambda w, protocol=protocol: listener(w, protocol=protocol), lambda r: r["DefaultActions"][0]["Type"] == "forward" and "SslPolicy" not in r) for protocol in ("TCP", "UDP", "TCP_UDP", "QUIC", "TCP_QUIC")],
    ("an ARN of its own kind", lambda w: listener(w)["ListenerArn"], lambda r: re.search(r":listener/net/t[^/]+/[0-9a-f]{16}/[0-9a-f]{16}$", r)),
    ("TLS", lambda w: tls(w), lambda r: len(r["Certificates"]) == 1 and r["SslPolicy"] == "ELBSecurityPolicy-2016-08" and "MutualAuthentication" not in r),
    ("TLS to TCP", lambda w: tls(w, actions=forward(group(w))), anything),
    ("an ALPN policy", lambda w: tls(w, AlpnPolicy=["HTTP2Preferred"]), lambda r: r["AlpnPolicy"] == ["HTTP2Preferred"]),
    ("an unknown ALPN policy", lambda w: tls(w, AlpnPolicy=["HTTP3Only"]), Fails("ALPNPolicyNotFound", "HTTP3Only")),
    ("two ALPN policies", lambda w: tls(w, AlpnPolicy=["None", "HTTP1Only"]), Fails("ValidationError", "only one ALPN policy")),
    ("ALPN without TLS", lambda w: listener(w, AlpnPolicy=["None"]), Fails("ValidationError", "TLS listeners only")),
    ("TLS without a certificate", lambda w: listener(w, protocol="TLS"), Fails("ValidationError", "A certificate must be specified for TLS listeners")),
    ("an unknown certificate", lambda w: tls(w, certificate="arn:aws:acm:us-east-1:000000000000:certificate/0"), Fails("CertificateNotFound")),
    ("a certificate without TLS", lambda w: listener(w, Certificates=[{"CertificateArn": w.import_certificate()}]), Fails("ValidationError", "A certificate cannot be specified for TCP listeners")),
    ("a policy without TLS", lambda w: listener(w, SslPolicy="ELBSecurityPolicy-2016-08"), Fails("ValidationError", "An SSL policy cannot be specified for TCP listeners")),
    ("an unknown policy", lambda w: tls(w, SslPolicy="x"), Fails("SSLPolicyNotFound")),
    ("mutual TLS", lambda w: tls(w, MutualAuthentication={"Mode": "passthrough"}), Fails("ValidationError", "HTTPS listeners only")),
    ("more certificates", lambda w: certificates(w, 1), lambda r: r == 3),
    ("too many certificates", too_many("certificates-per-network-load-balancer", 1, lambda w: certificates(w, 1)), Fails("TooManyCertificates", "[1]")),
    ("certificates of TCP", lambda w: w.elb.add_listener_certificates(ListenerArn=listener(w)["ListenerArn"], Certificates=[{"CertificateArn": w.import_certificate()}]), Fails("UnsupportedProtocol")),
    ("TCP becomes TLS and TCP again", secured, lambda r: r),
    ("TCP becomes UDP", lambda w: changed(w, Protocol="UDP"), Fails("IncompatibleProtocols", "incompatible protocols")),
    ("TCP becomes HTTP", lambda w: changed(w, Protocol="HTTP"), Fails("ValidationError", "Listener protocol 'HTTP' must be one of 'TLS, TCP, TCP_UDP, UDP")),
    ("HTTP", lambda w: listener(w, protocol="HTTP"), Fails("ValidationError", "Listener protocol 'HTTP' must be one of")),
    ("TCP on an application load balancer", lambda w: listener(w, w.lb), Fails("ValidationError", "Listener protocol 'TCP' must be one of 'HTTPS, HTTP'")),
    ("a port twice", lambda w: (lambda b: [listener(w, b, port=53), listener(w, b, port=53, protocol="UDP")])(net(w)), Fails("DuplicateListener", "already exists on this port")),
    ("the same again is the same", lambda w: (lambda b, a: listener(w, b, port=53, actions=a) == listener(w, b, port=53, actions=a))(net(w), forward(group(w))), lambda r: r),
    ("TCP to TCP_UDP", lambda w: listener(w, actions=forward(group(w, Protocol="TCP_UDP"))), anything),
    ("TCP to UDP", lambda w: listener(w, actions=forward(group(w, Protocol="UDP"))), Fails("IncompatibleProtocols")),
    ("TCP to HTTP", lambda w: listener(w, actions=forward(w.new_group())), Fails("IncompatibleProtocols")),
    ("HTTP to TCP", lambda w: w.create_listener(actions=forward(group(w))), Fails("IncompatibleProtocols")),
    ("UDP to an alb group", lambda w: listener(w, protocol="UDP", actions=forward(group(w, TargetType="alb"))), Fails("IncompatibleProtocols")),
    ("TCP to an alb group", lambda w: listener(w, actions=forward(group(w, TargetType="alb"))), anything),
    ("weights", lambda w: listener(w, actions=weights(5)(w))["DefaultActions"][0]["ForwardConfig"]["TargetGroups"], lambda r: [g["Weight"] for g in r] == [0, 10, 20, 30, 40]),
    ("six groups", lambda w: listener(w, actions=weights(6)(w)), Fails("TooManyTargetGroups", "'5'")),
    ("weights of QUIC", lambda w: listener(w, protocol="QUIC", actions=weights(2, Protocol="QUIC")(w)), Fails("InvalidLoadBalancerAction", "QUIC")),
    ("a fixed response", lambda w: listener(w, actions=FIXED), Fails("InvalidLoadBalancerAction", "'fixed-response'")),
    ("a redirect", lambda w: listener(w, actions=[{"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_301", "Port": "1"}}]), Fails("InvalidLoadBalancerAction", "'redirect'")),
    ("a group of another load balancer", lambda w: (shared(w), listener(w, actions=forward(w.net_tg))), Fails("TargetGroupAssociationLimit")),
    ("two QUIC listeners", lambda w: quic(w, "QUIC"), Fails("InvalidConfigurationRequest", "Only one QUIC")),
    ("QUIC beside UDP", lambda w: quic(w, "UDP"), Fails("InvalidConfigurationRequest", "UDP")),
    ("QUIC beside TCP", lambda w: quic(w, "TCP"), anything),
    ("QUIC with security groups", lambda w: quic(w, SecurityGroups=[w.sg]), Fails("InvalidConfigurationRequest", "security groups")),
    ("too many listeners", too_many_listeners, Fails("TooManyListeners", "[1]")),
    ("its only rule", default_rule, lambda r: [(x["Priority"], x["IsDefault"]) for x in r] == [("default", True)] and ":listener-rule/net/" in r[0]["RuleArn"]),
    ("the default rule stays", lambda w: w.elb.delete_rule(RuleArn=default_rule(w)[0]["RuleArn"]), Fails("OperationNotPermitted")),
    ("rules need dualstack", lambda w: rule(w), Fails("InvalidConfigurationRequest", "dualstack")),
    ("rules by path", lambda w: rule(w, Conditions=path("/x")), Fails("InvalidConfigurationRequest", "'network'")),
    ("tags", lambda w: tagged(w, listener(w)["ListenerArn"]), lambda r: r == [{"Key": "a", "Value": "1"}]),
    ("a listener with two names for one thing", lambda w: listener(w, Tags=TWO + TWO), Fails("DuplicateTagKeys")),
    ("deleted with its load balancer", lambda w: (lambda l: [w.elb.delete_load_balancer(LoadBalancerArn=l["LoadBalancerArn"]), w.elb.describe_listeners(ListenerArns=[l["ListenerArn"]])])(listener(w)), Fails("ListenerNotFound")),
]

ROWS = BALANCERS + ATTRIBUTES + GROUPS + LISTENERS


def all_balancers(w):
    return {b["LoadBalancerArn"]: b["Type"] for p in w.elb.get_paginator("describe_load_balancers").paginate() for b in p["LoadBalancers"]}


@pytest.fixture
def tidy(world):
    """Removes the load balancers that a row made: an account has 50. Those that are targets go last."""
    shared(world)
    before = all_balancers(world)
    yield world
    made = {arn: kind for arn, kind in all_balancers(world).items() if arn not in before}
    for arn in sorted(made, key=lambda arn: made[arn], reverse=True):
        for group in fronting(world) if made[arn] == "application" else []:
            world.elb.deregister_targets(TargetGroupArn=group, Targets=[{"Id": arn}])
        world.elb.delete_load_balancer(LoadBalancerArn=arn)


def fronting(w):
    pages = w.elb.get_paginator("describe_target_groups").paginate()
    return [g["TargetGroupArn"] for page in pages for g in page["TargetGroups"] if g["TargetType"] == "alb"]


@pytest.mark.parametrize("row", ROWS, ids=ids(ROWS))
def test_network_load_balancers(row, tidy):
    run(row, tidy)


def test_an_unserved_protocol_says_so(tidy):
    """QUIC is configured as on AWS, and its socket is refused by name."""
    made = listener(tidy, protocol="TCP_QUIC")
    rows = eventually(lambda: [row for row in admin("listeners")[1] if row["listener"] == made["ListenerArn"]], "sockets")
    assert {row.get("error") for row in rows if row["transport"] == "udp"} == {"QUIC is not served by this cloud"}
    assert all("bound" in row for row in rows if row["transport"] == "tcp")
