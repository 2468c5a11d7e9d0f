"""WAFv2, WAF Regional, Shield, Service Quotas. Sources: their API references."""

import http.client

import pytest

from cloud import VISIBILITY, Fails, admin, anything, client, eventually, ids, run

NOWHERE = "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/absent/0123456789abcdef"
ABSENT = "arn:aws:wafv2:us-east-1:000000000000:regional/webacl/absent/00000000-0000-0000-0000-000000000000"
RULE = {"Name": "r", "Priority": 1, "Action": {"Block": {}}, "Statement": {"GeoMatchStatement": {"CountryCodes": ["US"]}}, "VisibilityConfig": VISIBILITY}


@pytest.fixture(scope="module", autouse=True)
def no_more(world):
    """Load balancers of these rows go with them: an account may have few."""
    listed = lambda: {lb["LoadBalancerArn"] for lb in world.elb.describe_load_balancers()["LoadBalancers"]}
    before = listed()
    yield
    for arn in listed() - before - {getattr(world, "shielded", None)}:
        world.elb.delete_load_balancer(LoadBalancerArn=arn)


def of(acl):
    return {"Name": acl["Name"], "Scope": "REGIONAL", "Id": acl["Id"]}


def get(w, acl):
    return w.waf.get_web_acl(**of(acl))


def changed(w, **more):
    acl = w.web_acl(Description="before")
    arguments = of(acl) | {"LockToken": acl["LockToken"], "DefaultAction": {"Block": {}}, "VisibilityConfig": VISIBILITY} | more
    token = w.waf.update_web_acl(**arguments)["NextLockToken"]
    found = get(w, acl)
    assert found["LockToken"] == token
    return found["WebACL"]


def associated(w, acl=None, resource=None):
    acl, resource = acl or w.web_acl(), resource or w.balancer()
    w.waf.associate_web_acl(WebACLArn=acl["ARN"], ResourceArn=resource)
    return acl, resource


def there_and_back(w):
    acl, lb = associated(w)
    assert w.waf.get_web_acl_for_resource(ResourceArn=lb)["WebACL"]["ARN"] == acl["ARN"]
    assert w.waf.list_resources_for_web_acl(WebACLArn=acl["ARN"])["ResourceArns"] == [lb]
    other, _ = associated(w, resource=lb)
    assert w.waf.get_web_acl_for_resource(ResourceArn=lb)["WebACL"]["ARN"] == other["ARN"]
    w.waf.disassociate_web_acl(ResourceArn=lb)
    return "WebACL" not in w.waf.get_web_acl_for_resource(ResourceArn=lb)


def deleted_in_use(w):
    acl, _ = associated(w)
    w.waf.delete_web_acl(**of(acl), LockToken=acl["LockToken"])


def gone_with_it(w):
    acl, lb = associated(w)
    w.elb.delete_load_balancer(LoadBalancerArn=lb)
    w.waf.delete_web_acl(**of(acl), LockToken=acl["LockToken"])
    return get(w, acl)


def tagged(w):
    arn = w.web_acl(Tags=[{"Key": "a", "Value": "1"}])["ARN"]
    w.waf.tag_resource(ResourceARN=arn, Tags=[{"Key": w.prefix, "Value": "2"}])
    w.waf.untag_resource(ResourceARN=arn, TagKeys=["a"])
    own = w.waf.list_tags_for_resource(ResourceARN=arn)["TagInfoForResource"]["TagList"]
    found = w.tagging.get_resources(TagFilters=[{"Key": w.prefix}], ResourceTypeFilters=["wafv2:webacl"])["ResourceTagMappingList"]
    return own == [{"Key": w.prefix, "Value": "2"}] and [r["ResourceARN"] for r in found] == [arn]


def pages(w):
    w.web_acl(), w.web_acl()
    found, marker = [], None
    while marker or not found:
        page = w.waf.list_web_acls(Scope="REGIONAL", Limit=1, **({"NextMarker": marker} if marker else {}))
        marker = page.get("NextMarker")
        found += [acl["Name"] for acl in page["WebACLs"]]
    return len(found) == len(set(found)) >= 2


