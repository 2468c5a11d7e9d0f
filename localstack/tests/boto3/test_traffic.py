"""Security groups and zones decide who reaches whom: shown by real requests through a load balancer to a real backend."""

import urllib.error
import urllib.request

import pytest

from backend import POD, guard, serving
from cloud import FIXED, HTTP80, admin, eventually, forward, path


@pytest.fixture(scope="module")
def backend():
    with serving() as port:
        yield port


@pytest.fixture(scope="module")
def nodes(world):
    return guard(world)


class Site:
    """A load balancer with a target group on the backend, and requests through it."""

    def __init__(self, world, port):
        self.world, self.port = world, port
        self.sg = world.group()
        world.ec2.authorize_security_group_ingress(GroupId=self.sg, IpPermissions=HTTP80)
        self.lb = world.balancer(SecurityGroups=[self.sg])
        self.tg = world.new_group(Port=port, HealthCheckIntervalSeconds=5, HealthCheckTimeoutSeconds=2)
        self.listener = world.new_listener(80, FIXED, self.lb)
        world.new_rule(1, listener=self.listener, conditions=path("/app", "/app/*"), actions=forward(self.tg))
        world.elb.register_targets(TargetGroupArn=self.tg, Targets=[{"Id": POD}])

    def url(self):
        row = next(row for row in admin("listeners")[1] if row["listener"] == self.listener)
        return f"http://{row['address']}:{row['bound']}"

    def get(self, where, timeout=20):
        try:
            with urllib.request.urlopen(self.url() + where, timeout=timeout) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def health(self):
        return self.world.health(self.tg)[(POD, self.port)]

    def rule_to_pods(self):
        source = {"GroupId": self.sg}
        return [{"IpProtocol": "tcp", "FromPort": self.port, "ToPort": self.port, "UserIdGroupPairs": [source]}]

    def until(self, state, reason=None):
        eventually(lambda: (self.health()["State"], self.health().get("Reason")) == (state, reason), f"{state} {reason}: {self.health()}")


@pytest.fixture(scope="module")
def site(world, backend, nodes):
    made = Site(world, backend)
    yield made
    granted = world.ec2.describe_security_groups(GroupIds=[nodes])["SecurityGroups"][0]["IpPermissions"]
    for permission in granted:
        pairs = [pair for pair in permission["UserIdGroupPairs"] if pair["GroupId"] == made.sg]
        if pairs:
            left = {key: permission[key] for key in ("IpProtocol", "FromPort", "ToPort") if key in permission}
            world.ec2.revoke_security_group_ingress(GroupId=nodes, IpPermissions=[left | {"UserIdGroupPairs": pairs}])


def test_without_a_rule_towards_the_pods_targets_time_out(site):
    site.until("unhealthy", "Target.Timeout")


def test_with_the_rule_they_are_healthy_and_requests_arrive(site, nodes):
    site.world.ec2.authorize_security_group_ingress(GroupId=nodes, IpPermissions=site.rule_to_pods())
    site.until("healthy")
    assert site.get("/app/x?y=1") == (200, "pod saw /app/x?y=1")
    assert site.get("/other")[0] == 404


def test_the_rule_taken_away_they_time_out_again_and_requests_fail(site, nodes):
    site.world.ec2.revoke_security_group_ingress(GroupId=nodes, IpPermissions=site.rule_to_pods())
    site.until("unhealthy", "Target.Timeout")
    assert site.get("/app")[0] == 504
    site.world.ec2.authorize_security_group_ingress(GroupId=nodes, IpPermissions=site.rule_to_pods())
    site.until("healthy")
    assert site.get("/app")[0] == 200


def test_the_balancers_own_way_out_counts(site):
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    site.world.ec2.revoke_security_group_egress(GroupId=site.sg, IpPermissions=everything)
    site.until("unhealthy", "Target.Timeout")
    site.world.ec2.authorize_security_group_egress(GroupId=site.sg, IpPermissions=everything)
    site.until("healthy")


def test_clients_need_a_rule_to_the_balancer(site):
    site.world.ec2.revoke_security_group_ingress(GroupId=site.sg, IpPermissions=HTTP80)
    with pytest.raises((TimeoutError, OSError)):
        site.get("/app", timeout=1)
    site.world.ec2.authorize_security_group_ingress(GroupId=site.sg, IpPermissions=HTTP80)
    assert site.get("/app")[0] == 200


def test_a_zone_that_is_not_enabled_gets_no_requests(site):
    """The pod is in zone a; without it the target is unused and the rule answers 503."""
    far = [subnet["SubnetId"] for subnet in site.world.public[1:3]]
    site.world.elb.set_subnets(LoadBalancerArn=site.lb, Subnets=far)
    site.until("unused", "Target.NotInUse")
    assert site.get("/app")[0] == 503
    site.world.elb.set_subnets(LoadBalancerArn=site.lb, Subnets=site.world.two)
    site.until("healthy")


def test_deregistered_targets_get_no_requests(site):
    site.world.elb.deregister_targets(TargetGroupArn=site.tg, Targets=[{"Id": POD}])
    assert site.health()["State"] == "draining"
    assert site.get("/app")[0] == 503


def test_a_deleted_balancer_does_not_answer(site):
    url = site.url()
    assert site.get("/other")[0] == 404
    site.world.elb.delete_load_balancer(LoadBalancerArn=site.lb)
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url + "/other", timeout=2)
    assert not [row for row in admin("listeners")[1] if row["listener"] == site.listener]
