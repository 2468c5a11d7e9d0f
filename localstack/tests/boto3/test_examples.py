"""The examples of requests and responses that AWS ships with botocore (`data/elbv2/*/examples-1.json`): each request is made, and whatever the
example's response has, ours has, too."""

import re

import botocore.session
import pytest

from backend import POD, guard, serving
from cloud import eventually, forward, path

EXAMPLES = [
    (operation, example)
    for operation, examples in botocore.session.get_session().get_component("data_loader").load_service_model("elbv2", "examples-1")["examples"].items()
    for example in examples
]
# Members whose values a service makes up; they need only be there. ARNs of what an example creates are compared by what they say.
GENERATED = {"CreatedTime", "DNSName", "CanonicalHostedZoneId"}
# Where an example contradicts itself or what AWS documents today: what of its response is not compared, and why.
EXCEPTIONS = {
    "To enable access logs": {"Attributes.access_logs.s3.bucket": "the request spells the bucket otherwise than the response"},
    "To describe the health of the targets for a target group": {
        "TargetHealthDescriptions": "the response has one target in two states at once; both are looked at apart in test_both_states_of_the_example"
    },
    "To describe the health of a target": {"TargetHealthDescriptions": "likewise"},
}
ARN = "arn:aws:elasticloadbalancing:us-west-2:123456789012:"
BALANCER = ARN + "loadbalancer/app/my-load-balancer/50dc6c495c0c9188"
LISTENER = ARN + "listener/app/my-load-balancer/50dc6c495c0c9188/"
RULE = ARN + "listener-rule/app/my-load-balancer/50dc6c495c0c9188/f2f7dc8efc522ab2/"
GROUP = ARN + "targetgroup/"


class Place:
    """What an example speaks of, made in the cloud: its ids, and ours."""

    def __init__(self, world):
        self.world = w = world
        zones = {subnet["AvailabilityZone"]: subnet["SubnetId"] for subnet in w.public[:2]}
        names = sorted(zones)
        default = [{"Name": "group-name", "Values": ["default"]}, {"Name": "vpc-id", "Values": [w.vpc]}]
        self.names = {
            "us-west-2a": names[0], "us-west-2b": names[1], "subnet-8360a9e7": zones[names[0]], "subnet-b7d581c0": zones[names[1]],
            "vpc-3ac0fb5f": w.vpc, "sg-5943793c": w.ec2.describe_security_groups(Filters=default)["SecurityGroups"][0]["GroupId"],
            "my-load-balancer": w.name(), "my-internal-load-balancer": w.name(), "my-targets": w.name(),
        }
        self.balancer = w.balancer(Name=w.name(), SecurityGroups=None)

    def group(self, **more):
        group = self.world.create_group(**more)
        return group["TargetGroupArn"], group["TargetGroupName"]

    def prepare(self, operation, title, given):
        """Makes whatever the request names."""
        w, text = self.world, repr(given)
        if operation != "CreateLoadBalancer":
            self.names[BALANCER] = self.balancer
        for name in sorted(set(re.findall(re.escape(GROUP) + r"[\w-]+/\w+", text))):
            protocol = {"Protocol": "HTTPS", "Port": 443} if "https" in name else {"Port": 80}
            arn, label = self.group(**protocol, TargetType="instance" if "i-" in text.replace("my-", "") else "ip")
            self.names |= {name: arn, name.split("/")[1]: label}
        group = self.names.get(GROUP + "my-targets/73e2d6bc24d8a067")
        if operation in ("DescribeListeners", "ModifyListener", "CreateRule", "DescribeRules", "ModifyRule", "SetRulePriorities", "DeleteListener", "DeleteRule"):
            group = group or self.group(Port=80)[0]
            self.names[GROUP + "my-targets/73e2d6bc24d8a067"] = group
            listener = w.new_listener(80, forward(group), self.balancer)
            self.names |= {LISTENER + "f2f7dc8efc522ab2": listener, LISTENER.replace("us-west", "ua-west") + "f2f7dc8efc522ab2": listener}
            if operation != "CreateRule":
                rule = w.new_rule(10, listener=listener, conditions=path("/img/*"), actions=forward(group))
                self.names |= {RULE + "9683b2d02a6cabee": rule, RULE + "1291d13826f405c3": rule}
        if "server-certificate" in text:
            policy = {"SslPolicy": "ELBSecurityPolicy-2015-05"}
            for name in ("my-server-cert", "my-new-server-cert"):
                self.names[f"arn:aws:iam::123456789012:server-certificate/{name}"] = w.import_certificate()
            if operation == "ModifyListener":
                self.names[LISTENER + "0467ef3c8400ae65"] = w.https(actions=forward(group), balancer=self.balancer, port=443, **policy)["ListenerArn"]
        for name in sorted(set(re.findall(r"\bi-[0-9a-f]{8}\b", text))):
            self.names[name] = w.nodes()[0]["Attachment"]["InstanceId"]
        if operation in ("DescribeTargetGroups", "ModifyTargetGroup"):
            w.new_listener(actions=forward(*[self.names[name] for name in self.names if name.startswith(GROUP)]), balancer=self.balancer)
        if operation in ("DescribeTags", "RemoveTags"):
            w.elb.add_tags(ResourceArns=[self.balancer], Tags=[{"Key": "project", "Value": "lima"}, {"Key": "department", "Value": "digital-media"}])
        if title == "To enable access logs":
            self.names["my-loadbalancer-logs"] = w.log_bucket()
        if title == "To change the idle timeout":
            self.attribute("deletion_protection.enabled", "true")
        if operation == "DescribeLoadBalancers":
            self.names["my-load-balancer"] = w.elb.describe_load_balancers(LoadBalancerArns=[self.balancer])["LoadBalancers"][0]["LoadBalancerName"]
            eventually(lambda: w.elb.describe_load_balancers(LoadBalancerArns=[self.balancer])["LoadBalancers"][0]["State"]["Code"] == "active", "active")

    def attribute(self, key, value):
        if not [b for b in self.world.elb.describe_load_balancers()["LoadBalancers"] if b["LoadBalancerArn"] == self.balancer]:
            return
        self.world.elb.modify_load_balancer_attributes(LoadBalancerArn=self.balancer, Attributes=[{"Key": key, "Value": value}])

    def ours(self, value):
        """A value with our names."""
        if isinstance(value, dict):
            return {key: self.ours(member) for key, member in value.items()}
        if isinstance(value, list):
            return [self.ours(member) for member in value]
        return self.names.get(value, value)


