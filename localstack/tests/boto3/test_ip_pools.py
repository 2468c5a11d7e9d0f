"""IPAM pools: how they are made (user guide of IPAM), and how application load balancers take public addresses from them (user guide, "IPAM IP address pools")."""

import itertools
import uuid

import pytest

from cloud import FOREIGN, REGION, Fails, admin, ids, run

ABSENT = "ipam-pool-0123456789abcdef0"
# Fresh ranges that somebody brings.
RANGES = (f"11.{second}.{third}.0/24" for second, third in itertools.product(range(256), range(256)))


def balancers(w):
    pages = w.elb.get_paginator("describe_load_balancers").paginate()
    return {found["LoadBalancerArn"] for page in pages for found in page["LoadBalancers"]}


@pytest.fixture(autouse=True)
def pools(world):
    """No row leaves load balancers and pools behind: a scope has room for few, and an account for two blocks of Amazon's."""
    before = balancers(world)
    yield
    for arn in balancers(world) - before:
        world.elb.delete_load_balancer(LoadBalancerArn=arn)
    if not FOREIGN:
        world.clear_pools()


def authorization(w, cidr, **more):
    """User guide, "Onboard your address range": what is signed."""
    account = w.sts.get_caller_identity()["Account"]
    return {"Message": f"1|aws|{account}|{cidr}|20301231|SHA256|RSAPSS", "Signature": "c2lnbmF0dXJl"} | more


def provision(w, pool, **more):
    return w.ec2.provision_ipam_pool_cidr(IpamPoolId=pool, **more)["IpamPoolCidr"]


def bring(w, pool, cidr=None):
    """Brings a range to a pool; the range."""
    cidr = cidr or next(RANGES)
    provision(w, pool, Cidr=cidr, CidrAuthorizationContext=authorization(w, cidr))
    return cidr


def own(w, **more):
    """A pool with a range that was brought."""
    pool = w.pool(PublicIpSource="byoip", **more)
    bring(w, pool)
    return pool


def within(w, length, **more):
    """A pool in another one, with so much of its addresses."""
    pool = w.pool(SourceIpamPoolId=own(w), PublicIpSource=None, **more)
    provision(w, pool, NetmaskLength=length)
    return pool


def private(w, **more):
    """A pool of the private scope."""
    return w.pool(IpamScopeId=w.ipam()["PrivateDefaultScopeId"], AwsService=None, PublicIpSource=None, **more)


def cidrs(w, pool):
    return w.ec2.get_ipam_pool_cidrs(IpamPoolId=pool)["IpamPoolCidrs"]


def ranges(w, pool):
    return {found["Cidr"]: found["State"] for found in cidrs(w, pool) if "Cidr" in found}


def allocations(w, pool, **more):
    return w.ec2.get_ipam_pool_allocations(IpamPoolId=pool, **more)["IpamPoolAllocations"]


def described(w, pool):
    return w.ec2.describe_ipam_pools(IpamPoolIds=[pool])["IpamPools"][0]


def balancer(w, pool, **more):
    return w.create_balancer(IpamPools={"Ipv4IpamPoolId": pool}, **more)


def use(w, arn, pool, **more):
    return w.elb.modify_ip_pools(LoadBalancerArn=arn, IpamPools={"Ipv4IpamPoolId": pool}, **more)["IpamPools"]


def interfaces(w, arn):
    """The network interfaces of a load balancer's nodes."""
    name = "ELB " + arn.split("loadbalancer/")[1]
    return w.ec2.describe_network_interfaces(Filters=[{"Name": "description", "Values": [name]}])["NetworkInterfaces"]


def owners(w, arn):
    """Whose its nodes' public addresses are; what the interface and its primary private address say of them is the same."""
    found = interfaces(w, arn)
    assert all(i.get("Association") == i["PrivateIpAddresses"][0].get("Association") for i in found)
    return sorted(i["Association"]["IpOwnerId"] for i in found if "Association" in i)


def publics(w, arn):
    return sorted(i["Association"]["PublicIp"] for i in interfaces(w, arn) if "Association" in i)


def account(w):
    return w.sts.get_caller_identity()["Account"]


def made(w):
    """The IPAM's own words; it is made once for the run."""
    ipam = w.ec2.describe_ipams(IpamIds=[w.ipam()["IpamId"]])["Ipams"][0]
    return ipam["State"], ipam["ScopeCount"], ipam["Tier"], [region["RegionName"] for region in ipam["OperatingRegions"]], ipam["IpamArn"]


def scopes(w):
    ipam = w.ipam()
    found = w.ec2.describe_ipam_scopes(IpamScopeIds=[ipam["PublicDefaultScopeId"], ipam["PrivateDefaultScopeId"]])["IpamScopes"]
    return {scope["IpamScopeId"]: (scope["IpamScopeType"], scope["IsDefault"]) for scope in found} == {
        ipam["PublicDefaultScopeId"]: ("public", True), ipam["PrivateDefaultScopeId"]: ("private", True),
    }


