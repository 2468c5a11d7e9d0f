"""EC2's instances and network interfaces, as far as targets need them, and what other services say of tags. Sources: EC2 API reference; Resource Groups
Tagging API reference; ELB API reference, TargetHealth."""

import pytest

from cloud import Fails, admin, anything, eventually, forward, ids, run


def state_of(w, instance):
    found, = w.ec2.describe_instances(InstanceIds=[instance])["Reservations"]
    return found["Instances"][0]


def started(w, **more):
    """A new instance, as RunInstances and then DescribeInstances show it."""
    made = w.instance(**more)
    return made, state_of(w, made["InstanceId"])


def interface_of(w, **more):
    made = w.interface(**more)
    return w.ec2.describe_network_interfaces(NetworkInterfaceIds=[made["NetworkInterfaceId"]])["NetworkInterfaces"][0]


def addresses(interface):
    return [(a["PrivateIpAddress"], a["Primary"]) for a in interface["PrivateIpAddresses"]]


def several(w):
    made = w.ec2.run_instances(ImageId="ami-0123456789abcdef0", InstanceType="m5.large", MinCount=2, MaxCount=3, SubnetId=w.two[0], TagSpecifications=w.run_tags("instance"))
    kept = [i["InstanceId"] for r in w.ec2.describe_instances(Filters=[{"Name": "reservation-id", "Values": [made["ReservationId"]]}])["Reservations"] for i in r["Instances"]]
    return sorted(i["InstanceId"] for i in made["Instances"]) == sorted(kept) and len(kept) == 3


def same_token(w):
    token = w.name()
    first, second = w.instance(ClientToken=token), w.instance(ClientToken=token)
    return first["InstanceId"] == second["InstanceId"]


def ended(w):
    """An instance that is terminated is shown for a while, without addresses; these are free again."""
    made = w.instance()
    change, = w.ec2.terminate_instances(InstanceIds=[made["InstanceId"]])["TerminatingInstances"]
    assert (change["PreviousState"]["Name"], change["CurrentState"]["Name"]) == ("running", "shutting-down")
    found = state_of(w, made["InstanceId"])
    again = w.instance(PrivateIpAddress=made["PrivateIpAddress"])
    second, = w.ec2.terminate_instances(InstanceIds=[made["InstanceId"]])["TerminatingInstances"]
    return found["State"]["Name"], found.get("NetworkInterfaces"), again["PrivateIpAddress"] == made["PrivateIpAddress"], second["CurrentState"]["Name"]


def target_life(w):
    """An instance is a target: not probed successfully, since nothing listens at its address; terminated, it is unused."""
    group = w.new_group(TargetType="instance", Port=80)
    w.new_rule(actions=forward(group))
    made = w.instance()["InstanceId"]
    w.elb.register_targets(TargetGroupArn=group, Targets=[{"Id": made}])
    before = w.health(group)[(made, 80)]["State"]
    w.ec2.terminate_instances(InstanceIds=[made])
    after = w.health(group)[(made, 80)]
    w.elb.deregister_targets(TargetGroupArn=group, Targets=[{"Id": made}])
    eventually(lambda: (made, 80) not in w.health(group), "the target is gone")
    assert before != "unused"
    return after["State"], after["Reason"]


def ended_target(w):
    made = w.instance()["InstanceId"]
    w.ec2.terminate_instances(InstanceIds=[made])
    w.elb.register_targets(TargetGroupArn=w.new_group(TargetType="instance"), Targets=[{"Id": made}])


def with_address(w):
    """The elastic address of a terminated instance is nobody's."""
    made, address = w.instance()["InstanceId"], w.address()["AllocationId"]
    w.ec2.associate_address(AllocationId=address, InstanceId=made)
    w.ec2.terminate_instances(InstanceIds=[made])
    found = w.ec2.describe_addresses(AllocationIds=[address])["Addresses"][0]
    return "AssociationId" not in found


