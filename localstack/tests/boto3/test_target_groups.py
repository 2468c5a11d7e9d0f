"""Target groups, targets and tags: one row each: what is called, and what must come of it."""

import pytest

from cloud import FIXED, Fails, anything, eventually, forward, ids, run

OUTSIDE = "192.168.7.7"


def twice(w, **second):
    name = w.name()
    return w.new_group(Name=name) == w.new_group(Name=name, **second)


def described(w, **which):
    return w.elb.describe_target_groups(**which)["TargetGroups"]


def modify(w, **change):
    return w.elb.modify_target_group(TargetGroupArn=w.new_group(), **change)["TargetGroups"][0]


def attribute(w, *pairs, **group):
    wanted = [{"Key": key, "Value": value} for key, value in pairs]
    changed = w.elb.modify_target_group_attributes(TargetGroupArn=w.new_group(**group), Attributes=wanted)
    return {a["Key"]: a["Value"] for a in changed["Attributes"]}


def deleted_in_use(w):
    """A used group cannot go; it can once its rule has gone."""
    group = w.new_group()
    rule = w.new_rule(actions=forward(group))
    try:
        w.elb.delete_target_group(TargetGroupArn=group)
    finally:
        w.elb.delete_rule(RuleArn=rule)
        w.elb.delete_target_group(TargetGroupArn=group)
        w.elb.delete_target_group(TargetGroupArn=group)


def owners(w):
    group = w.new_group()
    before = described(w, TargetGroupArns=[group])[0]["LoadBalancerArns"]
    listener = w.new_listener(actions=forward(group))
    during = described(w, TargetGroupArns=[group])[0]["LoadBalancerArns"]
    w.elb.delete_listener(ListenerArn=listener)
    after = described(w, TargetGroupArns=[group])[0]["LoadBalancerArns"]
    return (before, during == [w.lb], after) == ([], True, [])


def registered(w, *targets, group=None, **more):
    group = group or w.new_group(**more)
    w.elb.register_targets(TargetGroupArn=group, Targets=[dict(t) if isinstance(t, dict) else {"Id": t} for t in targets])
    return w.health(group)


def local(w, last):
    """An address of the zone's first public subnet."""
    return w.public[0]["CidrBlock"].split("/")[0].rsplit(".", 2)[0] + f".9.{last}"


def node(w):
    return w.ec2.describe_instances()["Reservations"][0]["Instances"][0]["InstanceId"]


def anomalies(w):
    group = w.new_group()
    registered(w, local(w, 1), group=group)
    found = w.elb.describe_target_health(TargetGroupArn=group, Include=["AnomalyDetection"])
    return [target["AnomalyDetection"] for target in found["TargetHealthDescriptions"]]


def draining(w):
    """A deregistered target of a used group drains, cannot be registered again meanwhile, and then is gone."""
    group = w.new_group()
    w.new_rule(actions=forward(group))
    address = local(w, 9)
    registered(w, address, group=group)
    w.elb.deregister_targets(TargetGroupArn=group, Targets=[{"Id": address}])
    state = w.health(group)[(address, 8080)]
    assert (state["State"], state["Reason"]) == ("draining", "Target.DeregistrationInProgress"), state
    try:
        registered(w, address, group=group)
    finally:
        eventually(lambda: not w.health(group), "drained")
        registered(w, address, group=group)


def quick(w):
    """Targets of an unused group go at once; those that are not there do not matter."""
    group = w.new_group()
    address = local(w, 10)
    registered(w, address, group=group)
    w.elb.deregister_targets(TargetGroupArn=group, Targets=[{"Id": address}, {"Id": local(w, 11)}])
    return w.health(group)


def zones(w):
    """The load balancer has zones a and b: a target in zone c is unused; once zone c is enabled it is not."""
    group, balancer = w.new_group(), w.balancer()
    w.new_listener(80, forward(group), balancer)
    far = w.public[2]["CidrBlock"].split("/")[0].rsplit(".", 1)[0] + ".77"
    registered(w, far, group=group)
    before = w.health(group)[(far, 8080)]
    w.elb.set_subnets(LoadBalancerArn=balancer, Subnets=[s["SubnetId"] for s in w.public])
    after = w.health(group)[(far, 8080)]
    return (before["State"], before["Reason"], after["State"] != "unused") == ("unused", "Target.NotInUse", True)