WAF = [
    ("a web ACL", lambda w: get(w, w.web_acl())["WebACL"], lambda r: (r["DefaultAction"], r["Capacity"]) == ({"Allow": {}}, 0)),
    ("a web ACL by its ARN", lambda w: w.waf.get_web_acl(ARN=w.web_acl()["ARN"]), lambda r: r["LockToken"]),
    ("a web ACL, changed", changed, lambda r: r["DefaultAction"] == {"Block": {}} and "Description" not in r),
    ("changed by who did not look", lambda w: changed(w, LockToken="00000000-0000-0000-0000-000000000000"), Fails("WAFOptimisticLockException")),
    ("the same name", lambda w: w.web_acl(Name=w.web_acl()["Name"]), Fails("WAFDuplicateItemException")),
    ("a name with a space", lambda w: w.web_acl(Name="a b"), Fails("WAFInvalidParameterException", "Name")),
    ("another scope", lambda w: w.web_acl(Scope="GLOBAL"), Fails("WAFInvalidParameterException", "SCOPE")),
    ("for CloudFront", lambda w: w.web_acl(Scope="CLOUDFRONT"), Fails("WAFInvalidParameterException", "not served")),
    ("no default action", lambda w: w.web_acl(DefaultAction={}), Fails("WAFInvalidParameterException", "DEFAULT_ACTION")),
    ("two default actions", lambda w: w.web_acl(DefaultAction={"Allow": {}, "Block": {}}), Fails("WAFInvalidParameterException", "DEFAULT_ACTION")),
    ("rules are not served", lambda w: w.web_acl(Rules=[RULE]), Fails("WAFInvalidParameterException", "not served")),
    ("captchas are not served", lambda w: w.web_acl(CaptchaConfig={"ImmunityTimeProperty": {"ImmunityTime": 60}}), Fails("WAFInvalidParameterException", "not served")),
    ("no metric", lambda w: w.web_acl(VisibilityConfig={"SampledRequestsEnabled": True, "CloudWatchMetricsEnabled": True}), Fails("WAFInvalidParameterException", "metricName")),
    ("an absent web ACL", lambda w: w.waf.get_web_acl(ARN=ABSENT), Fails("WAFNonexistentItemException")),
    ("pages cover everything", pages, bool),
    ("a page of 101", lambda w: w.waf.list_web_acls(Scope="REGIONAL", Limit=101), Fails("WAFInvalidParameterException", "Limit")),
    ("tags", tagged, bool),
    ("associated, replaced, disassociated", there_and_back, bool),
    ("deleted while it is used", deleted_in_use, Fails("WAFAssociatedItemException")),
    ("its load balancer goes first", gone_with_it, Fails("WAFNonexistentItemException")),
    ("an absent web ACL for a load balancer", lambda w: associated(w, {"ARN": ABSENT}), Fails("WAFNonexistentItemException")),
    ("a web ACL for an absent load balancer", lambda w: associated(w, resource=NOWHERE), Fails("WAFNonexistentItemException")),
    ("a web ACL for a target group", lambda w: associated(w, resource=w.tg), Fails("WAFInvalidParameterException", "RESOURCE_ARN")),
    ("an absent load balancer's web ACL", lambda w: w.waf.get_web_acl_for_resource(ResourceArn=NOWHERE), Fails("WAFNonexistentItemException")),
    ("WAF Regional has none", lambda w: client("waf-regional").get_web_acl_for_resource(ResourceArn=w.lb), lambda r: "WebACLSummary" not in r),
    ("WAF Regional associates none", lambda w: client("waf-regional").associate_web_acl(WebACLId="x", ResourceArn=w.lb), Fails("WAFNonexistentItemException")),
]


@pytest.mark.parametrize("row", WAF, ids=ids(WAF))
def test_waf(row, world):
    run(row, world)


def ask(listener):
    row = next(row for row in admin("listeners")[1] if row["listener"] == listener)
    connection = http.client.HTTPConnection(row["address"], row["bound"], timeout=20)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_web_acl_blocks(world):
    w = world
    group = w.group()
    w.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}])
    lb = w.balancer(SecurityGroups=[group])
    listener = w.new_listener(balancer=lb)
    assert eventually(lambda: ask(listener), "the listener serves") == 404
    acl, _ = associated(w, w.web_acl("Block"), lb)
    eventually(lambda: ask(listener) == 403, "the web ACL blocks")
    w.waf.update_web_acl(**of(acl), LockToken=acl["LockToken"], DefaultAction={"Allow": {}}, VisibilityConfig=VISIBILITY)
    eventually(lambda: ask(listener) == 404, "the web ACL lets pass")


