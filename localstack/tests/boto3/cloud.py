"""What the tests share: clients, a world of resources with names of its own, and rows of tables."""

import json
import os
import time
import urllib.error
import urllib.request
import uuid

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

import certificates
import foreign
import model

ENDPOINT = os.environ.get("AWS_ENDPOINT_URL", "http://127.0.0.1:4566").rstrip("/")
# Another emulator, without the admin API, whose answers the model is not held against.
FOREIGN = bool(os.environ.get("PORTICO_FOREIGN_CLOUD"))
REGION = os.environ.get("AWS_REGION", "us-east-1")


def client(service, attempts=1, read_timeout=60):
    """A client without retries of its own, so that every error is seen."""
    made = boto3.client(
        service,
        endpoint_url=ENDPOINT,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(
            retries={"total_max_attempts": attempts, "mode": "standard"}, parameter_validation=False, read_timeout=read_timeout,
            s3={"addressing_style": "path"},
        ),
    )
    return made if FOREIGN else model.watch(made)


def admin(path, method="GET", body=None):
    """A call of the admin API; answers with status and JSON."""
    if FOREIGN:
        pytest.skip("needs the admin API")
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{ENDPOINT}/_cloud/{path}", data=data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def eventually(check, what, seconds=2 if FOREIGN else 20):
    """Polls until the check holds; states that follow from time or probes have no other sign. (Other emulators have no probes to wait for.)"""
    end = time.monotonic() + seconds
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not in {seconds} s: {what}")
        time.sleep(0.02)


class Fails:
    """The expectation that a call fails with a code, and with these words in its message."""

    def __init__(self, code, words=""):
        self.code, self.words = code, words

    def __repr__(self):
        return f"{self.code} {self.words!r}"


def run(row, world):
    """Runs one row: its call, and then either a check of the result or the expected error."""
    _, call, expected = row
    if isinstance(expected, Fails):
        try:
            result = call(world)
        except ClientError as error:
            found = error.response["Error"]
            assert found["Code"] == expected.code, f"expected {expected}, got {found['Code']}: {found['Message']}"
            assert expected.words in found["Message"], f"other words: expected {expected}, got {found['Message']!r}"
            assert error.response["ResponseMetadata"]["RequestId"], "an error has a request id"
            return
        raise AssertionError(f"expected {expected}, got {result}")
    result = call(world)
    assert expected(result), f"unexpected: {result}"


def ids(rows):
    return [row[0] for row in rows]


def anything(_):
    """The check of a call that only has to succeed."""
    return True