def free(w, count=1):
    """Free addresses of the first subnet, from its end."""
    network = w.public[0]["CidrBlock"].split("/")[0].rsplit(".", 2)
    taken = {a["PrivateIpAddress"] for i in w.ec2.describe_network_interfaces()["NetworkInterfaces"] for a in i["PrivateIpAddresses"]}
    candidates = (f"{network[0]}.{int(network[1]) + 15}.{n}" for n in range(200, 255))
    return [address for address in candidates if address not in taken][:count]


def secondary(w):
    a, b, c = free(w, 3)
    made = interface_of(w, PrivateIpAddresses=[{"PrivateIpAddress": a, "Primary": True}, {"PrivateIpAddress": b, "Primary": False}])
    id = made["NetworkInterfaceId"]
    assert addresses(made) == [(a, True), (b, False)]
    more = w.ec2.assign_private_ip_addresses(NetworkInterfaceId=id, PrivateIpAddresses=[c])
    assert (more["NetworkInterfaceId"], more["AssignedPrivateIpAddresses"]) == (id, [{"PrivateIpAddress": c}])
    found = w.ec2.describe_network_interfaces(Filters=[{"Name": "addresses.private-ip-address", "Values": [c]}])["NetworkInterfaces"]
    assert [i["NetworkInterfaceId"] for i in found] == [id]
    w.ec2.unassign_private_ip_addresses(NetworkInterfaceId=id, PrivateIpAddresses=[b])
    found = w.ec2.describe_network_interfaces(NetworkInterfaceIds=[id])["NetworkInterfaces"][0]
    return addresses(found) == [(a, True), (c, False)]


def counted(w):
    made = w.interface(SecondaryPrivateIpAddressCount=2)
    more = w.ec2.assign_private_ip_addresses(NetworkInterfaceId=made["NetworkInterfaceId"], SecondaryPrivateIpAddressCount=1)
    return len(made["PrivateIpAddresses"]), len(more["AssignedPrivateIpAddresses"])


def reassigned(w, **more):
    """An address of another interface is taken only if the caller says so."""
    address, = free(w)
    first = w.interface()
    w.ec2.assign_private_ip_addresses(NetworkInterfaceId=first["NetworkInterfaceId"], PrivateIpAddresses=[address])
    second = w.interface()["NetworkInterfaceId"]
    w.ec2.assign_private_ip_addresses(NetworkInterfaceId=second, PrivateIpAddresses=[address], **more)
    found = w.ec2.describe_network_interfaces(Filters=[{"Name": "addresses.private-ip-address", "Values": [address]}])["NetworkInterfaces"]
    return [i["NetworkInterfaceId"] for i in found] == [second]


def gone(w):
    id = w.interface()["NetworkInterfaceId"]
    w.ec2.delete_network_interface(NetworkInterfaceId=id)
    w.ec2.describe_network_interfaces(NetworkInterfaceIds=[id])


def guarded(w):
    """A group that guards an interface stays."""
    group = w.group()
    w.interface(Groups=[group])
    w.ec2.delete_security_group(GroupId=group)


def reachable(w):
    """A secondary address is a target of type ip."""
    address, = free(w)
    w.interface(PrivateIpAddresses=[{"PrivateIpAddress": address, "Primary": True}])
    w.elb.register_targets(TargetGroupArn=w.new_group(), Targets=[{"Id": address}])


def balancers_interface(w):
    return w.ec2.describe_network_interfaces(Filters=[{"Name": "requester-id", "Values": ["amazon-elb"]}])["NetworkInterfaces"][0]["NetworkInterfaceId"]


def tag_keys(w):
    key = w.name()
    w.new_group(Tags=[{"Key": key, "Value": "one"}])
    w.group(TagSpecifications=[{"ResourceType": "security-group", "Tags": [{"Key": key, "Value": "two"}]}])
    keys = [k for page in w.tagging.get_paginator("get_tag_keys").paginate() for k in page["TagKeys"]]
    values = [v for page in w.tagging.get_paginator("get_tag_values").paginate(Key=key) for v in page["TagValues"]]
    return keys.count(key), keys == sorted(keys), values