def another(w, **more):
    """Another IPAM, of an account that may have two."""
    w.ipam()
    before = admin("settings")[1]["quotas"]["ipams"]
    admin("settings", "PUT", {"quotas": {"ipams": 2}})
    found = None
    try:
        found = w.ec2.create_ipam(**more)["Ipam"]
        return found
    finally:
        if found:
            w.ec2.delete_ipam(IpamId=found["IpamId"], Cascade=True)
        admin("settings", "PUT", {"quotas": {"ipams": before}})


def free_tier(w):
    """A pool elsewhere, of an IPAM in the free tier."""
    w.ipam()
    before = admin("settings")[1]["quotas"]["ipams"]
    admin("settings", "PUT", {"quotas": {"ipams": 2}})
    ipam = w.ec2.create_ipam(Tier="free", OperatingRegions=[{"RegionName": "eu-west-1"}])["Ipam"]
    try:
        return w.pool(IpamScopeId=ipam["PublicDefaultScopeId"], Locale="eu-west-1")
    finally:
        w.ec2.delete_ipam(IpamId=ipam["IpamId"])
        admin("settings", "PUT", {"quotas": {"ipams": before}})


# User guide of IPAM, "Create an IPAM", "Quotas for your IPAM", "Delete an IPAM".
MANAGERS = [
    ("an IPAM", made, lambda r: r[:4] == ("create-complete", 2, "advanced", [REGION]) and ":ec2::" in r[4]),
    ("its scopes", scopes, bool),
    ("its scopes by type", lambda w: w.ec2.describe_ipam_scopes(Filters=[{"Name": "ipam-scope-id", "Values": [w.ipam()["PublicDefaultScopeId"]]}, {"Name": "ipam-scope-type", "Values": ["private"]}])["IpamScopes"], lambda r: r == []),
    ("a second one in a region", lambda w: w.ipam() and w.ec2.create_ipam(), Fails("ResourceLimitExceeded", "You've reached the limit for ipams. You have created 1 ipams and you are limited to 1.")),
    ("its settings", lambda w: another(w, Tier="free", EnablePrivateGua=True, MeteredAccount="resource-owner", OperatingRegions=[{"RegionName": "eu-west-1"}]), lambda r: (r["Tier"], r["EnablePrivateGua"], r["MeteredAccount"], [o["RegionName"] for o in r["OperatingRegions"]]) == ("free", True, "resource-owner", [REGION, "eu-west-1"])),
    ("it is made in a moment", another, lambda r: r["State"] == "create-in-progress"),
    ("no region", lambda w: another(w, OperatingRegions=[{"RegionName": "nowhere"}]), Fails("InvalidParameterValue", "nowhere")),
    ("an unknown tier", lambda w: another(w, Tier="gold"), Fails("InvalidParameterValue", "Tier")),
    ("tags of another resource", lambda w: another(w, TagSpecifications=[{"ResourceType": "vpc", "Tags": [{"Key": "a", "Value": "b"}]}]), Fails("InvalidParameterValue", "taggable")),
    ("an absent IPAM", lambda w: w.ec2.describe_ipams(IpamIds=["ipam-0"]), Fails("InvalidIpamId.NotFound", "ipam-0")),
    ("an absent one is deleted", lambda w: w.ec2.delete_ipam(IpamId="ipam-0"), Fails("InvalidIpamId.NotFound")),
    ("an absent scope", lambda w: w.ec2.describe_ipam_scopes(IpamScopeIds=["ipam-scope-0"]), Fails("InvalidIpamScopeId.NotFound", "ipam-scope-0")),
    ("deleted with a pool in it", lambda w: w.pool() and w.ec2.delete_ipam(IpamId=w.ipam()["IpamId"]), Fails("DependencyViolation", "pools")),
    ("public pools stay even so", lambda w: w.pool() and w.ec2.delete_ipam(IpamId=w.ipam()["IpamId"], Cascade=True), Fails("DependencyViolation")),
    ("only asked", lambda w: w.ec2.delete_ipam(IpamId=w.ipam()["IpamId"], DryRun=True), Fails("DryRunOperation")),
    ("IPAM's quotas", lambda w: {q["QuotaName"]: (q["Value"], q["Adjustable"]) for q in w.quotas.list_service_quotas(ServiceCode="ec2-ipam")["Quotas"]}, lambda r: r == {"IPAMs per Region": (1, False), "Pools per scope": (50, True), "Pool depth": (10, True), "CIDRs per pool": (50, True)}),
]


def tutorial(w):
    """User guide of IPAM, "Allocate sequential Elastic IP addresses from an IPAM pool": step by step."""
    pool = w.pool()
    first = provision(w, pool, NetmaskLength=29)
    found = cidrs(w, pool)[0]
    address = w.ec2.allocate_address(IpamPoolId=pool)
    network = found["Cidr"].split("/")[0]
    chosen = w.ec2.allocate_address(IpamPoolId=pool, Address=network.rsplit(".", 1)[0] + "." + str(int(network.rsplit(".", 1)[1]) + 5))
    listed = {a["ResourceId"]: (a["Cidr"], a["ResourceType"], a["ResourceRegion"], a["ResourceOwner"]) for a in allocations(w, pool)}
    assert (first["State"], first["NetmaskLength"], "Cidr" in first) == ("pending-provision", 29, False)
    assert (found["State"], found["NetmaskLength"], found["IpamPoolCidrId"]) == ("provisioned", 29, first["IpamPoolCidrId"])
    assert address["PublicIpv4Pool"] == pool and address["PublicIp"] == network
    owner = w.sts.get_caller_identity()["Account"]
    return listed == {a["AllocationId"]: (a["PublicIp"] + "/32", "eip", REGION, owner) for a in (address, chosen)}