def said(arn):
    """What an ARN says besides its account, region and ids: the service, and the kind of the resource."""
    parts = arn.split(":", 5)
    return parts[:3], re.sub(r"/.*", "", parts[5])


def differences(where, wanted, found, exceptions):
    """What of an example's response is missing in ours, or another."""
    if where in exceptions or where.rsplit(".", 1)[-1] in GENERATED and found:
        return
    if isinstance(wanted, dict):
        for key, member in wanted.items():
            if not isinstance(found, dict) or key not in found:
                yield f"{where}.{key} is missing"
            else:
                yield from differences(f"{where}.{key}".lstrip("."), member, found[key], exceptions)
    elif isinstance(wanted, list) and wanted and isinstance(wanted[0], dict) and "Key" in wanted[0]:
        # Attributes and tags: by key. There are more attributes today than when the examples were written.
        pairs = {pair["Key"]: pair["Value"] for pair in found}
        for pair in wanted:
            if f"{where}.{pair['Key']}" not in exceptions and pairs.get(pair["Key"]) != pair["Value"]:
                yield f"{where}.{pair['Key']} is {pairs.get(pair['Key'])!r}, not {pair['Value']!r}"
    elif isinstance(wanted, list):
        if len(wanted) != len(found):
            yield f"{where} has {len(found)} members, not {len(wanted)}"
        order = lambda member: repr(sorted(member.items())) if isinstance(member, dict) else member
        for one, other in zip(sorted(wanted, key=order), sorted(found, key=order)):
            yield from differences(where, one, other, exceptions)
    elif isinstance(wanted, str) and wanted.startswith("arn:") and ":us-west-2:" in wanted:
        if said(wanted) != said(found):
            yield f"{where} is {found!r}, not like {wanted!r}"
    elif wanted != found:
        yield f"{where} is {found!r}, not {wanted!r}"


def test_there_are_36():
    assert len(EXAMPLES) == 36


@pytest.mark.parametrize(("operation", "example"), EXAMPLES, ids=[f"{operation}: {example['title']}" for operation, example in EXAMPLES])
def test_example(operation, example, world):
    place, title = Place(world), example["title"]
    try:
        replay(place, operation, title, example)
    finally:
        place.attribute("deletion_protection.enabled", "false")
        world.elb.delete_load_balancer(LoadBalancerArn=place.balancer)


def replay(place, operation, title, example):
    place.prepare(operation, title, example["input"])
    world = place.world
    call = {name: method for method, name in world.elb.meta.method_to_api_mapping.items()}[operation]
    answer = getattr(world.elb, call)(**place.ours(example["input"]))
    assert answer.pop("ResponseMetadata")["HTTPStatusCode"] == 200
    wanted = place.ours(example.get("output") or {})
    assert list(differences("", wanted, answer, EXCEPTIONS.get(title, {}))) == []
    for made in answer.get("LoadBalancers", []) if operation == "CreateLoadBalancer" else []:
        world.elb.delete_load_balancer(LoadBalancerArn=made["LoadBalancerArn"])


def test_both_states_of_the_example(world):
    """A target that is unused and one that is healthy, as DescribeTargetHealth's example has them."""
    with serving() as port:
        group = world.new_group(Port=port)
        world.elb.register_targets(TargetGroupArn=group, Targets=[{"Id": POD}])
        unused = world.elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"][0]
        assert (unused["Target"]["Port"], unused["TargetHealth"]["State"], unused["TargetHealth"]["Reason"]) == (port, "unused", "Target.NotInUse")
        # Today's description differs from the example's ("Given target group is not configured to receive traffic from ELB").
        assert unused["TargetHealth"]["Description"] == "Target group is not configured to receive traffic from the load balancer"
        nodes = guard(world)
        balancer, source = world.balancer(), [{"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "UserIdGroupPairs": [{"GroupId": world.sg}]}]
        world.ec2.authorize_security_group_ingress(GroupId=nodes, IpPermissions=source)
        try:
            world.new_listener(80, forward(group), balancer)
            health = lambda: world.elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"][0]
            healthy = eventually(lambda: (h := health())["TargetHealth"]["State"] == "healthy" and h, "healthy")
            assert healthy["HealthCheckPort"] == str(port) and "Reason" not in healthy["TargetHealth"]
        finally:
            world.ec2.revoke_security_group_ingress(GroupId=nodes, IpPermissions=source)