def protection(w, **more):
    w.protected()
    arguments = {"Name": w.name(), "ResourceArn": w.balancer()} | more
    return w.shield.describe_protection(ProtectionId=w.shield.create_protection(**arguments)["ProtectionId"])["Protection"]


def unprotected(w):
    made = protection(w)
    w.shield.delete_protection(ProtectionId=made["Id"])
    return w.shield.describe_protection(ResourceArn=made["ResourceArn"])


def subscribed_twice(w):
    w.protected()
    w.shield.create_subscription()


SHIELD = [
    ("subscribed", lambda w: (w.protected(), w.shield.get_subscription_state())[1], lambda r: r["SubscriptionState"] == "ACTIVE"),
    ("subscribed twice", subscribed_twice, Fails("ResourceAlreadyExistsException")),
    ("the subscription", lambda w: (w.protected(), w.shield.describe_subscription())[1], lambda r: r["Subscription"]["TimeCommitmentInSeconds"] == 31536000),
    ("a protection", protection, lambda r: r["ProtectionArn"].endswith(r["Id"])),
    ("a protection of an address", lambda w: protection(w, ResourceArn=f"arn:aws:ec2:us-east-1:000000000000:eip-allocation/{w.address()['AllocationId']}"), anything),
    ("a protection by what it protects", lambda w: w.shield.describe_protection(ResourceArn=w.protected()), lambda r: r["Protection"]["Name"]),
    ("protections", lambda w: (w.protected(), w.shield.list_protections(InclusionFilters={"ResourceArns": [w.shielded]}))[1], lambda r: len(r["Protections"]) == 1),
    ("a second protection", lambda w: protection(w, ResourceArn=w.protected()), Fails("ResourceAlreadyExistsException")),
    ("a protection of nothing", lambda w: protection(w, ResourceArn=NOWHERE), Fails("InvalidResourceException")),
    ("a protection of a bucket", lambda w: protection(w, ResourceArn="arn:aws:s3:::bucket"), Fails("InvalidResourceException")),
    ("protected no more", unprotected, Fails("ResourceNotFoundException")),
    ("an absent protection", lambda w: w.shield.delete_protection(ProtectionId="absent"), Fails("ResourceNotFoundException")),
    ("which protection", lambda w: w.shield.describe_protection(), Fails("InvalidParameterException")),
]


@pytest.mark.parametrize("row", SHIELD, ids=ids(SHIELD))
def test_shield(row, world):
    run(row, world)


def quota(w, code="L-53DA6B97", service="elasticloadbalancing"):
    return w.quotas.get_service_quota(ServiceCode=service, QuotaCode=code)["Quota"]


def increased(w):
    before = quota(w)["Value"]
    try:
        asked = w.quotas.request_service_quota_increase(ServiceCode="elasticloadbalancing", QuotaCode="L-53DA6B97", DesiredValue=before + 1)
        assert asked["RequestedQuota"]["Status"] == "APPROVED"
        told = {l["Name"]: l["Max"] for l in w.elb.describe_account_limits()["Limits"]}["application-load-balancers"]
        return quota(w)["Value"] == before + 1 == float(told)
    finally:
        admin("settings", "PUT", {"quotas": {"application-load-balancers": int(before)}})


# Codes as AWS's pages link them: "Quotas for your Application Load Balancers", "Quotas for your Network Load Balancers", "Amazon VPC quotas".
CODES = [("L-69A177A2", "elasticloadbalancing"), ("L-7EED9B64", "elasticloadbalancing"), ("L-A8F7060B", "elasticloadbalancing"), ("L-E79EC296", "vpc"), ("L-DA1D8B98", "acm")]
NAMES = ["Network Load Balancers per Region", "Rules per Application Load Balancer", "Trust stores per account", "VPC security groups per Region", "ACM certificates created in last 365 days"]
QUOTAS = [
    ("a quota", quota, lambda r: (r["QuotaName"], r["Adjustable"]) == ("Application Load Balancers per Region", True)),
    ("its default", lambda w: w.quotas.get_aws_default_service_quota(ServiceCode="vpc", QuotaCode="L-0EA8095F"), lambda r: r["Quota"]["Value"] == 60),
    ("a quota that stays", lambda w: quota(w, "L-822D1B1B"), lambda r: (r["QuotaName"], r["Value"], r["Adjustable"]) == ("Target Groups per Application Load Balancer", 100, False)),
    ("codes are AWS's", lambda w: [quota(w, code, service)["QuotaName"] for code, service in CODES], lambda r: r == NAMES),
    ("what stays is not increased", lambda w: w.quotas.request_service_quota_increase(ServiceCode="elasticloadbalancing", QuotaCode="L-822D1B1B", DesiredValue=200), Fails("IllegalArgumentException", "adjustable")),
    ("quotas of a service", lambda w: w.quotas.list_service_quotas(ServiceCode="vpc")["Quotas"], lambda r: len(r) == 3),
    ("services", lambda w: w.quotas.list_services(MaxResults=1), lambda r: r["NextToken"] and len(r["Services"]) == 1),
    ("increased", increased, bool),
    ("decreased", lambda w: w.quotas.request_service_quota_increase(ServiceCode="vpc", QuotaCode="L-0EA8095F", DesiredValue=1), Fails("IllegalArgumentException", "greater")),
    ("an absent quota", lambda w: quota(w, "L-00000000"), Fails("NoSuchResourceException")),
    ("an absent service", lambda w: quota(w, service="absent"), Fails("NoSuchResourceException")),
]