def cleaned(w):
    """The tutorial's clean-up: what is allocated keeps the CIDR, and the CIDR keeps the pool."""
    pool = w.pool()
    provision(w, pool, NetmaskLength=30)
    address = w.ec2.allocate_address(IpamPoolId=pool)
    cidr = cidrs(w, pool)[0]["Cidr"]
    told = w.ec2.deprovision_ipam_pool_cidr(IpamPoolId=pool, Cidr=cidr)["IpamPoolCidr"]["State"]
    failed = cidrs(w, pool)[0]
    w.ec2.release_address(AllocationId=address["AllocationId"])
    w.ec2.deprovision_ipam_pool_cidr(IpamPoolId=pool, Cidr=cidr)
    gone = cidrs(w, pool)
    return told, failed["State"], failed["FailureReason"]["Message"], gone, w.ec2.delete_ipam_pool(IpamPoolId=pool)["IpamPool"]["State"]


def size(w, length):
    pool = w.pool()
    provision(w, pool, NetmaskLength=length)
    return cidrs(w, pool)[0]


def third_block(w):
    pool = w.pool()
    for _ in range(3):
        provision(w, pool, NetmaskLength=30)
    return sorted(found["State"] for found in cidrs(w, pool)), [found["FailureReason"]["Code"] for found in cidrs(w, pool) if "FailureReason" in found]


def twice(w, first=None, second=None):
    """A range that is brought to two pools."""
    cidr = first or next(RANGES)
    bring(w, w.pool(PublicIpSource="byoip"), cidr)
    pool = w.pool(PublicIpSource="byoip")
    bring(w, pool, second or cidr)
    return cidrs(w, pool)[0]


def parts(w):
    """Two pools share what a third has."""
    source = own(w)
    one, other, third = (w.pool(SourceIpamPoolId=source, PublicIpSource=None) for _ in range(3))
    for pool in (one, other, third):
        provision(w, pool, NetmaskLength=25)
    w.ec2.deprovision_ipam_pool_cidr(IpamPoolId=source, Cidr=next(iter(ranges(w, source))))
    states = [list(ranges(w, pool).values()) for pool in (source, one, other)]
    failed = cidrs(w, third)[0]
    shared = sorted(a["ResourceType"] for a in allocations(w, source))
    return states, failed["State"], failed["FailureReason"]["Code"], "Cidr" in failed, shared


def changed(w, **more):
    pool = w.pool(AllocationResourceTags=[{"Key": "a", "Value": "b"}])
    answer = w.ec2.modify_ipam_pool(IpamPoolId=pool, **more)["IpamPool"]
    assert answer["State"] == "modify-in-progress"
    return described(w, pool)


def again(w):
    """The same tokens give the same pool, and the same CIDR."""
    token = uuid.uuid4().hex
    one, other = (w.pool(ClientToken=token) for _ in range(2))
    blocks = [provision(w, one, NetmaskLength=30, ClientToken=token)["IpamPoolCidrId"] for _ in range(2)]
    return one == other and blocks[0] == blocks[1] and len(cidrs(w, one)) == 1


def tagged(w):
    pool = w.pool(TagSpecifications=[{"ResourceType": "ipam-pool", "Tags": [{"Key": "a", "Value": "b"}]}])
    w.ec2.create_tags(Resources=[pool], Tags=[{"Key": "c", "Value": "d"}])
    by_tag = w.ec2.describe_ipam_pools(Filters=[{"Name": "tag:c", "Values": ["d"]}])["IpamPools"]
    types = {tag["ResourceType"] for tag in w.ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [pool]}])["Tags"]}
    return [p["IpamPoolId"] for p in by_tag] == [pool] and len(by_tag[0]["Tags"]) == 2 and types == {"ipam-pool"}


def full(w):
    """A pool of two addresses has none for a third."""
    pool = within(w, 31)
    return [w.ec2.allocate_address(IpamPoolId=pool)["PublicIp"] for _ in range(3)]


def taken(w):
    pool = within(w, 31)
    address = w.ec2.allocate_address(IpamPoolId=pool)["PublicIp"]
    return w.ec2.allocate_address(IpamPoolId=pool, Address=address)


def deep(w, depth):
    pool = own(w)
    for _ in range(depth - 1):
        pool = w.pool(SourceIpamPoolId=pool, PublicIpSource=None)
    return described(w, pool)["PoolDepth"]