def not_registered(w):
    found = w.health(w.tg, Targets=[{"Id": local(w, 99)}])
    return found[(local(w, 99), 8080)]


def tags(w, *arns):
    found = w.elb.describe_tags(ResourceArns=list(arns))["TagDescriptions"]
    return [{t["Key"]: t["Value"] for t in d["Tags"]} for d in found]


def tagged(w, arn):
    w.elb.add_tags(ResourceArns=[arn], Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": ""}])
    w.elb.add_tags(ResourceArns=[arn], Tags=[{"Key": "a", "Value": "2"}])
    w.elb.remove_tags(ResourceArns=[arn], TagKeys=["b", "absent"])
    return tags(w, arn) == [{"a": "2"}]


def half(w):
    """Tagging two resources of which one is absent tags neither."""
    good = w.new_group()
    try:
        w.elb.add_tags(ResourceArns=[good, good[:-4] + "0000"], Tags=[{"Key": "a", "Value": "1"}])
    finally:
        assert tags(w, good) == [{}]


def default_rule(w):
    return next(arn for arn, priority in w.rules(w.new_listener()).items() if priority == "default")


GROUPS = [
    ("a group gets AWS's defaults", lambda w: w.create_group(), lambda r: (r["HealthCheckIntervalSeconds"], r["HealthCheckTimeoutSeconds"], r["HealthyThresholdCount"], r["UnhealthyThresholdCount"], r["HealthCheckPath"], r["HealthCheckPort"], r["Matcher"], r["ProtocolVersion"]) == (30, 5, 5, 2, "/", "traffic-port", {"HttpCode": "200"}, "HTTP1")),
    ("a gRPC group has its own defaults", lambda w: w.create_group(ProtocolVersion="GRPC"), lambda r: (r["Matcher"], r["HealthCheckPath"]) == ({"GrpcCode": "12"}, "/AWS.ALB/healthcheck")),
    ("the same again is the same", lambda w: twice(w), lambda r: r),
    ("the same name with another port", lambda w: twice(w, Port=81), Fails("DuplicateTargetGroupName", "exists, but with different settings")),
    ("the same name with other tags", lambda w: twice(w, Tags=[{"Key": "a", "Value": "b"}]), Fails("DuplicateTargetGroupName")),
    ("a long name", lambda w: w.new_group(Name="a" * 33), Fails("ValidationError", "Target group name '" + "a" * 33 + "' cannot be longer than '32' characters")),
    ("no port", lambda w: w.new_group(Port=None), Fails("ValidationError", "port must be specified")),
    ("no protocol", lambda w: w.new_group(Protocol=None), Fails("ValidationError", "protocol must be specified")),
    ("no VPC", lambda w: w.new_group(VpcId=None), Fails("ValidationError", "VPC")),
    ("an unknown VPC", lambda w: w.new_group(VpcId="vpc-0000"), Fails("ValidationError", "The VPC ID 'vpc-0000' is not found")),
    ("GENEVE is to come", lambda w: w.new_group(Protocol="GENEVE"), Fails("InvalidConfigurationRequest", "not served")),
    ("lambda is to come", lambda w: w.new_group(TargetType="lambda"), Fails("InvalidConfigurationRequest", "not served")),
    ("a timeout above the interval", lambda w: w.new_group(HealthCheckIntervalSeconds=5, HealthCheckTimeoutSeconds=6), Fails("ValidationError", "Health check timeout '6' must be smaller than the interval '5'")),
    ("an interval of 301", lambda w: w.new_group(HealthCheckIntervalSeconds=301), Fails("ValidationError", "less than or equal to 300")),
    ("code 500 is never healthy", lambda w: w.new_group(Matcher={"HttpCode": "200-500"}), Fails("ValidationError", "200-499")),
    ("health checks cannot be switched off", lambda w: w.new_group(HealthCheckEnabled=False), Fails("ValidationError")),
    ("a health check is changed", lambda w: modify(w, HealthCheckPath="/ready", Matcher={"HttpCode": "200,204"}), lambda r: (r["HealthCheckPath"], r["Matcher"]["HttpCode"]) == ("/ready", "200,204")),
    ("a path without a slash", lambda w: modify(w, HealthCheckPath="ready"), Fails("ValidationError", "must begin with a '/'")),
    ("modifying an unknown group", lambda w: w.elb.modify_target_group(TargetGroupArn=w.tg[:-4] + "0000", HealthCheckPath="/a"), Fails("TargetGroupNotFound", "One or more target groups not found")),
    ("a group knows its load balancer", owners, lambda r: r),
    ("groups of a load balancer", lambda w: described(w, LoadBalancerArn=w.lb), lambda r: len(r) >= 1),
    ("groups by name", lambda w: described(w, Names=[described(w, TargetGroupArns=[w.tg])[0]["TargetGroupName"]]), lambda r: len(r) == 1),
    ("an unknown name", lambda w: described(w, Names=["absent"]), Fails("TargetGroupNotFound")),
    ("names and a load balancer", lambda w: described(w, Names=["a"], LoadBalancerArn=w.lb), Fails("ValidationError", "cannot be specified at the same time")),
    ("21 ARNs", lambda w: described(w, TargetGroupArns=[w.tg] * 21), Fails("ValidationError", "You cannot describe more than '20' target groups at a time")),
    ("a used group stays", deleted_in_use, Fails("ResourceInUse", "is currently in use by a listener or a rule")),
    ("attributes have defaults", lambda w: attribute(w, ("stickiness.enabled", "false")), lambda r: r["deregistration_delay.timeout_seconds"] == "300" and r["load_balancing.algorithm.type"] == "round_robin" and len(r) == 14),
    ("a delay of 3600", lambda w: attribute(w, ("deregistration_delay.timeout_seconds", "3600")), lambda r: r["deregistration_delay.timeout_seconds"] == "3600"),
    ("a delay of 3601", lambda w: attribute(w, ("deregistration_delay.timeout_seconds", "3601")), Fails("ValidationError", "between '0' and '3600'")),
    ("an unknown attribute", lambda w: attribute(w, ("colour", "red")), Fails("ValidationError", "Target group attribute key 'colour' is not recognized")),
    ("an attribute of other groups", lambda w: attribute(w, ("preserve_client_ip.enabled", "true")), Fails("InvalidConfigurationRequest", "The provided target group attribute is not supported")),
    ("an attribute twice", lambda w: attribute(w, ("stickiness.enabled", "true"), ("stickiness.enabled", "true")), Fails("ValidationError", "multiple times")),
    ("slow start with another algorithm", lambda w: attribute(w, ("slow_start.duration_seconds", "30"), ("load_balancing.algorithm.type", "weighted_random")), Fails("InvalidConfigurationRequest", "Slow start")),
    ("a slow start of 29", lambda w: attribute(w, ("slow_start.duration_seconds", "29")), Fails("ValidationError")),
]

TARGETS = [
    ("targets of an unused group are unused", lambda w: registered(w, local(w, 1)), lambda r: [h["Reason"] for h in r.values()] == ["Target.NotInUse"]),
    ("one address, several ports", lambda w: registered(w, local(w, 1), {"Id": local(w, 1), "Port": 81}), lambda r: sorted(port for _, port in r) == [81, 8080]),
    ("the same again is the same", lambda w: registered(w, local(w, 1), local(w, 1)), lambda r: len(r) == 1),
    ("a pod's address", lambda w: registered(w, "198.19.3.4"), anything),
    ("an instance", lambda w: registered(w, node(w), TargetType="instance"), lambda r: len(r) == 1),
    ("an unknown instance", lambda w: registered(w, "i-0000", TargetType="instance"), Fails("InvalidTarget")),
    ("no address", lambda w: registered(w, "pod-1"), Fails("ValidationError", "The IP address 'pod-1' is not a valid IPv4 address")),
    ("a public address", lambda w: registered(w, "8.8.8.8"), Fails("ValidationError", "8.8.8.8")),
    ("outside of the VPC without a zone", lambda w: registered(w, OUTSIDE), Fails("ValidationError", f"The Availability Zone is required for IP address '{OUTSIDE}' because it is not in the VPC")),
    ("outside of the VPC with zone all", lambda w: registered(w, {"Id": OUTSIDE, "AvailabilityZone": "all"}), lambda r: len(r) == 1),
    ("inside of the VPC with zone all", lambda w: registered(w, {"Id": local(w, 1), "AvailabilityZone": "all"}), Fails("ValidationError", "is within the VPC, and cannot have its Availability Zone overridden to 'all' from 'us-east-1a'")),
    ("port 0", lambda w: registered(w, {"Id": local(w, 1), "Port": 0}), Fails("ValidationError", "greater than or equal to 1")),
    ("one bad target spoils the call", lambda w: registered(w, local(w, 1), "8.8.8.8"), Fails("ValidationError")),
    ("200 targets in one call", lambda w: registered(w, *[f"198.19.4.{n}" for n in range(1, 201)]), lambda r: len(r) == 200),
    ("1001 targets", lambda w: registered(w, *[f"198.19.{20 + n // 200}.{1 + n % 200}" for n in range(1001)]), Fails("TooManyTargets", "[1000]")),
    ("a target that is not there", not_registered, lambda r: (r["State"], r["Reason"]) == ("unused", "Target.NotRegistered")),
    ("a target that cannot be", lambda w: w.health(w.tg, Targets=[{"Id": "x"}]), Fails("InvalidTarget")),
    ("health of an unknown group", lambda w: w.health(w.tg[:-4] + "0000"), Fails("TargetGroupNotFound")),
    ("a target's anomalies", anomalies, lambda r: r == [{"Result": "normal", "MitigationInEffect": "no"}]),
    ("deregistered targets drain", draining, Fails("InvalidTarget", "still being deregistered")),
    ("unused targets go at once", quick, lambda r: r == {}),
    ("zones that are not enabled", zones, lambda r: r),
]

TAGS = [
    ("a load balancer's tags", lambda w: tagged(w, w.balancer()), lambda r: r),
    ("a target group's tags", lambda w: tagged(w, w.new_group()), lambda r: r),
    ("a listener's tags", lambda w: tagged(w, w.new_listener()), lambda r: r),
    ("a rule's tags", lambda w: tagged(w, w.new_rule()), lambda r: r),
    ("a default rule's tags", lambda w: tagged(w, default_rule(w)), lambda r: r),
    ("tags at creation", lambda w: tags(w, w.create_rule(Tags=[{"Key": "a", "Value": "1"}])["RuleArn"]), lambda r: r == [{"a": "1"}]),
    ("tags of 20 resources", lambda w: tags(w, *[w.new_group() for _ in range(20)]), lambda r: len(r) == 20),
    ("tags of 21 resources", lambda w: tags(w, *([w.tg] * 21)), Fails("ValidationError", "'20'")),
    ("tags of an unknown group", lambda w: tags(w, w.tg[:-4] + "0000"), Fails("TargetGroupNotFound")),
    ("tags of nothing known", lambda w: tags(w, "arn:aws:s3:::bucket"), Fails("ValidationError")),
    ("all or none", half, Fails("TargetGroupNotFound")),
    ("a tag with a strange sign", lambda w: w.elb.add_tags(ResourceArns=[w.tg], Tags=[{"Key": "a{", "Value": ""}]), Fails("ValidationError")),
]

ROWS = GROUPS + TARGETS + TAGS


@pytest.mark.parametrize("row", ROWS, ids=ids(ROWS))
def test_target_groups(row, world):
    run(row, world)