ABSENT = "eni-00000000000000000"
ROWS = [
    ("an instance starts", started, lambda r: (r[0]["State"]["Name"], r[1]["State"]["Name"]) == ("pending", "running") and r[1]["SubnetId"] == r[0]["SubnetId"]),
    ("with what it was asked for", lambda w: started(w, InstanceType="t3.micro", ImageId="ami-00aa", PrivateIpAddress=free(w)[0])[1], lambda r: (r["InstanceType"], r["ImageId"], r["PrivateIpAddress"].rsplit(".", 1)[1] >= "200") == ("t3.micro", "ami-00aa", True)),
    ("in groups", lambda w: started(w, SecurityGroupIds=[w.sg])[1]["SecurityGroups"], lambda r: len(r) == 1),
    ("without groups it has the default one", lambda w: started(w)[1]["SecurityGroups"], lambda r: [g["GroupName"] for g in r] == ["default"]),
    ("several in one reservation", several, lambda r: r),
    ("the same token, the same instance", same_token, lambda r: r),
    ("no image", lambda w: w.ec2.run_instances(MinCount=1, MaxCount=1, SubnetId=w.two[0]), Fails("MissingParameter", "ImageId")),
    ("something else for an image", lambda w: w.instance(ImageId="x"), Fails("InvalidAMIID.Malformed")),
    ("none at all", lambda w: w.instance(MinCount=0), Fails("InvalidParameterValue")),
    ("at least more than at most", lambda w: w.instance(MinCount=2), Fails("InvalidParameterValue")),
    ("no subnet, and no default VPC", lambda w: w.ec2.run_instances(ImageId="ami-00aa", MinCount=1, MaxCount=1), Fails("VPCIdNotSpecified", "No default VPC")),
    ("an unknown subnet", lambda w: w.instance(SubnetId="subnet-0000"), Fails("InvalidSubnetID.NotFound")),
    ("an unknown group", lambda w: w.instance(SecurityGroupIds=["sg-0000"]), Fails("InvalidGroup.NotFound")),
    ("an address elsewhere", lambda w: w.instance(PrivateIpAddress="192.0.2.1"), Fails("InvalidParameterValue", "does not fall within the subnet's address range")),
    ("an address in use", lambda w: w.instance(PrivateIpAddress=w.instance()["PrivateIpAddress"]), Fails("InvalidIPAddress.InUse")),
    ("one address for two", lambda w: w.instance(MaxCount=2, PrivateIpAddress=free(w)[0]), Fails("InvalidParameterCombination")),
    ("what is not served", lambda w: w.instance(KeyName="mine"), Fails("UnknownParameter", "KeyName")),
    ("a dry run", lambda w: w.instance(DryRun=True), Fails("DryRunOperation")),
    ("an instance ends", ended, lambda r: (r[0], r[1] or [], r[2], r[3]) == ("terminated", [], True, "terminated")),
    ("with its elastic address freed", with_address, lambda r: r),
    ("an unknown one ends", lambda w: w.ec2.terminate_instances(InstanceIds=["i-0000"]), Fails("InvalidInstanceID.NotFound")),
    ("none ends", lambda w: w.ec2.terminate_instances(InstanceIds=[]), Fails("MissingParameter")),
    ("an instance as a target", target_life, lambda r: r == ("unused", "Target.InvalidState")),
    ("an ended instance as a target", ended_target, Fails("InvalidTarget")),
    ("an interface that nothing uses", interface_of, lambda r: r["Status"] == "available" and "Attachment" not in r and not r["RequesterManaged"]),
    ("a described one", lambda w: interface_of(w, Description="mine", Groups=[w.sg]), lambda r: (r["Description"], len(r["Groups"])) == ("mine", 1)),
    ("the same token, the same interface", lambda w: (lambda t: [w.interface(ClientToken=t)["NetworkInterfaceId"] for _ in range(2)])(w.name()), lambda r: r[0] == r[1]),
    ("secondary addresses come and go", secondary, lambda r: r),
    ("so many of them", counted, lambda r: r == (3, 1)),
    ("so many, and these", lambda w: w.ec2.assign_private_ip_addresses(NetworkInterfaceId=w.interface()["NetworkInterfaceId"], SecondaryPrivateIpAddressCount=1, PrivateIpAddresses=free(w)), Fails("InvalidParameterCombination")),
    ("none of them", lambda w: w.ec2.assign_private_ip_addresses(NetworkInterfaceId=w.interface()["NetworkInterfaceId"]), Fails("MissingParameter")),
    ("another's address is in use", reassigned, Fails("InvalidIPAddress.InUse")),
    ("unless it may be taken", lambda w: reassigned(w, AllowReassignment=True), lambda r: r),
    ("the primary address stays", lambda w: (lambda i: w.ec2.unassign_private_ip_addresses(NetworkInterfaceId=i["NetworkInterfaceId"], PrivateIpAddresses=[i["PrivateIpAddress"]]))(w.interface()), Fails("InvalidParameterValue")),
    ("addresses of a load balancer's interface", lambda w: w.ec2.assign_private_ip_addresses(NetworkInterfaceId=balancers_interface(w), SecondaryPrivateIpAddressCount=1), Fails("OperationNotPermitted")),
    ("two primary addresses", lambda w: w.interface(PrivateIpAddress=free(w)[0], PrivateIpAddresses=[{"PrivateIpAddress": free(w, 2)[1], "Primary": True}]), Fails("InvalidParameterCombination", "primary")),
    ("an interface elsewhere", lambda w: w.interface(SubnetId="subnet-0000"), Fails("InvalidSubnetID.NotFound")),
    ("an interface for EFA", lambda w: w.interface(InterfaceType="efa"), Fails("InvalidParameterValue", "not served")),
    ("an interface goes", gone, Fails("InvalidNetworkInterfaceID.NotFound")),
    ("an absent interface goes", lambda w: w.ec2.delete_network_interface(NetworkInterfaceId=ABSENT), Fails("InvalidNetworkInterfaceID.NotFound")),
    ("an interface in use stays", lambda w: w.ec2.delete_network_interface(NetworkInterfaceId=w.nodes()[0]["NetworkInterfaceId"]), Fails("InvalidParameterValue", "currently in use")),
    ("a group on it stays", guarded, Fails("DependencyViolation")),
    ("its address is a target", reachable, anything),
    ("keys and values of tags", tag_keys, lambda r: r == (1, True, ["one", "two"])),
    ("values of a key that nothing has", lambda w: w.tagging.get_tag_values(Key=w.name()), lambda r: r["TagValues"] == []),
    ("values of no key", lambda w: w.tagging.get_tag_values(Key=""), Fails("InvalidParameterException")),
    ("a foreign token", lambda w: w.tagging.get_tag_keys(PaginationToken="zz"), Fails("PaginationTokenExpiredException")),
]