def cascade(w):
    pool = private(w)
    provision(w, pool, Cidr="10.99.0.0/16")
    inner = private(w, SourceIpamPoolId=pool)
    provision(w, inner, NetmaskLength=24)
    w.ec2.delete_ipam_pool(IpamPoolId=pool, Cascade=True)
    return w.ec2.describe_ipam_pools(Filters=[{"Name": "ipam-pool-id", "Values": [pool, inner]}])["IpamPools"]


# API reference and user guide of IPAM: "CreateIpamPool", "ProvisionIpamPoolCidr", "Provision CIDRs to a pool", "Delete a pool", "Quotas for your IPAM".
POOLS = [
    ("a pool", lambda w: described(w, w.pool()), lambda r: (r["State"], r["Locale"], r["AwsService"], r["PublicIpSource"], r["PoolDepth"], r["IpamScopeType"], r["AutoImport"]) == ("create-complete", REGION, "ec2", "amazon", 1, "public", False)),
    ("a pool without a locale", lambda w: described(w, w.pool(Locale=None, PublicIpSource="byoip")), lambda r: r["Locale"] == "None"),
    ("addresses are brought by default", lambda w: described(w, w.pool(PublicIpSource=None)), lambda r: r["PublicIpSource"] == "byoip"),
    ("a private pool", lambda w: described(w, private(w)), lambda r: r["IpamScopeType"] == "private" and "PublicIpSource" not in r),
    ("pools by locale", lambda w: (w.pool(), w.pool(Locale=None, PublicIpSource="byoip"), w.ec2.describe_ipam_pools(Filters=[{"Name": "locale", "Values": [REGION]}])["IpamPools"])[2], lambda r: len(r) == 1),
    ("with tags", tagged, bool),
    ("once more with its token", again, bool),
    ("the tutorial", tutorial, bool),
    ("and its clean-up", cleaned, lambda r: r == ("pending-deprovision", "failed-deprovision", "The CIDR has one or more allocations.", [], "delete-in-progress")),
    ("a pool in an absent scope", lambda w: w.pool(IpamScopeId="ipam-scope-0"), Fails("InvalidIpamScopeId.NotFound", "The ipam-scope ID 'ipam-scope-0' does not exist")),
    ("of an absent pool", lambda w: w.pool(SourceIpamPoolId=ABSENT), Fails("InvalidIpamPoolId.NotFound", f"The ipam-pool ID '{ABSENT}' does not exist")),
    ("in a region where the IPAM is not", lambda w: w.pool(Locale="eu-west-1"), Fails("InvalidParameterValue", "eu-west-1")),
    ("elsewhere in the free tier", free_tier, Fails("InvalidParameterCombination", "free tier")),
    ("of an unknown family", lambda w: w.pool(AddressFamily="ipv5"), Fails("InvalidParameterValue", "AddressFamily")),
    ("advertised over IPv4", lambda w: w.pool(PubliclyAdvertisable=True), Fails("InvalidParameterCombination", "The request can only contain PubliclyAdvertisable if the AddressFamily is IPv6 and PublicIpSource is byoip.")),
    ("a service in a private scope", lambda w: private(w, **{}) and w.pool(IpamScopeId=w.ipam()["PrivateDefaultScopeId"], PublicIpSource=None), Fails("InvalidParameterCombination", "AwsService")),
    ("Amazon's addresses in a private scope", lambda w: w.pool(IpamScopeId=w.ipam()["PrivateDefaultScopeId"], AwsService=None), Fails("InvalidParameterCombination", "PublicIpSource")),
    ("Amazon's addresses nowhere", lambda w: w.pool(Locale=None), Fails("InvalidParameterCombination", "Locale")),
    ("part of a pool of another scope", lambda w: w.pool(SourceIpamPoolId=private(w)), Fails("InvalidParameterCombination", "scope")),
    ("part of a pool elsewhere", lambda w: w.pool(SourceIpamPoolId=own(w), PublicIpSource="amazon"), Fails("InvalidParameterCombination", "source pool")),
    ("the shortest netmask is the longer one", lambda w: w.pool(AllocationMinNetmaskLength=30, AllocationMaxNetmaskLength=28), Fails("InvalidParameterCombination", "AllocationMinNetmaskLength")),
    ("a netmask that IPv4 does not have", lambda w: w.pool(AllocationMaxNetmaskLength=64), Fails("InvalidParameterValue", "AllocationMaxNetmaskLength")),
    ("as deep as they go", lambda w: deep(w, 10), lambda r: r == 10),
    ("deeper than they go", lambda w: deep(w, 11), Fails("ResourceLimitExceeded", "10")),
    ("one too many", lambda w: [w.pool() for _ in range(51)], Fails("ResourceLimitExceeded", "limited to 50")),
    # CIDRs.
    ("the smallest block of Amazon's", lambda w: size(w, 30), lambda r: (r["State"], r["NetmaskLength"]) == ("provisioned", 30)),
    ("a greater block than the account may have", lambda w: size(w, 28), lambda r: (r["State"], r["FailureReason"]["Code"]) == ("failed-provision", "limit-exceeded") and "/28 in locale" in r["FailureReason"]["Message"]),
    ("a third block of Amazon's", third_block, lambda r: r == (["failed-provision", "provisioned", "provisioned"], ["limit-exceeded"])),
    ("which of Amazon's blocks", lambda w: provision(w, w.pool(), Cidr="11.0.0.0/29"), Fails("InvalidParameterCombination", "Cidr")),
    ("neither range nor length", lambda w: provision(w, w.pool()), Fails("InvalidParameterCombination", "NetmaskLength")),
    ("both range and length", lambda w: provision(w, w.pool(PublicIpSource="byoip"), Cidr=next(RANGES), NetmaskLength=24), Fails("InvalidParameterCombination", "NetmaskLength")),
    ("a range that is brought", lambda w: list(ranges(w, own(w)).values()), lambda r: r == ["provisioned"]),
    ("any range that is brought", lambda w: provision(w, w.pool(PublicIpSource="byoip"), NetmaskLength=24), Fails("InvalidParameterCombination", "NetmaskLength")),
    ("without authorization", lambda w: provision(w, w.pool(PublicIpSource="byoip"), Cidr=next(RANGES)), Fails("InvalidParameterCombination", "The request must contain a CidrAuthorizationContext")),
    ("without a signature", lambda w: provision(w, w.pool(PublicIpSource="byoip"), Cidr=next(RANGES), CidrAuthorizationContext={"Message": "1|aws"}), Fails("InvalidParameterCombination", "Signature")),
    ("authorized for another range", lambda w: provision(w, w.pool(PublicIpSource="byoip"), Cidr=next(RANGES), CidrAuthorizationContext=authorization(w, "11.0.0.0/8")), Fails("InvalidParameterValue", "Message")),
    ("authorized for Amazon's", lambda w: provision(w, w.pool(), NetmaskLength=30, CidrAuthorizationContext=authorization(w, "11.0.0.0/8")), Fails("InvalidParameterCombination", "CidrAuthorizationContext")),
    ("an absent token of verification", lambda w: provision(w, w.pool(PublicIpSource="byoip"), Cidr=next(RANGES), VerificationMethod="dns-token", IpamExternalResourceVerificationTokenId="ipam-ext-res-ver-token-0"), Fails("InvalidIpamExternalResourceVerificationTokenId.NotFound")),
    ("a private range that is brought", lambda w: bring(w, w.pool(PublicIpSource="byoip"), "10.1.0.0/24"), Fails("InvalidParameterValue", "public")),
    ("a range that is too small", lambda w: bring(w, w.pool(PublicIpSource="byoip"), "11.255.255.0/25"), Fails("InvalidParameterValue", "/24")),
    ("no range", lambda w: bring(w, w.pool(PublicIpSource="byoip"), "11.1.1.1/24"), Fails("InvalidParameterValue", "not a valid CIDR block")),
    ("a range in two pools", twice, lambda r: (r["State"], r["FailureReason"]["Code"]) == ("failed-provision", "cidr-not-available")),
    ("ranges that overlap", lambda w: twice(w, "12.0.0.0/8", "12.5.0.0/16"), lambda r: r["State"] == "failed-provision"),
    ("a range of Amazon's", lambda w: twice(w, None, "203.0.113.0/24"), lambda r: r["State"] == "failed-provision"),
    ("pools within a pool", parts, lambda r: r == ([["failed-deprovision"], ["provisioned"], ["provisioned"]], "failed-provision", "cidr-not-available", False, ["ipam-pool", "ipam-pool"])),
    ("a private range", lambda w: (lambda p: (provision(w, p, Cidr="10.98.0.0/16"), ranges(w, p)))(private(w))[1], lambda r: r == {"10.98.0.0/16": "provisioned"}),
    ("any private range", lambda w: provision(w, private(w), NetmaskLength=16), Fails("InvalidParameterCombination", "source pool")),
    ("a range of an absent pool", lambda w: provision(w, ABSENT, NetmaskLength=30), Fails("InvalidIpamPoolId.NotFound")),
    ("deprovisioned, which it was not", lambda w: w.ec2.deprovision_ipam_pool_cidr(IpamPoolId=w.pool(), Cidr="11.0.0.0/24"), Fails("InvalidParameterValue", "11.0.0.0/24")),
    ("ranges of an absent pool", lambda w: cidrs(w, ABSENT), Fails("InvalidIpamPoolId.NotFound")),
    ("allocations of an absent pool", lambda w: allocations(w, ABSENT), Fails("InvalidIpamPoolId.NotFound")),
    ("an absent allocation", lambda w: allocations(w, w.pool(), IpamPoolAllocationId="ipam-pool-alloc-0"), Fails("InvalidIpamPoolAllocationId.NotFound", "ipam-pool-alloc-0")),
    ("few allocations at once", lambda w: allocations(w, w.pool(), MaxResults=10), Fails("InvalidParameterValue", "maxResults")),
    # What else there is to a pool.
    ("another description", lambda w: changed(w, Description="other"), lambda r: (r["Description"], r["State"]) == ("other", "modify-complete")),
    ("other rules", lambda w: changed(w, AllocationMinNetmaskLength=24, AllocationMaxNetmaskLength=32, AllocationDefaultNetmaskLength=28, AddAllocationResourceTags=[{"Key": "c", "Value": "d"}], RemoveAllocationResourceTags=[{"Key": "a", "Value": "b"}]), lambda r: (r["AllocationMinNetmaskLength"], r["AllocationMaxNetmaskLength"], r["AllocationDefaultNetmaskLength"], r["AllocationResourceTags"]) == (24, 32, 28, [{"Key": "c", "Value": "d"}])),
    ("nothing else", changed, Fails("InvalidParameterCombination", "The request must contain a modification to the ipam pool")),
    ("a tag that it does not ask for", lambda w: changed(w, RemoveAllocationResourceTags=[{"Key": "z", "Value": "b"}]), Fails("InvalidParameterValue", "z")),
    ("an absent pool is modified", lambda w: w.ec2.modify_ipam_pool(IpamPoolId=ABSENT, Description="x"), Fails("InvalidIpamPoolId.NotFound")),
    ("deleted with its CIDRs", lambda w: w.ec2.delete_ipam_pool(IpamPoolId=own(w)), Fails("DependencyViolation", "There are one or more pool cidrs provisioned in the pool.")),
    ("deleted with a pool in it", lambda w: (lambda p: (w.pool(SourceIpamPoolId=p, PublicIpSource=None), w.ec2.delete_ipam_pool(IpamPoolId=p)))(w.pool()), Fails("DependencyViolation", "pools in the pool")),
    ("deleted with all that is in it", cascade, lambda r: r == []),
    ("a public one is not", lambda w: w.ec2.delete_ipam_pool(IpamPoolId=own(w), Cascade=True), Fails("InvalidParameterCombination", "Cascade")),
    ("an absent one is deleted", lambda w: w.ec2.delete_ipam_pool(IpamPoolId=ABSENT), Fails("InvalidIpamPoolId.NotFound")),
    ("an absent one", lambda w: described(w, ABSENT), Fails("InvalidIpamPoolId.NotFound")),
    # Elastic IP addresses of pools (API reference, "AllocateAddress").
    ("addresses until there is none", full, Fails("InsufficientAddressCapacity")),
    ("an address that somebody has", taken, Fails("InvalidIPAddress.InUse")),
    ("an address that is not the pool's", lambda w: w.ec2.allocate_address(IpamPoolId=own(w), Address="9.9.9.9"), Fails("InvalidParameterValue", "9.9.9.9")),
    ("an address of a private pool", lambda w: w.ec2.allocate_address(IpamPoolId=private(w)), Fails("InvalidParameterValue", "private scope")),
    ("an address of an absent pool", lambda w: w.ec2.allocate_address(IpamPoolId=ABSENT), Fails("InvalidIpamPoolId.NotFound")),
    ("an address of two pools", lambda w: w.ec2.allocate_address(IpamPoolId=own(w), PublicIpv4Pool="amazon"), Fails("InvalidParameterCombination", "IpamPoolId")),
]