@pytest.mark.parametrize("row", QUOTAS, ids=ids(QUOTAS))
def test_quotas(row, world):
    run(row, world)


def associate(w, **more):
    made = w.address()
    return made, w.ec2.associate_address(AllocationId=made["AllocationId"], **({"NetworkInterfaceId": w.nodes()[0]["NetworkInterfaceId"]} | more))


def described(w, made):
    return w.ec2.describe_addresses(AllocationIds=[made["AllocationId"]])["Addresses"][0]


def released(w):
    made = w.address()
    w.ec2.release_address(AllocationId=made["AllocationId"])
    return described(w, made)


def in_use(w):
    made, _ = associate(w)
    w.ec2.release_address(AllocationId=made["AllocationId"])


def free(w):
    """An address that is associated no more."""
    made, association = associate(w)
    w.ec2.disassociate_address(AssociationId=association["AssociationId"])
    return described(w, made)


def six(w):
    return [w.address() for _ in range(6)]


def rule_of(w, listed, group=None):
    group = group or w.group()
    permission = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "PrefixListIds": [{"PrefixListId": listed}]}
    return w.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])["SecurityGroupRules"][0]


def modify(w, made, **more):
    return w.ec2.modify_managed_prefix_list(**({"PrefixListId": made["PrefixListId"], "CurrentVersion": made["Version"]} | more))["PrefixList"]


def entries(w, made, **more):
    return [e["Cidr"] for e in w.ec2.get_managed_prefix_list_entries(PrefixListId=made["PrefixListId"], **more)["Entries"]]


def versions(w):
    made = w.prefix_list("10.0.0.0/8")
    now = modify(w, made, AddEntries=[{"Cidr": "192.0.2.0/24"}], RemoveEntries=[{"Cidr": "10.0.0.0/8"}])
    return now["Version"], entries(w, made), entries(w, made, TargetVersion=1)


