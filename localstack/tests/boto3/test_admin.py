"""The admin API: counts, log, faults, state, addresses."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError, HTTPClientError, ReadTimeoutError

from cloud import admin, client, eventually, forward


@pytest.fixture(autouse=True)
def no_faults():
    admin("faults", "DELETE")
    yield
    admin("faults", "DELETE")


def inject(**fault):
    status, found = admin("faults", "POST", [fault])
    assert status == 200, found
    return found


def test_calls_are_counted_by_operation(world):
    before = admin("calls")[1]
    world.elb.describe_load_balancers()
    world.new_group()
    with pytest.raises(ClientError):
        world.elb.describe_load_balancers(Names=["absent"])
    after = admin("calls")[1]
    name = "elasticloadbalancing.DescribeLoadBalancers"
    assert after["operations"][name] - before["operations"].get(name, 0) == 2
    assert (after["reads"] - before["reads"], after["mutations"] - before["mutations"], after["total"] - before["total"]) == (2, 1, 3)
    assert after["errors"][name] - before["errors"].get(name, 0) == 1


def test_counts_can_be_reset(world):
    world.elb.describe_load_balancers()
    assert admin("calls?reset=1")[1]["total"] > 0
    assert admin("calls")[1]["total"] == 0
    world.elb.describe_load_balancers()
    assert admin("reset", "POST", "calls")[0] == 200
    assert admin("calls")[1]["total"] == 0


def test_only_known_resets(world):
    assert admin("reset", "POST", "everything")[0] == 400


def test_the_log_shows_parameters_and_outcomes(world):
    name = world.name()
    world.new_group(Name=name)
    with pytest.raises(ClientError):
        world.new_group(Name=name, Port=9)
    first, second = admin("log?last=2")[1]
    assert (first["operation"], first["outcome"], first["mutation"], first["parameters"]["Name"]) == ("CreateTargetGroup", "ok", True, name)
    assert (second["outcome"], second["number"] - first["number"]) == ("DuplicateTargetGroupName", 1)


def test_the_nth_call_is_throttled_and_changes_nothing(world):
    inject(operation="CreateTargetGroup", kind="throttle", nth=2)
    world.new_group()
    name = world.name()
    with pytest.raises(ClientError) as caught:
        world.new_group(Name=name)
    assert (caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]) == ("Throttling", "Rate exceeded")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    with pytest.raises(ClientError):
        world.elb.describe_target_groups(Names=[name])
    world.new_group(Name=name)


def test_a_client_that_retries_gets_through_throttling(world):
    inject(operation="DescribeTargetGroups", kind="throttle", remaining=2)
    client("elbv2", attempts=4).describe_target_groups()
    assert admin("faults")[1][0]["happened"] == 2


def test_server_errors(world):
    inject(operation="elasticloadbalancing", kind={"error": {"code": "ServiceUnavailable", "status": 503, "message": "busy"}}, remaining=1)
    with pytest.raises(ClientError) as caught:
        world.elb.describe_account_limits()
    assert caught.value.response["Error"]["Code"] == "ServiceUnavailable"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503


def test_a_lost_response_has_changed_the_state(world):
    name = world.name()
    inject(operation="CreateTargetGroup", kind="lost_response", remaining=1)
    with pytest.raises((ConnectionClosedError, EndpointConnectionError, HTTPClientError)):
        world.new_group(Name=name)
    assert len(world.elb.describe_target_groups(Names=[name])["TargetGroups"]) == 1
    assert next(call for call in reversed(admin("log?last=9")[1]) if call["operation"] == "CreateTargetGroup")["outcome"] == "lost"


def test_a_lost_request_has_changed_nothing(world):
    name = world.name()
    inject(operation="CreateTargetGroup", kind="lost_request", remaining=1)
    with pytest.raises((ConnectionClosedError, EndpointConnectionError, HTTPClientError)):
        world.new_group(Name=name)
    with pytest.raises(ClientError):
        world.elb.describe_target_groups(Names=[name])


@pytest.mark.parametrize(("kind", "there"), [("held_response", True), ("held_request", False)])
def test_a_held_call_is_never_answered(world, kind, there):
    """The n-th call of any operation is held; everybody else is served meanwhile, until the caller is gone."""
    name = world.name()
    inject(operation="mutations", kind=kind, nth=2)
    world.new_group()
    impatient = client("elbv2", read_timeout=0.5)
    with pytest.raises(ReadTimeoutError):
        impatient.create_target_group(Name=name, Protocol="HTTP", Port=80, VpcId=world.vpc, TargetType="ip")
    assert admin("faults")[1][0]["happened"] == 1
    found = [group["TargetGroupName"] for group in world.elb.describe_target_groups()["TargetGroups"]]
    assert (name in found) == there
    assert next(call for call in reversed(admin("log?last=9")[1]) if call["operation"] == "CreateTargetGroup")["outcome"] == "held"


def test_a_delay_delays(world):
    inject(operation="DescribeAccountLimits", kind={"delay": {"ms": 300}}, remaining=1)
    start = time.monotonic()
    world.elb.describe_account_limits()
    assert time.monotonic() - start >= 0.3


def test_ec2_throttles_in_its_own_words(world):
    inject(operation="ec2", kind="throttle", remaining=1)
    with pytest.raises(ClientError) as caught:
        world.ec2.describe_vpcs()
    assert caught.value.response["Error"]["Code"] == "RequestLimitExceeded"


def test_misspelt_faults_are_refused(world):
    for wrong in ({"operation": "*", "kind": "throtle"}, {"kind": "throttle", "rates": 1}, {"operation": "*"}):
        assert admin("faults", "POST", [wrong])[0] == 400, wrong
    assert admin("faults")[1] == []


def test_many_callers_at_once(world):
    """Eight callers make, change and remove rules of one listener; each sees its own, and the state holds together."""
    listener = world.new_listener()

    def work(caller):
        elb = client("elbv2")
        for turn in range(6):
            priority = 1 + caller * 10 + turn
            fixed = [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200"}}]
            condition = [{"Field": "path-pattern", "Values": [f"/{caller}/{turn}"]}]
            made = elb.create_rule(ListenerArn=listener, Priority=priority, Conditions=condition, Actions=fixed)["Rules"][0]["RuleArn"]
            elb.set_rule_priorities(RulePriorities=[{"RuleArn": made, "Priority": 1000 + priority}])
            if turn % 2:
                elb.delete_rule(RuleArn=made)
        return caller

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(work, range(8))) == list(range(8))
    left = sorted(int(p) for p in world.rules(listener).values() if p != "default")
    assert left == sorted(1001 + caller * 10 + turn for caller in range(8) for turn in (0, 2, 4))
    assert admin("integrity")[1] == []


def test_names_lead_to_addresses(world):
    found = world.elb.describe_load_balancers(LoadBalancerArns=[world.lb])["LoadBalancers"][0]
    status, answer = admin("dns?name=" + found["DNSName"].upper() + ".")
    assert status == 200 and len(answer["addresses"]) == 1
    assert admin("dns?name=absent.example.com")[0] == 404


def test_listeners_tell_where_they_listen(world):
    rows = eventually(lambda: [row for row in admin("listeners")[1] if row["listener"] == world.listener], "the listener is there")
    assert (rows[0]["load_balancer"], rows[0]["port"]) == (world.lb, 80)
    assert ("bound" in rows[0]) != ("error" in rows[0])


def test_the_state_is_stable(world):
    first, second = admin("state")[1], admin("state")[1]
    assert first == second
    assert world.lb in [balancer["arn"] for balancer in first["load_balancers"]]


def test_equal_worlds_have_equal_inventories(world):
    """An object that is deleted and made again has another id, but the inventory is the same."""
    name = world.name()
    balancer = world.balancer()
    listener = world.new_listener(balancer=balancer)
    first_group = world.new_group(Name=name)
    first_rule = world.new_rule(7, listener=listener, actions=forward(first_group))
    before = admin("inventory")[1]
    world.elb.delete_rule(RuleArn=first_rule)
    world.elb.delete_target_group(TargetGroupArn=first_group)
    assert admin("inventory")[1] != before
    group = eventually(lambda: world.new_group(Name=name), "the group is gone")
    world.new_rule(7, listener=listener, actions=forward(group))
    assert admin("inventory")[1] == before
    assert group != first_group and f"tg/{name}" in before["target_groups"]
    world.elb.delete_load_balancer(LoadBalancerArn=balancer)


def test_settings_change_while_the_cloud_runs(world):
    before = admin("settings")[1]
    limit = len(world.elb.describe_rules(ListenerArn=world.listener)["Rules"])
    try:
        status, changed = admin("settings", "PUT", {"quotas": {"rules-per-application-load-balancer": limit - 1}, "times": {"provisioning": 3600}})
        assert (status, changed["times"]["provisioning"]) == (200, 3600)
        told = {row["Name"]: row["Max"] for row in world.elb.describe_account_limits()["Limits"]}
        assert told["rules-per-application-load-balancer"] == str(limit - 1)
        with pytest.raises(ClientError) as caught:
            world.new_rule()
            world.new_rule()
        assert caught.value.response["Error"]["Code"] == "TooManyRules"
        slow = world.create_balancer()
        assert slow["State"]["Code"] == "provisioning"
        world.elb.delete_load_balancer(LoadBalancerArn=slow["LoadBalancerArn"])
        assert admin("settings", "PUT", {"rates": {"reads": {"burst": 2, "refill": 0.001}}})[0] == 200
        world.elb.describe_account_limits()
        world.elb.describe_account_limits()
        with pytest.raises(ClientError) as caught:
            world.elb.describe_account_limits()
        assert caught.value.response["Error"]["Code"] == "Throttling"
    finally:
        assert admin("settings", "PUT", before) == (200, before)
    for wrong in ({"quotas": {"rules": 1}}, {"times": {"provisioning": -1}}, {"times": {"health_check_scale": 7}}, {"colour": "red"}):
        assert admin("settings", "PUT", wrong)[0] == 400, wrong
    assert admin("settings")[1] == before


def test_health_and_unknown_paths():
    assert admin("health") == (200, {"status": "ready"})
    assert admin("absent")[0] == 404
    assert admin("calls", "DELETE")[0] == 405