def taken_by_nodes(w):
    """Each node has an address of the pool, which IPAM and EC2 show as the load balancer's."""
    pool = within(w, 30)
    arn = balancer(w, pool)["LoadBalancerArn"]
    shown = w.elb.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"][0]["IpamPools"]
    own_addresses = publics(w, arn)
    found = w.ec2.describe_addresses(PublicIps=own_addresses)["Addresses"]
    assert owners(w, arn) == [account(w)] * 2
    assert {a["PrivateIpAddress"] for a in found} == {i["PrivateIpAddress"] for i in interfaces(w, arn)}
    assert {(a["PublicIpv4Pool"], a["ServiceManaged"], a["NetworkBorderGroup"]) for a in found} == {(pool, "alb", REGION)}
    assert {(a["ResourceId"], a["ResourceType"], a["Cidr"]) for a in allocations(w, pool)} == {(a["AllocationId"], "eip", a["PublicIp"] + "/32") for a in found}
    return shown == {"Ipv4IpamPoolId": pool}


def exhausted(w):
    """User guide: nodes get addresses of AWS's when the pool has none left."""
    pool = within(w, 32)
    return owners(w, balancer(w, pool)["LoadBalancerArn"]) == sorted([account(w), "amazon-elb"])


def given_back(w):
    """What one gave back, another can have."""
    pool = within(w, 31)
    first = balancer(w, pool)["LoadBalancerArn"]
    had = publics(w, first)
    second = balancer(w, pool)["LoadBalancerArn"]
    without = owners(w, second)
    w.elb.delete_load_balancer(LoadBalancerArn=first)
    use(w, second, pool)
    return without == ["amazon-elb"] * 2 and publics(w, second) == had