OIDC = {
    "Issuer": "https://idp.example.com", "AuthorizationEndpoint": "https://idp.example.com/authorize", "TokenEndpoint": "https://idp.example.com/token",
    "UserInfoEndpoint": "https://idp.example.com/user", "ClientId": "me", "ClientSecret": "secret",
}
COGNITO = {"UserPoolArn": "arn:aws:cognito-idp:us-east-1:000000000000:userpool/us-east-1_x", "UserPoolClientId": "me", "UserPoolDomain": "mine"}
JWT = {"JwksEndpoint": "https://idp.example.com/keys", "Issuer": "https://idp.example.com"}
VISIBILITY = {"SampledRequestsEnabled": False, "CloudWatchMetricsEnabled": False, "MetricName": "m"}
FIXED = [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}]
HTTP80 = [{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]


def path(*values):
    return [{"Field": "path-pattern", "PathPatternConfig": {"Values": list(values)}}]


def regex(*values):
    return [{"Field": "path-pattern", "PathPatternConfig": {"RegexValues": list(values)}}]


def forward(*arns):
    groups = [{"TargetGroupArn": arn, "Weight": 1} for arn in arns]
    return [{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}]


class World:
    """Resources that many rows look at, and helpers to make more. All names are this run's own."""

    def __init__(self):
        self.prefix = "t" + uuid.uuid4().hex[:8]
        self.count = 0
        self.elb, self.ec2 = client("elbv2"), client("ec2")
        self.sts, self.tagging = client("sts"), client("resourcegroupstaggingapi")
        self.acm, self.s3 = client("acm"), client("s3")
        self.waf, self.shield, self.quotas = client("wafv2"), client("shield"), client("service-quotas")
        self.dns = client("route53")
        if FOREIGN:
            foreign.network(self.ec2, REGION)
        # They have no names by which this run's could be told.
        self.foreign_endpoints = set() if FOREIGN else set(self.acme_endpoints())
        public = self.ec2.describe_subnets(Filters=[{"Name": "tag-key", "Values": ["kubernetes.io/role/elb"]}])["Subnets"]
        self.public = sorted(public, key=lambda subnet: subnet["AvailabilityZone"])
        private = self.ec2.describe_subnets(Filters=[{"Name": "tag-key", "Values": ["kubernetes.io/role/internal-elb"]}])["Subnets"]
        self.private = sorted(private, key=lambda subnet: subnet["AvailabilityZone"])
        self.vpc = self.public[0]["VpcId"]
        self.two = [subnet["SubnetId"] for subnet in self.public[:2]]
        self.sg = self.group()
        self.lb = self.balancer()
        self.listener = self.new_listener(80)
        self.tg = self.new_group()
        self.used = self.new_group()
        self.rule = self.new_rule(100, actions=forward(self.used))
        self.next_port, self.next_priority = 2000, 1000

    def name(self):
        self.count += 1
        return f"{self.prefix}-{self.count}"

    def port(self):
        self.next_port += 1
        return self.next_port

    def priority(self):
        self.next_priority += 1
        return self.next_priority

    def group(self, **more):
        return self.ec2.create_security_group(GroupName=self.name(), Description="test", VpcId=self.vpc, **more)["GroupId"]

    def create_balancer(self, **more):
        arguments = {"Name": self.name(), "Subnets": self.two, "SecurityGroups": [self.sg]} | more
        arguments = {key: value for key, value in arguments.items() if value is not None}
        return self.elb.create_load_balancer(**arguments)["LoadBalancers"][0]

    def balancer(self, **more):
        return self.create_balancer(**more)["LoadBalancerArn"]

    def create_listener(self, port=None, actions=None, balancer=None, **more):
        arguments = {"Protocol": "HTTP", "Port": port or self.port(), "DefaultActions": actions or FIXED} | more
        return self.elb.create_listener(LoadBalancerArn=balancer or self.lb, **arguments)["Listeners"][0]

    def new_listener(self, port=None, actions=None, balancer=None):
        return self.create_listener(port, actions, balancer)["ListenerArn"]

    def create_rule(self, priority=None, conditions=None, actions=None, listener=None, **more):
        return self.elb.create_rule(
            ListenerArn=listener or self.listener,
            Priority=priority or self.priority(),
            Conditions=conditions or path("/x"),
            Actions=actions or FIXED,
            **more,
        )["Rules"][0]

    def new_rule(self, priority=None, **more):
        return self.create_rule(priority, **more)["RuleArn"]

    def create_group(self, **more):
        arguments = {"Name": self.name(), "Protocol": "HTTP", "Port": 8080, "VpcId": self.vpc, "TargetType": "ip"} | more
        arguments = {key: value for key, value in arguments.items() if value is not None}
        return self.elb.create_target_group(**arguments)["TargetGroups"][0]

    def new_group(self, **more):
        return self.create_group(**more)["TargetGroupArn"]

    def import_certificate(self, pair=None, **more):
        """Imports a certificate; its ARN."""
        pair = pair or certificates.pair(f"{self.name()}.example.com")
        return self.acm.import_certificate(**(pair.arguments() | more))["CertificateArn"]

    def https(self, certificate=None, **more):
        """An HTTPS listener with a new certificate, unless one is given."""
        certificate = certificate or self.import_certificate()
        return self.create_listener(Protocol="HTTPS", Certificates=[{"CertificateArn": certificate}], **more)

    def nodes(self):
        """Network interfaces of instances, on which pods have their addresses."""
        found = self.ec2.describe_network_interfaces(Filters=[{"Name": "group-name", "Values": ["nodes"]}])["NetworkInterfaces"]
        return [interface for interface in found if "InstanceId" in interface.get("Attachment", {})]

    def bucket(self, **objects):
        """A bucket with objects; its name."""
        name = self.name()
        self.s3.create_bucket(Bucket=name)
        for key, body in objects.items():
            self.s3.put_object(Bucket=name, Key=key, Body=body)
        return name

    def log_bucket(self, **statement):
        """A bucket into which load balancers may write logs; its name."""
        name = self.bucket()
        allowed = {
            "Effect": "Allow",
            "Principal": {"Service": "logdelivery.elasticloadbalancing.amazonaws.com"},
            "Action": "s3:PutObject",
            "Resource": f"arn:aws:s3:::{name}/*",
        }
        self.s3.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [allowed | statement]}))
        return name

    def address(self):
        """An elastic IP address."""
        tags = [{"ResourceType": "elastic-ip", "Tags": [{"Key": "run", "Value": self.prefix}]}]
        return self.ec2.allocate_address(Domain="vpc", TagSpecifications=tags)

    def acme_endpoints(self):
        """The ARNs of all ACME endpoints."""
        pages = self.acm.get_paginator("list_acme_endpoints").paginate()
        return [found["AcmeEndpointArn"] for page in pages for found in page["AcmeEndpoints"]]

    def run_tags(self, kind):
        """Tags by which this run's resources of a type are found at its end."""
        return [{"ResourceType": kind, "Tags": [{"Key": "run", "Value": self.prefix}]}]

    def wide_vpc(self):
        """A VPC with IPv6 addresses."""
        return self.ec2.create_vpc(CidrBlock="10.78.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"]

    def instance(self, **more):
        """A new instance."""
        arguments = {"ImageId": "ami-0123456789abcdef0", "InstanceType": "m5.large", "MinCount": 1, "MaxCount": 1, "SubnetId": self.two[0]} | more
        return self.ec2.run_instances(**arguments, TagSpecifications=self.run_tags("instance"))["Instances"][0]

    def interface(self, **more):
        """A network interface that nothing uses."""
        arguments = {"SubnetId": self.two[0]} | more
        return self.ec2.create_network_interface(**arguments, TagSpecifications=self.run_tags("network-interface"))["NetworkInterface"]

    def protected(self):
        """The ARN of a load balancer that Shield protects; the account subscribes if it has not."""
        if self.shield.get_subscription_state()["SubscriptionState"] != "ACTIVE":
            self.shield.create_subscription()
        if not hasattr(self, "shielded"):
            self.shielded = self.balancer()
            self.shield.create_protection(Name=self.name(), ResourceArn=self.shielded)
        return self.shielded

    def web_acl(self, action="Allow", **more):
        """A web ACL: its summary."""
        arguments = {"Name": self.name(), "Scope": "REGIONAL", "DefaultAction": {action: {}}, "VisibilityConfig": VISIBILITY} | more
        return self.waf.create_web_acl(**arguments)["Summary"]

    def prefix_list(self, *cidrs, **more):
        """A managed prefix list."""
        entries = [{"Cidr": cidr} for cidr in cidrs]
        arguments = {"PrefixListName": self.name(), "MaxEntries": 10, "AddressFamily": "IPv4", "Entries": entries} | more
        return self.ec2.create_managed_prefix_list(**arguments)["PrefixList"]

    def ipam(self):
        """The account's IPAM: there can be one."""
        if not hasattr(self, "manager"):
            self.manager = self.ec2.create_ipam(Description=self.prefix)["Ipam"]
        return self.manager

    def pool(self, **more):
        """A pool of the public scope, for addresses of Amazon's, which has none yet."""
        arguments = {"IpamScopeId": self.ipam()["PublicDefaultScopeId"], "AddressFamily": "ipv4", "Locale": REGION, "AwsService": "ec2", "PublicIpSource": "amazon"} | more
        arguments = {key: value for key, value in arguments.items() if value is not None}
        return self.ec2.create_ipam_pool(**arguments)["IpamPool"]["IpamPoolId"]

    def block(self, pool):
        """A block of Amazon's for a pool."""
        made = self.ec2.provision_ipam_pool_cidr(IpamPoolId=pool, NetmaskLength=30)["IpamPoolCidr"]["IpamPoolCidrId"]
        found = self.ec2.get_ipam_pool_cidrs(IpamPoolId=pool)["IpamPoolCidrs"]
        return next(cidr["Cidr"] for cidr in found if cidr["IpamPoolCidrId"] == made)

    def clear_pools(self):
        """Deletes all IPAM pools, and takes them from who has their addresses."""
        for page in self.elb.get_paginator("describe_load_balancers").paginate():
            for found in filter(lambda b: "IpamPools" in b, page["LoadBalancers"]):
                self.elb.modify_ip_pools(LoadBalancerArn=found["LoadBalancerArn"], RemoveIpamPools=["ipv4"])
        for found in filter(lambda a: a["PublicIpv4Pool"].startswith("ipam-pool-"), self.ec2.describe_addresses()["Addresses"]):
            self.ec2.release_address(AllocationId=found["AllocationId"])
        for page in self.ec2.get_paginator("describe_ipam_pools").paginate():
            for found in sorted(page["IpamPools"], key=lambda pool: -pool["PoolDepth"]):
                pool = found["IpamPoolId"]
                for cidr in self.ec2.get_ipam_pool_cidrs(IpamPoolId=pool)["IpamPoolCidrs"]:
                    if "Cidr" in cidr:
                        self.ec2.deprovision_ipam_pool_cidr(IpamPoolId=pool, Cidr=cidr["Cidr"])
                self.ec2.delete_ipam_pool(IpamPoolId=pool)

    def trust_store(self, bundle=None, **more):
        """A trust store made of a bundle in PEM; its ARN."""
        bundle = bundle or certificates.pair(authority=True, common="Root").pem
        arguments = {"Name": self.name(), "CaCertificatesBundleS3Bucket": self.bucket(bundle=bundle), "CaCertificatesBundleS3Key": "bundle"}
        return self.elb.create_trust_store(**(arguments | more))["TrustStores"][0]["TrustStoreArn"]

    def health(self, group, **more):
        found = self.elb.describe_target_health(TargetGroupArn=group, **more)["TargetHealthDescriptions"]
        return {(h["Target"]["Id"], h["Target"]["Port"]): h["TargetHealth"] for h in found}

    def rules(self, listener):
        return {r["RuleArn"]: r["Priority"] for r in self.elb.describe_rules(ListenerArn=listener)["Rules"]}

    def close(self):
        """Removes all that this run has made, in the order in which AWS lets go."""
        mine = lambda name: name.startswith(self.prefix)
        for page in self.elb.get_paginator("describe_load_balancers").paginate():
            for found in filter(lambda b: mine(b["LoadBalancerName"]), page["LoadBalancers"]):
                off = [{"Key": "deletion_protection.enabled", "Value": "false"}]
                self.elb.modify_load_balancer_attributes(LoadBalancerArn=found["LoadBalancerArn"], Attributes=off)
                self.elb.delete_load_balancer(LoadBalancerArn=found["LoadBalancerArn"])
        for page in self.elb.get_paginator("describe_target_groups").paginate():
            for found in filter(lambda g: mine(g["TargetGroupName"]), page["TargetGroups"]):
                self.elb.delete_target_group(TargetGroupArn=found["TargetGroupArn"])
        for page in self.elb.get_paginator("describe_trust_stores").paginate():
            for found in filter(lambda s: mine(s["Name"]), page["TrustStores"]):
                self.elb.delete_trust_store(TrustStoreArn=found["TrustStoreArn"])
        for found in filter(lambda b: mine(b["Name"]), self.s3.list_buckets()["Buckets"]):
            listed = self.s3.list_object_versions(Bucket=found["Name"])
            for version in listed.get("Versions", []) + listed.get("DeleteMarkers", []):
                self.s3.delete_object(Bucket=found["Name"], Key=version["Key"], VersionId=version["VersionId"])
            self.s3.delete_bucket(Bucket=found["Name"])
        for found in certificates.listed(self.acm):
            if mine(found["DomainName"].removeprefix("*.")):
                self.acm.delete_certificate(CertificateArn=found["CertificateArn"])
        for arn in set(self.acme_endpoints()) - self.foreign_endpoints:
            self.acm.delete_acme_endpoint(AcmeEndpointArn=arn)
        mine_by_tag = [{"Name": "tag:run", "Values": [self.prefix]}]
        alive = [*mine_by_tag, {"Name": "instance-state-name", "Values": ["running"]}]
        started = [i["InstanceId"] for r in self.ec2.describe_instances(Filters=alive)["Reservations"] for i in r["Instances"]]
        if started:
            self.ec2.terminate_instances(InstanceIds=started)
        for found in self.ec2.describe_network_interfaces(Filters=mine_by_tag)["NetworkInterfaces"]:
            if found["Status"] == "available":
                self.ec2.delete_network_interface(NetworkInterfaceId=found["NetworkInterfaceId"])
        groups = self.ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": [self.prefix + "-*"]}])["SecurityGroups"]
        for found in groups:
            for direction, revoke in (
                ("IpPermissions", self.ec2.revoke_security_group_ingress),
                ("IpPermissionsEgress", self.ec2.revoke_security_group_egress),
            ):
                if found[direction]:
                    revoke(GroupId=found["GroupId"], IpPermissions=found[direction])
        for found in groups:
            self.ec2.delete_security_group(GroupId=found["GroupId"])
        for found in filter(lambda zone: mine(zone["CallerReference"]), self.dns.list_hosted_zones()["HostedZones"]):
            sets = self.dns.list_resource_record_sets(HostedZoneId=found["Id"])["ResourceRecordSets"]
            gone = [{"Action": "DELETE", "ResourceRecordSet": s} for s in sets if s["Type"] not in ("NS", "SOA")]
            if gone:
                self.dns.change_resource_record_sets(HostedZoneId=found["Id"], ChangeBatch={"Changes": gone})
            self.dns.delete_hosted_zone(Id=found["Id"])
        for found in filter(lambda found: mine(found["PrefixListName"]), self.ec2.describe_managed_prefix_lists()["PrefixLists"]):
            self.ec2.delete_managed_prefix_list(PrefixListId=found["PrefixListId"])
        for found in self.ec2.describe_addresses(Filters=[{"Name": "tag:run", "Values": [self.prefix]}])["Addresses"]:
            if "AssociationId" in found:
                self.ec2.disassociate_address(AssociationId=found["AssociationId"])
            self.ec2.release_address(AllocationId=found["AllocationId"])
        self.clear_pools()
        for found in self.ec2.describe_ipams()["Ipams"]:
            self.ec2.delete_ipam(IpamId=found["IpamId"])
        for found in filter(lambda found: mine(found["Name"]), self.waf.list_web_acls(Scope="REGIONAL")["WebACLs"]):
            self.waf.delete_web_acl(Name=found["Name"], Scope="REGIONAL", Id=found["Id"], LockToken=found["LockToken"])
