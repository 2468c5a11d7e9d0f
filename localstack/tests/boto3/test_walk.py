"""A walk over AWS's models: every member of every request of every operation that is served is used, or refused by name; none is ignored."""

import copy
import itertools
import json
import re
import urllib.error
import urllib.request
import urllib.parse

import botocore.session
import pytest
from botocore.serialize import create_serializer

import certificates
from cloud import COGNITO, ENDPOINT, FIXED, JWT, OIDC, REGION, VISIBILITY, World, admin, forward, path

# What botocore calls the services; those that this cloud does not have are left out by what it says itself.
# Members that need not show in any answer, and why.
SILENT = {
    "DeregisterTargets.Targets.AvailabilityZone": "a target is told apart by its id and port",
    "DescribeTargetHealth.Targets.AvailabilityZone": "likewise",
    "DeleteTags.Tags.Value": "a tag with another value stays: test_network, \"EC2 tags\"",
    "CreateListener.DefaultActions.AuthenticateOidcConfig.ClientSecret": "a secret is never told",
    "CreateRule.Actions.AuthenticateOidcConfig.ClientSecret": "likewise",
    "ModifyListener.DefaultActions.AuthenticateOidcConfig.ClientSecret": "likewise",
    "ModifyRule.Actions.AuthenticateOidcConfig.ClientSecret": "likewise",
    "CreateManagedPrefixList.ClientToken": "the same token gives the same list: test_protection",
    "ListProtections.InclusionFilters.ResourceArns": "what no filter takes is not shown: test_protection, \"protections\"",
    "ListProtections.InclusionFilters.ProtectionNames": "likewise",
}
SERVICES = ["elbv2", "ec2", "acm", "sts", "resourcegroupstaggingapi", "wafv2", "shield", "service-quotas"]
UNSERVED = {"InvalidAction", "UnknownOperationException", "UnknownOperation"}
# What no member takes unless it takes any text; each is sent once.
WRONG = (f"zzz-{number}" for number in itertools.count(1))
# Quotas can only grow.
GREATER = itertools.count(200_000)
MODELS = botocore.session.get_session()


