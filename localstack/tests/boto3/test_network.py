"""EC2, STS and the tagging API: one row each: what is called, and what must come of it."""

import pytest

from cloud import HTTP80, Fails, anything, client, ids, run


def tcp(low, high=None, **peers):
    return [{"IpProtocol": "tcp", "FromPort": low, "ToPort": high or low} | (peers or {"IpRanges": [{"CidrIp": "10.0.0.0/8"}]})]


def filtered(call, key, **filters):
    wanted = [{"Name": name.replace("__", ":").replace("_", "-"), "Values": values} for name, values in filters.items()]
    return call(Filters=wanted)[key]


def groups(w, **filters):
    return filtered(w.ec2.describe_security_groups, "SecurityGroups", **filters)


def group(w, id):
    return w.ec2.describe_security_groups(GroupIds=[id])["SecurityGroups"][0]


def allow(w, permissions, id=None):
    id = id or w.group()
    return w.ec2.authorize_security_group_ingress(GroupId=id, IpPermissions=permissions)["SecurityGroupRules"]


def allowed_twice(w):
    id = w.group()
    allow(w, tcp(80), id)
    allow(w, tcp(80), id)


def merged(w):
    """Two sources of one port are one permission with two ranges."""
    id, other = w.group(), w.group()
    allow(w, tcp(80) + tcp(80, UserIdGroupPairs=[{"GroupId": other, "Description": "them"}]), id)
    permission, = group(w, id)["IpPermissions"]
    return permission["IpRanges"][0]["CidrIp"], permission["UserIdGroupPairs"][0]["Description"]


def revoked(w, by_id):
    id = w.group()
    rule, = allow(w, tcp(80), id)
    which = {"SecurityGroupRuleIds": [rule["SecurityGroupRuleId"]]} if by_id else {"IpPermissions": tcp(80)}
    answer = w.ec2.revoke_security_group_ingress(GroupId=id, **which)
    return answer["Return"] and group(w, id)["IpPermissions"] == []


def deleted(w):
    id = w.group()
    w.ec2.delete_security_group(GroupId=id)
    group(w, id)


def named_by_another(w):
    id, other = w.group(), w.group()
    allow(w, tcp(80, UserIdGroupPairs=[{"GroupId": id}]), other)
    try:
        w.ec2.delete_security_group(GroupId=id)
    finally:
        w.ec2.revoke_security_group_ingress(GroupId=other, IpPermissions=tcp(80, UserIdGroupPairs=[{"GroupId": id}]))
        w.ec2.delete_security_group(GroupId=id)


def sixty(w, count):
    id = w.group()
    return allow(w, [{"IpProtocol": "tcp", "FromPort": n, "ToPort": n, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]} for n in range(1, count + 1)], id)


def paged(w):
    """Security groups in pages of five are as many as without pages."""
    for _ in range(6):
        w.group()
    pages = w.ec2.get_paginator("describe_security_groups").paginate(PaginationConfig={"PageSize": 5})
    found = [g["GroupId"] for page in pages for g in page["SecurityGroups"]]
    return sorted(found) == sorted(g["GroupId"] for g in w.ec2.describe_security_groups()["SecurityGroups"]) and len(found) == len(set(found))


def ec2_tags(w):
    id = w.group()
    w.ec2.create_tags(Resources=[id], Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    w.ec2.delete_tags(Resources=[id], Tags=[{"Key": "a"}, {"Key": "b", "Value": "other"}])
    found = w.ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [id]}])["Tags"]
    return [(t["Key"], t["Value"], t["ResourceType"]) for t in found] == [("b", "2", "security-group")]


def interfaces(w, **filters):
    return filtered(w.ec2.describe_network_interfaces, "NetworkInterfaces", **filters)


def of_pod(w, address):
    return w.ec2.describe_network_interfaces(Filters=[{"Name": "addresses.private-ip-address", "Values": [address]}])["NetworkInterfaces"]


def regroup_node(w):
    """A node's interface gets another group, and its own back."""
    found = of_pod(w, "198.19.1.2")[0]
    before = [g["GroupId"] for g in found["Groups"]]
    change = lambda groups: w.ec2.modify_network_interface_attribute(NetworkInterfaceId=found["NetworkInterfaceId"], Groups=groups)
    change(before + [w.sg])
    during = [g["GroupId"] for g in of_pod(w, "198.19.1.2")[0]["Groups"]]
    change(before)
    return during == before + [w.sg]