def moved(w):
    """From AWS's addresses to a pool, to another, and back."""
    one, other = own(w), own(w)
    arn = w.balancer()
    seen = [owners(w, arn)[0]]
    assert use(w, arn, one) == {"Ipv4IpamPoolId": one}
    seen.append(len(allocations(w, one)))
    use(w, arn, other)
    seen += [len(allocations(w, one)), len(allocations(w, other))]
    removed = w.elb.modify_ip_pools(LoadBalancerArn=arn, RemoveIpamPools=["ipv4"])["IpamPools"]
    seen += [removed, len(allocations(w, other)), owners(w, arn)[0]]
    return seen, "IpamPools" in w.elb.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"][0]


def zones(w):
    """A zone that is added has an address of the pool; one that is removed gives its back."""
    pool = own(w)
    arn = balancer(w, pool)["LoadBalancerArn"]
    counts = [len(allocations(w, pool))]
    for subnets in ([s["SubnetId"] for s in w.public[:3]], w.two):
        w.elb.set_subnets(LoadBalancerArn=arn, Subnets=subnets)
        counts.append(len(allocations(w, pool)))
    return counts


def same(w):
    name, pool = w.name(), own(w)
    return [balancer(w, pool, Name=name)["LoadBalancerArn"] for _ in range(2)]