@pytest.mark.parametrize("row", ROWS, ids=ids(ROWS))
def test_instances(row, world):
    run(row, world)


def test_the_inventory_has_protections_and_zones(world):
    """Shield and Route 53 by names: what is generated is left out."""
    name = f"{world.name()}.example.com"
    world.protected()
    before = admin("inventory")[1]
    assert before["shield_subscription"] is True
    protected = world.elb.describe_load_balancers(LoadBalancerArns=[world.shielded])["LoadBalancers"][0]
    assert f"lb/{protected['LoadBalancerName']}" in [p["resource"] for p in before["protections"].values()]

    def make():
        zone = world.dns.create_hosted_zone(Name=name, CallerReference=world.name())["HostedZone"]["Id"]
        target = {"HostedZoneId": protected["CanonicalHostedZoneId"], "DNSName": protected["DNSName"], "EvaluateTargetHealth": False}
        record = {"Name": f"www.{name}", "Type": "A", "AliasTarget": target}
        world.dns.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": [{"Action": "CREATE", "ResourceRecordSet": record}]})
        return zone, record

    zone, record = make()
    first = admin("inventory")[1]
    kept, = first["hosted_zones"][f"{name}. public"]
    assert kept["records"][f"www.{name}."]["A"]["alias"]["name"] == f"lb/{protected['LoadBalancerName']}"
    world.dns.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": [{"Action": "DELETE", "ResourceRecordSet": record}]})
    world.dns.delete_hosted_zone(Id=zone)
    assert admin("inventory")[1] == before
    make()
    assert admin("inventory")[1] == first
