"""Answers with members that no row asks for: so that each member of AWS's model that this cloud has is held to it once."""

from cloud import client, eventually, forward


def every():
    """Conditions with every way to say a value."""
    return [
        {"Field": "host-header", "HostHeaderConfig": {"RegexValues": ["^a[.]example$"]}},
        {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "X-A", "RegexValues": ["^b$"]}},
        {"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["GET"]}},
        {"Field": "source-ip", "SourceIpConfig": {"Values": ["192.0.2.0/24"]}},
    ]


def test_conditions_come_back(world):
    made = world.create_rule(conditions=every())
    found = {condition["Field"]: condition for condition in made["Conditions"]}
    for condition in every():
        config = next(key for key in condition if key.endswith("Config"))
        assert found[condition["Field"]][config] == condition[config]


def test_a_fixed_response_comes_back(world):
    action = [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "503", "MessageBody": "busy", "ContentType": "text/plain"}}]
    assert world.create_rule(actions=action)["Actions"][0]["FixedResponseConfig"] == action[0]["FixedResponseConfig"]


def test_a_reservation_comes_back(world):
    balancer = world.balancer()
    world.elb.modify_capacity_reservation(LoadBalancerArn=balancer, MinimumLoadBalancerCapacity={"CapacityUnits": 300})
    found = world.elb.describe_capacity_reservation(LoadBalancerArn=balancer)
    assert found["MinimumLoadBalancerCapacity"] == {"CapacityUnits": 300}
    assert found["LastModifiedTime"] and {zone["State"]["Code"] for zone in found["CapacityReservationState"]} <= {"provisioned", "pending"}


def test_everything_with_pages_has_pages(world):
    """Two pages of one member each, of every operation of ELBv2 that has pages."""
    listener = world.new_listener(actions=forward(world.new_group()))
    arguments = {"describe_listeners": {"LoadBalancerArn": world.lb}, "describe_rules": {"ListenerArn": world.listener}, "describe_listener_certificates": {}}
    certificates = [world.import_certificate() for _ in range(2)]
    https = world.https(certificates[0])["ListenerArn"]
    world.elb.add_listener_certificates(ListenerArn=https, Certificates=[{"CertificateArn": certificates[1]}])
    arguments["describe_listener_certificates"] = {"ListenerArn": https}
    world.balancer()
    world.new_listener()
    elb = client("elbv2")
    for method in ("describe_account_limits", "describe_listener_certificates", "describe_listeners", "describe_load_balancers", "describe_rules",
                   "describe_ssl_policies", "describe_target_groups"):
        call, given = getattr(elb, method), arguments.get(method, {})
        first = call(PageSize=1, **given)
        members = next(key for key in first if key not in ("NextMarker", "ResponseMetadata"))
        second = call(PageSize=1, Marker=first["NextMarker"], **given)
        assert len(first[members]) == len(second[members]) == 1 and first[members] != second[members], method
    assert listener


def test_states_come_back(world):
    """What DescribeTargetHealth tells of a target that is registered and one that is not."""
    group = world.new_group()
    world.elb.register_targets(TargetGroupArn=group, Targets=[{"Id": "10.0.9.9", "Port": 81}])
    known = lambda: world.health(group, Targets=[{"Id": "10.0.9.9", "Port": 81}, {"Id": "10.0.9.10", "Port": 81}])
    found = eventually(known, "health")
    assert {key: state["Reason"] for key, state in found.items()} == {("10.0.9.9", 81): "Target.NotInUse", ("10.0.9.10", 81): "Target.NotRegistered"}