def managed(w, act):
    """What is done to an address that a load balancer manages."""
    pool = own(w)
    balancer(w, pool)
    address = w.ec2.describe_addresses(AllocationIds=[allocations(w, pool)[0]["ResourceId"]])["Addresses"][0]
    return act(w, address)


def kept(w):
    """The CIDR of a load balancer's addresses stays."""
    pool = own(w)
    arn = balancer(w, pool)["LoadBalancerArn"]
    cidr = next(iter(ranges(w, pool)))
    w.ec2.deprovision_ipam_pool_cidr(IpamPoolId=pool, Cidr=cidr)
    failed = ranges(w, pool)[cidr]
    w.elb.delete_load_balancer(LoadBalancerArn=arn)
    w.ec2.deprovision_ipam_pool_cidr(IpamPoolId=pool, Cidr=cidr)
    return failed, ranges(w, pool)


def outward(w, kind):
    """Whose public addresses a load balancer without a pool has."""
    if kind == "elastic":
        subnets = [{"SubnetId": subnet, "AllocationId": w.address()["AllocationId"]} for subnet in w.two]
        arn = w.balancer(Type="network", Subnets=None, SecurityGroups=None, SubnetMappings=subnets)
    elif kind == "internal":
        arn = w.balancer(Scheme="internal")
    else:
        arn = w.balancer(Type=kind)
    found = owners(w, arn)
    w.elb.delete_load_balancer(LoadBalancerArn=arn)
    return found


def by_filter(w):
    pool = own(w)
    arn = balancer(w, pool)["LoadBalancerArn"]
    found = interfaces(w, arn)[0]["Association"]
    rows = {
        "association.public-ip": found["PublicIp"], "addresses.association.public-ip": found["PublicIp"], "association.allocation-id": found["AllocationId"],
        "association.association-id": found["AssociationId"], "association.public-dns-name": found["PublicDnsName"],
    }
    counts = [len(w.ec2.describe_network_interfaces(Filters=[{"Name": name, "Values": [value]}])["NetworkInterfaces"]) for name, value in rows.items()]
    both = [{"Name": "association.ip-owner-id", "Values": ["amazon-elb"]}, {"Name": "association.public-ip", "Values": [found["PublicIp"]]}]
    return counts, w.ec2.describe_network_interfaces(Filters=both)["NetworkInterfaces"]


def network(w):
    return w.balancer(Type="network", SecurityGroups=None)