def regroup_balancer(w):
    found = interfaces(w, requester_id=["amazon-elb"])[0]
    w.ec2.modify_network_interface_attribute(NetworkInterfaceId=found["NetworkInterfaceId"], Groups=[w.sg])


def made_vpc(w):
    """A VPC without an internet gateway cannot hold an internet-facing load balancer."""
    vpc = w.ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"]
    subnets = [w.ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.77.{n}.0/24", AvailabilityZone=f"us-east-1{z}")["Subnet"]["SubnetId"] for n, z in enumerate("ab")]
    try:
        try:
            w.ec2.delete_vpc(VpcId=vpc)
            raise AssertionError("a VPC with subnets was deleted")
        except w.ec2.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "DependencyViolation"
        w.balancer(Subnets=subnets, SecurityGroups=None)
    finally:
        for subnet in subnets:
            w.ec2.delete_subnet(SubnetId=subnet)
        w.ec2.delete_vpc(VpcId=vpc)


def resources(w, **which):
    pages = w.tagging.get_paginator("get_resources").paginate(**which)
    return [r for page in pages for r in page["ResourceTagMappingList"]]


def found_by_tags(w):
    owner = w.name()
    tags = [{"Key": "owner", "Value": owner}]
    arns = [w.balancer(Tags=tags), w.new_group(Tags=tags)]
    found = resources(w, TagFilters=[{"Key": "owner", "Values": [owner]}], PaginationConfig={"PageSize": 1})
    groups = resources(w, TagFilters=[{"Key": "owner", "Values": [owner, "x"]}], ResourceTypeFilters=["elasticloadbalancing:targetgroup"])
    return sorted(r["ResourceARN"] for r in found) == sorted(arns) and [r["ResourceARN"] for r in groups] == arns[1:]


def tagged_elsewhere(w):
    """The tagging API and ELBv2 see the same tags; a failure is told per resource."""
    arn, absent = w.new_group(), w.tg[:-4] + "0000"
    failed = w.tagging.tag_resources(ResourceARNList=[arn, absent], Tags={"a": "1", "b": "2"})["FailedResourcesMap"]
    assert list(failed) == [absent] and failed[absent]["StatusCode"] == 400, failed
    w.tagging.untag_resources(ResourceARNList=[arn], TagKeys=["a"])
    return w.elb.describe_tags(ResourceArns=[arn])["TagDescriptions"][0]["Tags"] == [{"Key": "b", "Value": "2"}]


NETWORK = [
    ("the VPC holds what pods need", lambda w: w.ec2.describe_vpcs(VpcIds=[w.vpc])["Vpcs"][0], lambda r: "198.18.0.0/15" in [a["CidrBlock"] for a in r["CidrBlockAssociationSet"]] and r["CidrBlock"] == "10.0.0.0/16"),
    ("an unknown VPC", lambda w: w.ec2.describe_vpcs(VpcIds=["vpc-0000"]), Fails("InvalidVpcID.NotFound", "The vpc ID 'vpc-0000' does not exist")),
    ("three zones", lambda w: w.ec2.describe_availability_zones()["AvailabilityZones"], lambda r: [z["ZoneId"] for z in r] == ["use1-az1", "use1-az2", "use1-az3"] and r[0]["ZoneType"] == "availability-zone"),
    ("an unknown zone", lambda w: w.ec2.describe_availability_zones(ZoneNames=["us-east-1z"]), Fails("InvalidParameterValue", "us-east-1z")),
    ("a public subnet per zone", lambda w: filtered(w.ec2.describe_subnets, "Subnets", tag__kubernetes_io="x") or w.public, lambda r: [s["AvailabilityZone"] for s in r] == ["us-east-1a", "us-east-1b", "us-east-1c"]),
    ("subnets by VPC and zone", lambda w: filtered(w.ec2.describe_subnets, "Subnets", vpc_id=[w.vpc], availability_zone=["us-east-1b"]), lambda r: len(r) == 2),
    ("subnets by wildcard", lambda w: filtered(w.ec2.describe_subnets, "Subnets", tag__Name=["*/public-us-east-1?"]), lambda r: len(r) == 3),
    ("subnets by a filter that nothing passes", lambda w: filtered(w.ec2.describe_subnets, "Subnets", vpc_id=["vpc-0000"]), lambda r: r == []),
    ("an unknown filter", lambda w: filtered(w.ec2.describe_subnets, "Subnets", colour=["red"]), Fails("InvalidParameterValue", "The filter 'colour' is invalid")),
    ("an unknown subnet", lambda w: w.ec2.describe_subnets(SubnetIds=["subnet-0000"]), Fails("InvalidSubnetID.NotFound", "The subnet ID 'subnet-0000' does not exist")),
    ("public subnets have a way out", lambda w: w.ec2.describe_route_tables(Filters=[{"Name": "association.subnet-id", "Values": w.two}])["RouteTables"], lambda r: any(route["GatewayId"].startswith("igw-") for route in r[0]["Routes"])),
    ("the internet gateway", lambda w: w.ec2.describe_internet_gateways(Filters=[{"Name": "attachment.vpc-id", "Values": [w.vpc]}])["InternetGateways"], lambda r: len(r) == 1),
    ("a VPC without a gateway", made_vpc, Fails("InvalidSubnet", "has no internet gateway")),
    ("a subnet outside of its VPC", lambda w: w.ec2.create_subnet(VpcId=w.vpc, CidrBlock="172.16.0.0/24"), Fails("InvalidSubnet.Range")),
    ("a subnet over another", lambda w: w.ec2.create_subnet(VpcId=w.vpc, CidrBlock=w.public[0]["CidrBlock"]), Fails("InvalidSubnet.Conflict")),
    ("the nodes", lambda w: w.ec2.describe_instances(Filters=[{"Name": "tag-key", "Values": ["kubernetes.io/cluster/*"]}])["Reservations"], lambda r: r[0]["Instances"][0]["State"]["Name"] == "running" and len(r[0]["Instances"][0]["NetworkInterfaces"]) >= 2),
    ("an unknown instance", lambda w: w.ec2.describe_instances(InstanceIds=["i-0000"]), Fails("InvalidInstanceID.NotFound")),
    ("a pod's interface", lambda w: of_pod(w, "198.19.1.2"), lambda r: len(r) == 1 and r[0]["Groups"][0]["GroupName"] == "nodes" and "198.19.1.2" in [a["PrivateIpAddress"] for a in r[0]["PrivateIpAddresses"]]),
    ("nobody's address", lambda w: of_pod(w, "10.0.200.200"), lambda r: r == []),
    ("a node's interface gets a group", regroup_node, lambda r: r),
    ("a load balancer's interface is not ours", regroup_balancer, Fails("OperationNotPermitted")),
    ("an unknown interface", lambda w: w.ec2.describe_network_interfaces(NetworkInterfaceIds=["eni-0000"]), Fails("InvalidNetworkInterfaceID.NotFound")),
]

SECURITY = [
    ("a new group lets everything out and nothing in", lambda w: group(w, w.group()), lambda r: r["IpPermissions"] == [] and r["IpPermissionsEgress"][0]["IpProtocol"] == "-1"),
    ("tags at creation", lambda w: group(w, w.group(TagSpecifications=[{"ResourceType": "security-group", "Tags": [{"Key": "a", "Value": "1"}]}])), lambda r: r["Tags"] == [{"Key": "a", "Value": "1"}]),
    ("tags of another type", lambda w: w.group(TagSpecifications=[{"ResourceType": "vpc", "Tags": []}]), Fails("InvalidParameterValue")),
    ("the same name again", lambda w: w.ec2.create_security_group(GroupName=group(w, w.sg)["GroupName"], Description="x", VpcId=w.vpc), Fails("InvalidGroup.Duplicate", "already exists for VPC")),
    ("no description", lambda w: w.ec2.create_security_group(GroupName=w.name(), VpcId=w.vpc), Fails("MissingParameter", "GroupDescription")),
    ("an unknown VPC for a group", lambda w: w.ec2.create_security_group(GroupName=w.name(), Description="x", VpcId="vpc-0000"), Fails("InvalidVpcID.NotFound")),
    ("a name like an id", lambda w: w.ec2.create_security_group(GroupName="sg-a", Description="x", VpcId=w.vpc), Fails("InvalidParameterValue")),
    ("an unknown group", lambda w: group(w, "sg-0000"), Fails("InvalidGroup.NotFound", "The security group 'sg-0000' does not exist")),
    ("no id of a group", lambda w: group(w, "x"), Fails("InvalidGroupId.Malformed")),
    ("groups by tag", lambda w: groups(w, tag_key=["kubernetes.io/cluster/*"]), lambda r: [g["GroupName"] for g in r] == ["nodes"]),
    ("a rule is answered", lambda w: allow(w, HTTP80), lambda r: (r[0]["FromPort"], r[0]["CidrIpv4"], r[0]["IsEgress"]) == (80, "0.0.0.0/0", False)),
    ("a CIDR is made canonical", lambda w: allow(w, tcp(80, IpRanges=[{"CidrIp": "10.1.2.3/8"}])), lambda r: r[0]["CidrIpv4"] == "10.0.0.0/8"),
    ("permissions are merged by port", merged, lambda r: r == ("10.0.0.0/8", "them")),
    ("a rule twice", allowed_twice, Fails("InvalidPermission.Duplicate", "peer: 10.0.0.0/8, TCP, from port: 80, to port: 80, ALLOW")),
    ("a rule twice in one call", lambda w: allow(w, tcp(80) + tcp(80)), Fails("InvalidParameterValue", "must not appear multiple times")),
    ("a rule for an unknown group", lambda w: allow(w, tcp(80, UserIdGroupPairs=[{"GroupId": "sg-0000"}])), Fails("InvalidGroup.NotFound")),
    ("no ports for TCP", lambda w: allow(w, [{"IpProtocol": "tcp", "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}]), Fails("InvalidParameterValue", "Must specify both from and to ports")),
    ("ports the wrong way round", lambda w: allow(w, tcp(90, 80)), Fails("InvalidParameterValue", "Invalid TCP port range (90,80)")),
    ("no CIDR", lambda w: allow(w, tcp(80, IpRanges=[{"CidrIp": "10.0.0.0/33"}])), Fails("InvalidParameterValue", "CIDR block 10.0.0.0/33 is malformed")),
    ("sixty rules", lambda w: sixty(w, 60), lambda r: len(r) == 60),
    ("sixty-one rules", lambda w: sixty(w, 61), Fails("RulesPerSecurityGroupLimitExceeded")),
    ("a rule is revoked by content", lambda w: revoked(w, False), lambda r: r),
    ("a rule is revoked by id", lambda w: revoked(w, True), lambda r: r),
    ("a rule that is not there", lambda w: w.ec2.revoke_security_group_ingress(GroupId=w.sg, IpPermissions=tcp(81)), Fails("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")),
    ("rules of a group", lambda w: w.ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [w.sg]}])["SecurityGroupRules"], lambda r: len(r) == 1 and r[0]["IsEgress"]),
    ("a group is deleted", deleted, Fails("InvalidGroup.NotFound")),
    ("a group on an interface stays", lambda w: w.ec2.delete_security_group(GroupId=w.sg), Fails("DependencyViolation", "has a dependent object")),
    ("a group that another names stays", named_by_another, Fails("DependencyViolation")),
    ("the default group stays", lambda w: w.ec2.delete_security_group(GroupId=groups(w, group_name=["default"], vpc_id=[w.vpc])[0]["GroupId"]), Fails("CannotDelete")),
    ("pages cover everything", paged, lambda r: r),
    ("a page of four", lambda w: w.ec2.describe_security_groups(MaxResults=4), Fails("InvalidParameterValue", "maxResults")),
    ("tags come and go", ec2_tags, lambda r: r),
    ("tags of an unknown thing", lambda w: w.ec2.create_tags(Resources=["sg-0000"], Tags=[{"Key": "a", "Value": ""}]), Fails("InvalidID")),
    ("a dry run", lambda w: w.ec2.create_security_group(GroupName=w.name(), Description="x", VpcId=w.vpc, DryRun=True), Fails("DryRunOperation")),
]

OTHERS = [
    ("who am I", lambda w: w.sts.get_caller_identity(), lambda r: r["Account"] == "000000000000"),
    ("an operation of STS that is not there", lambda w: w.sts.get_session_token(), Fails("InvalidAction", "GetSessionToken")),
    ("an operation of EC2 that is not there", lambda w: w.ec2.describe_volumes(), Fails("InvalidAction", "DescribeVolumes")),
    ("a service that is not there", lambda w: client("sqs").list_queues(), Fails("UnknownOperationException")),
    ("resources by tags", found_by_tags, lambda r: r),
    ("a page of 101", lambda w: w.tagging.get_resources(ResourcesPerPage=101), Fails("InvalidParameterException")),
    ("tags through both doors", tagged_elsewhere, lambda r: r),
    ("no ARNs to tag", lambda w: w.tagging.tag_resources(ResourceARNList=[], Tags={"a": "b"}), Fails("InvalidParameterException")),
]

ROWS = NETWORK + SECURITY + OTHERS


@pytest.mark.parametrize("row", ROWS, ids=ids(ROWS))
def test_network(row, world):
    run(row, world)