NETWORK = [
    ("an address", lambda w: described(w, w.address()), lambda r: r["Domain"] == "vpc" and "AssociationId" not in r),
    ("addresses by tag", lambda w: (w.address(), w.ec2.describe_addresses(Filters=[{"Name": "tag:run", "Values": [w.prefix]}]))[1], lambda r: r["Addresses"]),
    ("associated", lambda w: described(w, associate(w)[0]), lambda r: r["NetworkInterfaceId"] and r["InstanceId"].startswith("i-") and r["PrivateIpAddress"]),
    ("free again", free, lambda r: "AssociationId" not in r),
    ("released", released, Fails("InvalidAllocationID.NotFound")),
    ("released while it is used", in_use, Fails("InvalidIPAddress.InUse")),
    ("a sixth address", six, Fails("AddressLimitExceeded")),
    ("an address of an absent instance", lambda w: associate(w, NetworkInterfaceId="", InstanceId="i-0123"), Fails("InvalidInstanceID.NotFound")),
    ("an absent association", lambda w: w.ec2.disassociate_address(AssociationId="eipassoc-0"), Fails("InvalidAssociationID.NotFound")),
    ("an absent address", lambda w: w.ec2.describe_addresses(PublicIps=["192.0.2.1"]), Fails("InvalidAddress.NotFound")),
    ("which address", lambda w: w.ec2.release_address(), Fails("MissingParameter")),
    # Prefix lists.
    ("a prefix list", lambda w: w.prefix_list("10.0.0.0/8"), lambda r: (r["Version"], r["AddressFamily"], r["State"]) == (1, "IPv4", "create-complete")),
    ("once more with its token", lambda w: [w.prefix_list(ClientToken=token)["PrefixListId"] for token in (w.prefix, w.prefix, w.prefix + "x")], lambda r: r[0] == r[1] != r[2]),
    ("its entries by version", versions, lambda r: r == (2, ["192.0.2.0/24"], ["10.0.0.0/8"])),
    ("prefix lists by name", lambda w: w.ec2.describe_managed_prefix_lists(Filters=[{"Name": "prefix-list-name", "Values": [w.prefix_list()["PrefixListName"]]}]), lambda r: len(r["PrefixLists"]) == 1),
    ("too many entries", lambda w: w.prefix_list("10.0.0.0/8", "192.0.2.0/24", MaxEntries=1), Fails("PrefixListMaxEntriesExceeded")),
    ("IPv6 among IPv4", lambda w: w.prefix_list("2001:db8::/32"), Fails("InvalidParameterValue", "2001:db8::/32")),
    ("changed by who did not look", lambda w: modify(w, w.prefix_list(), CurrentVersion=7, AddEntries=[{"Cidr": "10.0.0.0/8"}]), Fails("PrefixListVersionMismatch")),
    ("an entry that is not there", lambda w: modify(w, w.prefix_list(), RemoveEntries=[{"Cidr": "10.0.0.0/8"}]), Fails("InvalidParameterValue", "10.0.0.0/8")),
    ("a rule of a prefix list", lambda w: rule_of(w, w.prefix_list("10.0.0.0/8")["PrefixListId"]), lambda r: r["PrefixListId"].startswith("pl-")),
    ("a rule of an absent one", lambda w: rule_of(w, "pl-0123"), Fails("InvalidPrefixListID.NotFound")),
    ("it counts what it could have", lambda w: rule_of(w, w.prefix_list(MaxEntries=61)["PrefixListId"]), Fails("RulesPerSecurityGroupLimitExceeded")),
    ("deleted while a rule names it", lambda w: w.ec2.delete_managed_prefix_list(PrefixListId=rule_of(w, w.prefix_list()["PrefixListId"])["PrefixListId"]), Fails("DependencyViolation")),
    ("an absent prefix list", lambda w: w.ec2.get_managed_prefix_list_entries(PrefixListId="pl-0123"), Fails("InvalidPrefixListID.NotFound")),
    # What there is none of.
    ("no peering connections", lambda w: w.ec2.describe_vpc_peering_connections()["VpcPeeringConnections"], lambda r: r == []),
    ("no such peering connection", lambda w: w.ec2.describe_vpc_peering_connections(VpcPeeringConnectionIds=["pcx-0"]), Fails("InvalidVpcPeeringConnectionID.NotFound")),
    ("no pools of Outposts", lambda w: w.ec2.describe_coip_pools()["CoipPools"], lambda r: r == []),
    ("no such pool", lambda w: w.ec2.get_coip_pool_usage(PoolId="ipv4pool-coip-0"), Fails("InvalidPoolID.NotFound")),
    ("the account", lambda w: {a["AttributeName"]: a["AttributeValues"][0]["AttributeValue"] for a in w.ec2.describe_account_attributes()["AccountAttributes"]}, lambda r: (r["supported-platforms"], r["max-elastic-ips"]) == ("VPC", "5")),
    ("an unknown attribute", lambda w: w.ec2.describe_account_attributes(AttributeNames=["colour"]), Fails("InvalidParameterValue", "colour")),
    ("groups of a VPC", lambda w: w.ec2.get_security_groups_for_vpc(VpcId=w.vpc, Filters=[{"Name": "group-id", "Values": [w.sg]}])["SecurityGroupForVpcs"], lambda r: len(r) == 1),
    ("groups of an absent VPC", lambda w: w.ec2.get_security_groups_for_vpc(VpcId="vpc-0"), Fails("InvalidVpcID.NotFound")),
]


@pytest.fixture
def addresses(world):
    """Each row begins without addresses: an account may have few."""
    for found in world.ec2.describe_addresses()["Addresses"]:
        if "AssociationId" in found:
            world.ec2.disassociate_address(AssociationId=found["AssociationId"])
        world.ec2.release_address(AllocationId=found["AllocationId"])


@pytest.mark.parametrize("row", NETWORK, ids=ids(NETWORK))
def test_network_addresses(row, world, addresses):
    run(row, world)