# User guide, "Application Load Balancers": "IPAM IP address pools"; API reference, "ModifyIpPools", "CreateLoadBalancer".
BALANCERS = [
    ("nodes take addresses from the pool", taken_by_nodes, bool),
    ("AWS's addresses when it has none left", exhausted, bool),
    ("addresses go back", given_back, bool),
    ("pools are changed and removed", moved, lambda r: r == (["amazon-elb", 2, 0, 2, {}, 0, "amazon-elb"], False)),
    ("zones come and go", zones, lambda r: r == [2, 3, 2]),
    ("an empty pool", lambda w: owners(w, balancer(w, w.pool())["LoadBalancerArn"]), lambda r: r == ["amazon-elb"] * 2),
    ("once more with the same settings", same, lambda r: r[0] == r[1]),
    ("once more with another pool", lambda w: (lambda name: [balancer(w, own(w), Name=name) for _ in range(2)])(w.name()), Fails("DuplicateLoadBalancerName")),
    ("once more without a pool", lambda w: (lambda name: (balancer(w, own(w), Name=name), w.create_balancer(Name=name)))(w.name()), Fails("DuplicateLoadBalancerName")),
    ("an absent pool", lambda w: balancer(w, ABSENT), Fails("InvalidConfigurationRequest", ABSENT)),
    ("no pool's id", lambda w: balancer(w, "pool-1"), Fails("ValidationError", "^(ipam-pool-)[a-zA-Z0-9]+$")),
    ("a private pool", lambda w: balancer(w, private(w)), Fails("InvalidConfigurationRequest", "private scope")),
    ("a pool for everywhere", lambda w: balancer(w, w.pool(Locale=None, PublicIpSource="byoip")), Fails("InvalidConfigurationRequest", "locale")),
    ("a pool of another service", lambda w: balancer(w, w.pool(PublicIpSource="byoip", AwsService="global-services")), Fails("InvalidConfigurationRequest", "service")),
    ("a pool of no service", lambda w: balancer(w, w.pool(PublicIpSource="byoip", AwsService=None)), Fails("InvalidConfigurationRequest", "service")),
    ("rules that do not admit it", lambda w: balancer(w, w.pool(AllocationMaxNetmaskLength=30)), Fails("InvalidConfigurationRequest", "allocation rules")),
    ("tags that it does not have", lambda w: balancer(w, w.pool(AllocationResourceTags=[{"Key": "a", "Value": "b"}])), Fails("InvalidConfigurationRequest", "allocation rules")),
    ("tags that it has", lambda w: balancer(w, w.pool(AllocationResourceTags=[{"Key": "a", "Value": "b"}]), Tags=[{"Key": "a", "Value": "b"}]), lambda r: r["IpamPools"]),
    ("an internal one", lambda w: balancer(w, own(w), Scheme="internal"), Fails("InvalidConfigurationRequest", "internet-facing")),
    ("without public IPv4 addresses", lambda w: balancer(w, own(w), IpAddressType="dualstack-without-public-ipv4"), Fails("InvalidConfigurationRequest", "dualstack-without-public-ipv4")),
    ("a network load balancer", lambda w: balancer(w, own(w), Type="network", SecurityGroups=None), Fails("InvalidConfigurationRequest", "'network'")),
    ("and later", lambda w: use(w, network(w), own(w)), Fails("InvalidConfigurationRequest", "'network'")),
    ("an internal one, later", lambda w: use(w, w.balancer(Scheme="internal"), own(w)), Fails("InvalidConfigurationRequest", "internet-facing")),
    ("a private pool, later", lambda w: use(w, w.balancer(), private(w)), Fails("InvalidConfigurationRequest", "private scope")),
    ("an absent pool, later", lambda w: use(w, w.balancer(), ABSENT), Fails("InvalidConfigurationRequest", ABSENT)),
    ("a pool for everywhere, later", lambda w: use(w, w.balancer(), w.pool(Locale=None, PublicIpSource="byoip")), Fails("InvalidConfigurationRequest", "locale")),
    ("the last public IPv4 address goes", lambda w: w.elb.set_ip_address_type(LoadBalancerArn=balancer(w, own(w))["LoadBalancerArn"], IpAddressType="dualstack-without-public-ipv4"), Fails("InvalidConfigurationRequest")),
    ("a pool that comes and goes", lambda w: use(w, w.balancer(), own(w), RemoveIpamPools=["ipv4"]), Fails("ValidationError", "RemoveIpamPools")),
    ("neither", lambda w: w.elb.modify_ip_pools(LoadBalancerArn=w.lb), Fails("ValidationError", "IpamPools")),
    ("another kind of pool", lambda w: w.elb.modify_ip_pools(LoadBalancerArn=w.lb, RemoveIpamPools=["ipv6"]), Fails("ValidationError", "ipv6")),
    ("an absent load balancer", lambda w: use(w, w.lb[:-4] + "0000", own(w)), Fails("LoadBalancerNotFound")),
    ("none is removed", lambda w: w.elb.modify_ip_pools(LoadBalancerArn=w.balancer(), RemoveIpamPools=["ipv4"])["IpamPools"], lambda r: r == {}),
    # What a pool in use keeps.
    ("its CIDR stays", kept, lambda r: r == ("failed-deprovision", {})),
    ("the pool stays, though it is empty", lambda w: (lambda p: (balancer(w, p), w.ec2.delete_ipam_pool(IpamPoolId=p)))(w.pool()), Fails("DependencyViolation", "load balancer")),
    ("its address is not released", lambda w: managed(w, lambda w, a: w.ec2.release_address(AllocationId=a["AllocationId"])), Fails("AuthFailure")),
    ("nor disassociated", lambda w: managed(w, lambda w, a: w.ec2.disassociate_address(AssociationId=a["AssociationId"])), Fails("AuthFailure")),
    ("nor another's", lambda w: managed(w, lambda w, a: w.ec2.associate_address(AllocationId=a["AllocationId"], NetworkInterfaceId=w.nodes()[0]["NetworkInterfaceId"])), Fails("AuthFailure")),
    # Public addresses of those without a pool (API reference of EC2, "NetworkInterfaceAssociation").
    ("AWS's addresses", lambda w: outward(w, "application"), lambda r: r == ["amazon-elb"] * 2),
    ("elastic addresses", lambda w: outward(w, "elastic") == [account(w)] * 2, bool),
    ("none inside", lambda w: outward(w, "internal"), lambda r: r == []),
    ("interfaces by their addresses", by_filter, lambda r: r == ([1] * 5, [])),
]


@pytest.mark.parametrize("row", MANAGERS, ids=ids(MANAGERS))
def test_managers(row, world):
    run(row, world)


@pytest.mark.parametrize("row", POOLS, ids=ids(POOLS))
def test_pools(row, world):
    run(row, world)


@pytest.mark.parametrize("row", BALANCERS, ids=ids(BALANCERS))
def test_load_balancers_with_pools(row, world):
    run(row, world)