class Wire:
    """A service as bytes: what its SDK would send, changed where no SDK would let one."""

    def __init__(self, name):
        self.model = MODELS.get_service_model(name)
        # JSON where a service speaks it, too.
        protocol = "json" if "json" in self.model.protocols else self.model.resolved_protocol
        self.serializer = create_serializer(protocol, include_validation=False)
        self.json = "json" in protocol

    def fields(self, operation, parameters):
        """The parameters as they go over the wire: names with texts, or a JSON object, whose blobs are in base64."""
        body = self.serializer.serialize_to_request(parameters, self.model.operation_model(operation))["body"]
        return json.loads(body) if self.json else dict(body)

    def send(self, operation, fields):
        """Status, code of the error and message, or the answer."""
        scope = f"AKID/20260101/{REGION}/{self.model.signing_name}/aws4_request"
        headers = {"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=00"}
        if self.json:
            headers |= {"X-Amz-Target": f"{self.model.metadata['targetPrefix']}.{operation}", "Content-Type": "application/x-amz-json-1.1"}
            body = json.dumps(fields)
        else:
            body = urllib.parse.urlencode({"Action": operation, "Version": self.model.api_version} | fields)
        request = urllib.request.Request(ENDPOINT + "/", data=body.encode(), headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return 200, None, response.read().decode()
        except urllib.error.HTTPError as error:
            text = error.read().decode()
            if self.json:
                found = json.loads(text)
                return error.code, found["__type"], found.get("message") or found.get("Message") or ""
            found = re.search(r"<Code>(.*?)</Code><Message>(.*?)</Message>", text, re.DOTALL)
            return error.code, found.group(1), found.group(2).replace("&apos;", "'").replace("&quot;", '"')

    def served(self):
        """The operations that are there."""
        found = []
        for operation in self.model.operation_names:
            _, code, message = self.send(operation, {} if self.json else {})
            if code == "InvalidAction" and "is not served by this cloud" in message and "service" in message:
                return []
            if code not in UNSERVED:
                found.append(operation)
        return found


def leaves(shape, where=(), within=()):
    """Members without members, with the way to them: names, and 0 for the first of a list."""
    if shape.name in within:
        return
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            yield from leaves(member, (*where, name), (*within, shape.name))
    elif shape.type_name == "list":
        yield from leaves(shape.member, (*where, 0), within)
    elif shape.type_name != "map":
        yield where, shape


# What a structure needs beside the member that is walked to, where the model does not say so: by shape, and there by member.
COMPANIONS = {
    "SubnetMapping": lambda w, *_: {"SubnetId": w.two[0]},
    "TargetDescription": lambda *_: {"Id": "10.0.0.77"},
    "Tuple": lambda w, *_: {"TargetGroupArn": w.tg},
    "TargetGroupTuple": lambda w, *_: {"TargetGroupArn": w.tg},
    "Certificate": lambda w, *_: {"CertificateArn": w.import_certificate()},
    "RulePriorityPair": lambda w, *_: {"RuleArn": w.rule},
    "Action": lambda _, name, *__: {"Type": {
        "AuthenticateOidcConfig": "authenticate-oidc", "AuthenticateCognitoConfig": "authenticate-cognito", "RedirectConfig": "redirect",
        "FixedResponseConfig": "fixed-response", "JwtValidationConfig": "jwt-validation",
    }.get(name, "forward")},
    "RuleCondition": lambda _, name, *__: {"Field": {
        "HostHeaderConfig": "host-header", "PathPatternConfig": "path-pattern", "HttpHeaderConfig": "http-header", "QueryStringConfig": "query-string",
        "HttpRequestMethodConfig": "http-request-method", "SourceIpConfig": "source-ip",
    }.get(name, "path-pattern")},
    "RuleTransform": lambda _, name, *__: {"Type": "url-rewrite" if name == "UrlRewriteConfig" else "host-header-rewrite"},
    "AuthenticateOidcActionConfig": lambda *_: OIDC,
    "AuthenticateCognitoActionConfig": lambda *_: COGNITO,
    "JwtValidationActionConfig": lambda *_: JWT,
    "JwtValidationActionAdditionalClaim": lambda *_: {"Format": "single-string", "Name": "a", "Values": ["b"]},
    "DomainValidationOption": lambda *_: {"DomainName": "a.example.com", "ValidationDomain": "example.com"},
    "MutualAuthenticationAttributes": lambda w, name, *_: {} if name == "Mode" else {"Mode": "verify", "TrustStoreArn": w.trust_store()},
    "RevocationContent": lambda w, *_: (lambda b: {"S3Bucket": b, "S3Key": "bundle"})(w.bucket(bundle=b"x")),
    "Expiration": lambda *_: {"Value": 1, "Type": "DAYS"},
    "CommonNameFilter": lambda *_: {"Value": "a", "ComparisonOperator": "EQUALS"},
    "DnsNameFilter": lambda *_: {"Value": "a", "ComparisonOperator": "EQUALS"},
    "Tag": lambda *_: {"Key": "a"},
    "TagSpecification": lambda w, name, root: {"ResourceType": {
        "AllocateAddressRequest": "elastic-ip", "RunInstancesRequest": "instance", "CreateNetworkInterfaceRequest": "network-interface", "CreateManagedPrefixListRequest": "prefix-list", "CreateVpcRequest": "vpc", "CreateSubnetRequest": "subnet", "CreateSecurityGroupRequest": "security-group",
        "CreateIpamRequest": "ipam", "CreateIpamPoolRequest": "ipam-pool",
    }.get(root, "security-group-rule")},
    "TagFilter": lambda *_: {"Key": "a"},
    "HttpHeaderConditionConfig": lambda *_: {"HttpHeaderName": "X-Walk"},
    "RewriteConfig": lambda _, name, *__: {"Regex": "^/a"} if name == "Replace" else {"Replace": "/b"},
}


# What asks who a client is; another action serves it then.
ASKING = ("AuthenticateOidcConfig", "AuthenticateCognitoConfig", "JwtValidationConfig")


def put(world, shape, value, where, leaf):
    """Copies of parameters without and with a leaf at its place; none if there is something already. What the leaf's structures need comes with them."""
    value = copy.deepcopy(value)
    at, root = value, shape.name
    for key, following in itertools.pairwise((*where, None)):
        inner = shape.member if key == 0 else shape.members[key]
        if key == 0 and inner.name in ("Action", "RuleCondition") and at and following not in at[0]:
            # Another kind of the same: what is there would contradict it.
            at.clear()
        last = following is None
        there = bool(at) if key == 0 else key in at
        if last:
            if there:
                return None
            without = copy.deepcopy(value)
            at.append(leaf) if key == 0 else at.update({key: leaf})
            return without, value
        if not there:
            fresh, more = [], FIXED if inner.name == "Action" and following in ASKING else []
            if inner.type_name == "structure":
                fresh = COMPANIONS.get(inner.name, lambda *_: {})(world, following, root)
                fresh = {name: given for name, given in fresh.items() if name != following}
            at.extend([fresh, *copy.deepcopy(more)]) if key == 0 else at.update({key: fresh})
        shape, at = inner, at[key]
    return None


def valid(shape):
    if shape.type_name in ("integer", "long", "float", "double"):
        return 1
    if shape.type_name == "boolean":
        return True
    if shape.type_name == "timestamp":
        return "2026-01-01T00:00:00Z"
    return (getattr(shape, "enum", None) or ["yyy"])[0]


class Bases:
    """Calls that are right, made of what the model requires; each is made anew, since a call may use up what it names."""

    def __init__(self, world):
        self.world = world
        self.pair = certificates.pair("walk.example.com")
        self.certificate = world.import_certificate(self.pair)
        self.https = world.https(self.certificate)["ListenerArn"]
        endpoint = world.acm.create_acme_endpoint(AuthorizationBehavior="PRE_APPROVED", CertificateAuthority={"PublicCertificateAuthority": {}})
        self.acme = endpoint["AcmeEndpointArn"]
        root = certificates.pair(authority=True, common="Walk")
        self.bucket = world.bucket(bundle=root.pem, crl=certificates.revocation_list(root))
        self.store = world.trust_store(root.pem)
        revoked = [{"S3Bucket": self.bucket, "S3Key": "crl"}]
        added = world.elb.add_trust_store_revocations(TrustStoreArn=self.store, RevocationContents=revoked)
        self.revocation = added["TrustStoreRevocations"][0]["RevocationId"]

    def elbv2(self, operation):
        w = self.world
        rule = lambda: w.new_rule(listener=self.https)
        made = {
            "AddListenerCertificates": lambda: {"ListenerArn": w.https()["ListenerArn"], "Certificates": [{"CertificateArn": w.import_certificate()}]},
            "AddTags": lambda: {"ResourceArns": [w.tg], "Tags": [{"Key": "a", "Value": "b"}]},
            "CreateListener": lambda: {"LoadBalancerArn": w.lb, "Protocol": "HTTPS", "Port": w.port(), "DefaultActions": FIXED, "Certificates": [{"CertificateArn": self.certificate}]},
            "CreateLoadBalancer": lambda: {"Name": w.name(), "Subnets": w.two},
            "CreateRule": lambda: {"ListenerArn": self.https, "Priority": w.priority(), "Conditions": path("/x"), "Actions": FIXED},
            "CreateTargetGroup": lambda: {"Name": w.name(), "Protocol": "HTTP", "Port": 80, "VpcId": w.vpc, "TargetType": "ip"},
            "DeleteListener": lambda: {"ListenerArn": w.new_listener()},
            "DeleteLoadBalancer": lambda: {"LoadBalancerArn": w.balancer()},
            "DeleteRule": lambda: {"RuleArn": rule()},
            "DeleteTargetGroup": lambda: {"TargetGroupArn": w.new_group()},
            "DeregisterTargets": lambda: {"TargetGroupArn": w.tg, "Targets": [{"Id": "10.0.0.77"}]},
            "DescribeListeners": lambda: {"LoadBalancerArn": w.lb},
            "DescribeRules": lambda: {"ListenerArn": w.listener},
            "ModifyListener": lambda: {"ListenerArn": self.https},
            "DescribeTags": lambda: {"ResourceArns": [w.lb]},
            "ModifyCapacityReservation": lambda: {"LoadBalancerArn": w.balancer(), "MinimumLoadBalancerCapacity": {"CapacityUnits": 100}},
            "ModifyListenerAttributes": lambda: {"ListenerArn": w.listener, "Attributes": [{"Key": "routing.http.response.server.enabled", "Value": "true"}]},
            "ModifyLoadBalancerAttributes": lambda: {"LoadBalancerArn": w.lb, "Attributes": [{"Key": "idle_timeout.timeout_seconds", "Value": "60"}]},
            "ModifyRule": lambda: {"RuleArn": rule(), "Actions": FIXED},
            "ModifyTargetGroupAttributes": lambda: {"TargetGroupArn": w.tg, "Attributes": [{"Key": "stickiness.enabled", "Value": "true"}]},
            "RegisterTargets": lambda: {"TargetGroupArn": w.tg, "Targets": [{"Id": "10.0.0.77"}]},
            "RemoveListenerCertificates": lambda: {"ListenerArn": w.https()["ListenerArn"], "Certificates": [{"CertificateArn": w.import_certificate()}]},
            "RemoveTags": lambda: {"ResourceArns": [w.tg], "TagKeys": ["a"]},
            "AddTrustStoreRevocations": lambda: {"TrustStoreArn": self.store},
            "CreateTrustStore": lambda: {"Name": w.name(), "CaCertificatesBundleS3Bucket": self.bucket, "CaCertificatesBundleS3Key": "bundle"},
            "DeleteTrustStore": lambda: {"TrustStoreArn": w.trust_store()},
            "DescribeTrustStoreRevocations": lambda: {"TrustStoreArn": self.store},
            "GetTrustStoreRevocationContent": lambda: {"TrustStoreArn": self.store, "RevocationId": self.revocation},
            "ModifyTrustStore": lambda: {"TrustStoreArn": self.store, "CaCertificatesBundleS3Bucket": self.bucket, "CaCertificatesBundleS3Key": "bundle"},
            "RemoveTrustStoreRevocations": lambda: {"TrustStoreArn": self.store, "RevocationIds": [self.revocation]},
            "SetIpAddressType": lambda: {"LoadBalancerArn": w.lb, "IpAddressType": "ipv4"},
            "SetRulePriorities": lambda: {"RulePriorities": [{"RuleArn": rule(), "Priority": w.priority()}]},
            "SetSecurityGroups": lambda: {"LoadBalancerArn": w.lb, "SecurityGroups": [w.sg]},
            "SetSubnets": lambda: {"LoadBalancerArn": w.lb, "Subnets": w.two},
        }
        return made.get(operation)

    def ec2(self, operation):
        w = self.world
        permission = lambda: {"GroupId": w.group(), "IpPermissions": [{"IpProtocol": "tcp", "FromPort": 1, "ToPort": 2, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}]}
        made = {
            "AuthorizeSecurityGroupIngress": permission,
            "AuthorizeSecurityGroupEgress": permission,
            "RevokeSecurityGroupIngress": lambda: {"GroupId": w.sg},
            "RevokeSecurityGroupEgress": lambda: {"GroupId": w.sg},
            "CreateSubnet": lambda: {"VpcId": w.ec2.create_vpc(CidrBlock="10.2.0.0/16")["Vpc"]["VpcId"], "CidrBlock": "10.2.0.0/28"},
            "CreateVpc": lambda: {"CidrBlock": "10.1.0.0/16"},
            "AssociateVpcCidrBlock": lambda: {"VpcId": w.ec2.create_vpc(CidrBlock="10.3.0.0/16")["Vpc"]["VpcId"]},
            "DisassociateVpcCidrBlock": lambda: {"AssociationId": w.wide_vpc()["Ipv6CidrBlockAssociationSet"][0]["AssociationId"]},
            "AssociateSubnetCidrBlock": lambda: {"SubnetId": w.two[0], "Ipv6CidrBlock": "2001:db8::/64"},
            "DisassociateSubnetCidrBlock": lambda: {"AssociationId": "subnet-cidr-assoc-0000"},
            "CreateSecurityGroup": lambda: {"GroupName": w.name(), "Description": "x", "VpcId": w.vpc},
            "DeleteSecurityGroup": lambda: {"GroupId": w.group()},
            "CreateTags": lambda: {"Resources": [w.sg], "Tags": [{"Key": "a", "Value": "b"}]},
            "AllocateAddress": lambda: {"TagSpecifications": [{"ResourceType": "elastic-ip", "Tags": [{"Key": "run", "Value": w.prefix}]}]},
            "AssociateAddress": lambda: {"AllocationId": w.address()["AllocationId"], "NetworkInterfaceId": w.nodes()[0]["NetworkInterfaceId"]},
            "DisassociateAddress": lambda: {"AssociationId": w.ec2.associate_address(AllocationId=w.address()["AllocationId"], NetworkInterfaceId=w.nodes()[0]["NetworkInterfaceId"])["AssociationId"]},
            "ReleaseAddress": lambda: {"AllocationId": w.address()["AllocationId"]},
            "CreateManagedPrefixList": lambda: {"PrefixListName": w.name(), "MaxEntries": 5, "AddressFamily": "IPv4"},
            "GetManagedPrefixListEntries": lambda: {"PrefixListId": w.prefix_list("10.0.0.0/8")["PrefixListId"]},
            "ModifyManagedPrefixList": lambda: {"PrefixListId": w.prefix_list("10.0.0.0/8")["PrefixListId"], "CurrentVersion": 1},
            "DeleteManagedPrefixList": lambda: {"PrefixListId": w.prefix_list()["PrefixListId"]},
            "DeleteIpam": lambda: {"IpamId": w.ec2.create_ipam()["Ipam"]["IpamId"]},
            "CreateIpamPool": lambda: {"IpamScopeId": w.ipam()["PublicDefaultScopeId"], "AddressFamily": "ipv4"},
            **{name: lambda: {"IpamPoolId": w.pool()} for name in (
                "ModifyIpamPool", "DeleteIpamPool", "GetIpamPoolCidrs", "GetIpamPoolAllocations",
            )},
            "ProvisionIpamPoolCidr": lambda: {"IpamPoolId": w.pool(), "NetmaskLength": 30},
            "DeprovisionIpamPoolCidr": lambda: (lambda pool: {"IpamPoolId": pool, "Cidr": w.block(pool)})(w.pool()),
            "DeleteTags": lambda: {"Resources": [w.sg], "Tags": [{"Key": "a"}]},
            "RunInstances": lambda: {"ImageId": "ami-0123456789abcdef0", "MinCount": 1, "MaxCount": 1, "SubnetId": w.two[0], "TagSpecifications": w.run_tags("instance")},
            "TerminateInstances": lambda: {"InstanceIds": [w.instance()["InstanceId"]]},
            "CreateNetworkInterface": lambda: {"SubnetId": w.two[0], "TagSpecifications": w.run_tags("network-interface")},
            "DeleteNetworkInterface": lambda: {"NetworkInterfaceId": w.interface()["NetworkInterfaceId"]},
            "AssignPrivateIpAddresses": lambda: {"NetworkInterfaceId": w.interface()["NetworkInterfaceId"]},
            "UnassignPrivateIpAddresses": lambda: (lambda i: {"NetworkInterfaceId": i["NetworkInterfaceId"]})(w.interface(SecondaryPrivateIpAddressCount=1)),
        }
        return made.get(operation)

    def acm(self, operation):
        w = self.world
        endpoint, domain = {"AcmeEndpointArn": self.acme}, lambda: f"{w.name()}.example.com"
        options = {"PrevalidationOptions": {"DnsPrevalidation": {}}}
        validation = lambda: {"AcmeDomainValidationArn": w.acm.create_acme_domain_validation(DomainName=domain(), **endpoint, **options)["AcmeDomainValidationArn"]}
        role = {"RoleArn": "arn:aws:iam::000000000000:role/a"}
        binding = lambda: (lambda b: {key: b[key] for key in ["AcmeExternalAccountBindingArn"]})(w.acm.create_acme_external_account_binding(**endpoint, **role)["ExternalAccountBinding"])
        made = {
            "ImportCertificate": self.pair.arguments,
            "RequestCertificate": lambda: {"DomainName": domain()},
            "UpdateCertificateOptions": lambda: {"CertificateArn": w.acm.request_certificate(DomainName=domain())["CertificateArn"], "Options": {}},
            "CreateAcmeEndpoint": lambda: {"AuthorizationBehavior": "PRE_APPROVED", "CertificateAuthority": {"PublicCertificateAuthority": {}}},
            "CreateAcmeDomainValidation": lambda: endpoint | {"DomainName": domain()} | options,
            "UpdateAcmeDomainValidation": validation,
            "CreateAcmeExternalAccountBinding": lambda: endpoint | role,
            "TagResource": lambda: {"ResourceArn": self.acme, "Tags": [{"Key": "a"}]},
            "UntagResource": lambda: {"ResourceArn": self.acme, "TagKeys": ["a"]},
            "ListTagsForResource": lambda: {"ResourceArn": self.acme},
        }
        for word in ("Describe", "Delete", "Get", "Revoke"):
            made |= {f"{word}AcmeDomainValidation": validation, f"{word}AcmeExternalAccountBinding": binding, f"{word}AcmeExternalAccountBindingCredentials": binding}
        return made.get(operation)

    def wafv2(self, operation):
        w = self.world
        settings = lambda: {"DefaultAction": {"Allow": {}}, "VisibilityConfig": VISIBILITY}
        named = lambda acl: {"Name": acl["Name"], "Scope": "REGIONAL", "Id": acl["Id"]}
        locked = lambda acl: named(acl) | {"LockToken": acl["LockToken"]}
        made = {
            "CreateWebACL": lambda: {"Name": w.name(), "Scope": "REGIONAL"} | settings(),
            "GetWebACL": lambda: named(w.web_acl()),
            "UpdateWebACL": lambda: locked(w.web_acl()) | settings(),
            "DeleteWebACL": lambda: locked(w.web_acl()),
            "ListWebACLs": lambda: {"Scope": "REGIONAL"},
            "TagResource": lambda: {"ResourceARN": w.web_acl()["ARN"], "Tags": [{"Key": "a", "Value": "b"}]},
            "UntagResource": lambda: {"ResourceARN": w.web_acl()["ARN"], "TagKeys": ["a"]},
            "ListTagsForResource": lambda: {"ResourceARN": w.web_acl()["ARN"]},
            "AssociateWebACL": lambda: {"WebACLArn": w.web_acl()["ARN"], "ResourceArn": w.lb},
            "ListResourcesForWebACL": lambda: {"WebACLArn": w.web_acl()["ARN"]},
        }
        return made.get(operation)

    def shield(self, operation):
        w = self.world
        made = {
            "CreateProtection": lambda: {"Name": w.name(), "ResourceArn": w.balancer()},
            "DescribeProtection": lambda: {"ResourceArn": w.protected()},
            "DeleteProtection": lambda: {"ProtectionId": w.shield.create_protection(Name=w.name(), ResourceArn=w.balancer())["ProtectionId"]},
        }
        return made.get(operation)

    def parameters(self, service, shape, operation):
        own = getattr(self, service, lambda _: None)(operation)
        return own() if own else {name: self.value(name, shape.members[name]) for name in shape.required_members}

    def value(self, name, shape):
        w = self.world
        known = {
            "LoadBalancerArn": lambda: w.lb, "ListenerArn": lambda: w.listener, "RuleArn": lambda: w.rule, "TargetGroupArn": lambda: w.tg,
            "ServiceCode": lambda: "vpc", "QuotaCode": lambda: "L-0EA8095F", "DesiredValue": lambda: next(GREATER),
            "ResourceArn": lambda: w.lb, "TrustStoreArn": lambda: self.store, "CertificateArn": lambda: w.import_certificate(), "VpcId": lambda: w.vpc, "Name": w.name, "GroupId": lambda: w.sg,
            "SubnetId": lambda: w.two[0], "ResourceARNList": lambda: [w.lb], "Tags": lambda: [{"Key": "a", "Value": "b"}], "TagKeys": lambda: ["a"],
            "AcmeEndpointArn": lambda: self.acme,
            "NetworkInterfaceId": lambda: w.nodes()[0]["NetworkInterfaceId"],
        }
        if name in known:
            return known[name]()
        if shape.type_name == "structure":
            return {inner: self.value(inner, shape.members[inner]) for inner in shape.required_members}
        if shape.type_name == "list":
            return [self.value(name, shape.member)]
        return {} if shape.type_name == "map" else valid(shape)


def names(message, where, sent):
    """Whether a message names a member: the last of the way, or one that holds it, or what was sent."""
    letters = re.sub("[^a-z]", "", message.lower())
    words = [re.sub("[^a-z]", "", str(word).lower()) for word in where if word != 0]
    return sent in message or any(word in letters or word.removesuffix("s") in letters for word in words)


def without_ids(answer):
    return re.sub(r"<(RequestId|requestId)>.*?<", "<", answer)


def state():
    kept = admin("state")[1]
    kept.pop("revision", None)
    return json.dumps(kept)


def walk(wire, bases, service, operation):
    """What happens to each member: (its way, what is wrong), and how many there were."""
    shape = wire.model.operation_model(operation).input_shape
    found, count = [], 0
    for where, leaf in leaves(shape) if shape else []:
        count += 1
        both = put(bases.world, shape, bases.parameters(service, shape, operation), where, valid(leaf))
        if both is None:
            # The call that is right has it, and would not be right without.
            continue
        way = ".".join(str(step) for step in where if step != 0)
        sent = next(WRONG)
        base, fields = (wire.fields(operation, given) for given in both)
        if wire.json:
            at = fields
            for key in where[:-1]:
                at = at[key]
            at[where[-1]] = sent
        else:
            fields |= {key: sent for key in fields if key not in base}
        before = wire.send(operation, base)
        status, code, message = wire.send(operation, fields)
        if status == 200:
            if leaf.type_name != "string" or leaf.enum:
                found.append((way, f"takes {sent!r} for a {leaf.type_name}"))
            elif sent not in message and without_ids(before[2]) == without_ids(message) and sent not in state():
                found.append((way, "is ignored"))
        elif "nknown parameter" in message and service == "elbv2":
            found.append((way, f"is unread: {message}"))
        elif "not served" not in message and not names(message, where[-2:], sent) and (before[1], before[2]) == (code, message):
            found.append((way, f"changes nothing: {code}: {message}"))
    return found, count


@pytest.fixture
def room():
    """The walk makes more than an account may have."""
    before = admin("settings")[1]
    assert admin("settings", "PUT", {"quotas": {name: 100_000 for name in before["quotas"] if "per-action" not in name}})[0] == 200
    yield
    assert admin("settings", "PUT", before)[0] == 200


@pytest.mark.parametrize("service", SERVICES)
def test_every_member_of_every_request_is_used_or_refused(service, world, room):
    wire, bases = Wire(service), Bases(world)
    if service == "shield":
        world.protected()
    total, found = 0, []
    for operation in wire.served():
        wrong, count = walk(wire, bases, service, operation)
        total += count
        found += [f"{operation}.{way} {what}" for way, what in wrong]
    print(service, total, "members;", len(found), "suspect")
    found = [what for what in found if what.split()[0] not in SILENT]
    assert not found, "\n".join(found)
