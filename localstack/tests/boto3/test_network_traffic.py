"""Network load balancers forward: shown by real connections and datagrams through them to a real backend on this machine."""

import socket
import socketserver
import ssl
import threading
import urllib.request

import pytest

import certificates
from cloud import FIXED, admin, eventually, forward

POD = "127.0.0.1"

# Whom targets and security groups see; in the lab, load balancers are not on 127.0.0.0/8, and the system would choose another address.
CLIENT = ("127.0.0.1", 0)


class Greeter(socketserver.BaseRequestHandler):
    """Says whom it sees, and then sends back what comes."""

    def handle(self):
        self.request.sendall(f"{self.client_address[0]}\n".encode())
        while data := self.request.recv(4096):
            self.request.sendall(data)


class Answerer(socketserver.BaseRequestHandler):
    """Answers a datagram with whom it sees, and the datagram."""

    def handle(self):
        data, sock = self.request
        sock.sendto(self.client_address[0].encode() + b" " + data, self.client_address)


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    allow_reuse_address = True


@pytest.fixture(scope="module")
def backend():
    """TCP and UDP at one port."""
    tcp = Server((POD, 0), Greeter)
    udp = socketserver.ThreadingUDPServer(tcp.server_address, Answerer)
    for server in (tcp, udp):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield tcp.server_address[1]
    for server in (tcp, udp):
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def nodes(world):
    """The security group of the interface that holds the pod's address; its rules are put back."""
    wanted = [{"Name": "addresses.private-ip-address", "Values": [POD]}]
    group = world.ec2.describe_network_interfaces(Filters=wanted)["NetworkInterfaces"][0]["Groups"][0]["GroupId"]
    yield group
    close(world, group)


def rules(world, group):
    """The rules of a group that these tests made."""
    found = world.ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])["SecurityGroupRules"]
    return [rule["SecurityGroupRuleId"] for rule in found if rule.get("Description") == "network traffic"]


def close(world, group):
    mine = rules(world, group)
    if mine:
        world.ec2.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=mine)


def open_to(world, group, port, cidr=None, source=None, protocol="tcp"):
    permission = {"IpProtocol": protocol, "FromPort": port, "ToPort": port}
    if cidr:
        permission["IpRanges"] = [{"CidrIp": cidr, "Description": "network traffic"}]
    else:
        permission["UserIdGroupPairs"] = [{"GroupId": source, "Description": "network traffic"}]
    world.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])


class Site:
    """A network load balancer with one listener on one target group."""

    def __init__(self, world, protocol="TCP", groups=None, targets=(), listener=None, port=80, actions=None, **group):
        self.world = world
        self.balancer = world.create_balancer(Type="network", SecurityGroups=groups)
        self.lb = self.balancer["LoadBalancerArn"]
        self.tg = world.new_group(**({"Protocol": protocol, "HealthCheckIntervalSeconds": 10} | group))
        extra = listener or {}
        self.listener = world.create_listener(port=port, actions=forward(self.tg), balancer=self.lb, **({"Protocol": protocol} | extra))["ListenerArn"]
        world.elb.register_targets(TargetGroupArn=self.tg, Targets=list(targets))

    def at(self, zone="us-east-1a", transport="tcp"):
        """Where the node of a zone listens: the pod is in zone a."""
        address = admin(f"dns?name={zone}.{self.balancer['DNSName']}")[1]["addresses"][0]
        rows = [row for row in admin("listeners")[1] if (row["listener"], row["address"], row["transport"]) == (self.listener, address, transport)]
        return address, rows[0]["bound"]

    def set(self, **attributes):
        wanted = [{"Key": key.replace("__", "."), "Value": value} for key, value in attributes.items()]
        self.world.elb.modify_target_group_attributes(TargetGroupArn=self.tg, Attributes=wanted)

    def until(self, state, reason=None):
        def is_so():
            found = list(self.world.health(self.tg).values())[0]
            return (found["State"], found.get("Reason")) == (state, reason)

        eventually(is_so, f"{state} {reason}: {self.world.health(self.tg)}")

    def greeting(self, zone="us-east-1a", timeout=20):
        """What the backend says first; None if the connection ends before that."""
        try:
            with socket.create_connection(self.at(zone), timeout=timeout, source_address=CLIENT) as caller:
                return caller.makefile().readline().strip() or None
        except (ConnectionResetError, ConnectionRefusedError, TimeoutError):
            return None

    def close(self):
        self.world.elb.delete_load_balancer(LoadBalancerArn=self.lb)
        self.world.elb.delete_target_group(TargetGroupArn=self.tg)


@pytest.fixture
def sites(world, nodes):
    made = []

    def make(**more):
        made.append(Site(world, **more))
        return made[-1]

    yield make
    for site in made:
        site.close()
    close(world, nodes)


def pod(port):
    return {"Id": POD, "Port": port}


def test_targets_must_let_the_load_balancers_addresses_in(world, backend, nodes, sites):
    site = sites(targets=[pod(backend)])
    site.until("unhealthy", "Target.FailedHealthChecks")
    open_to(world, nodes, backend, cidr="10.0.0.0/16")
    site.until("healthy")
    # The client's address is not preserved: the target sees the node.
    assert site.greeting() == site.at()[0]
    # Without cross-zone load balancing the node of zone b has no target.
    assert site.greeting("us-east-1b") is None
    world.elb.modify_load_balancer_attributes(LoadBalancerArn=site.lb, Attributes=[{"Key": "load_balancing.cross_zone.enabled", "Value": "true"}])
    assert site.greeting("us-east-1b") == site.at("us-east-1b")[0]
    site.set(load_balancing__cross_zone__enabled="false")
    assert site.greeting("us-east-1b") is None


@pytest.fixture
def closed(world):
    """The pod's interface in a security group of its own: in the nodes' one, all of 127.0.0.0/8 would be let in as the addresses of its members."""
    wanted = [{"Name": "addresses.private-ip-address", "Values": [POD]}]
    interface = world.ec2.describe_network_interfaces(Filters=wanted)["NetworkInterfaces"][0]
    group = world.group()
    world.ec2.modify_network_interface_attribute(NetworkInterfaceId=interface["NetworkInterfaceId"], Groups=[group])
    yield group
    before = [held["GroupId"] for held in interface["Groups"]]
    world.ec2.modify_network_interface_attribute(NetworkInterfaceId=interface["NetworkInterfaceId"], Groups=before)


def test_preserved_clients_need_rules_of_their_own(world, backend, closed, sites):
    site = sites(targets=[pod(backend)])
    open_to(world, closed, backend, cidr="10.0.0.0/16")
    site.until("healthy")
    site.set(preserve_client_ip__enabled="true")
    assert site.greeting() is None
    open_to(world, closed, backend, cidr="127.0.0.1/32")
    assert site.greeting() == "127.0.0.1"


def test_security_groups_of_the_load_balancer(world, backend, nodes, sites):
    group = world.group()
    site = sites(groups=[group], targets=[pod(backend)])
    site.set(preserve_client_ip__enabled="true")
    open_to(world, nodes, backend, source=group)
    # Health checks are subject to outbound rules, but not inbound rules.
    site.until("healthy")
    assert site.greeting() is None
    open_to(world, group, 80, cidr="0.0.0.0/0", protocol="udp")
    assert site.greeting() is None
    open_to(world, group, 80, cidr="0.0.0.0/0")
    assert site.greeting() == "127.0.0.1"
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    world.ec2.revoke_security_group_egress(GroupId=group, IpPermissions=everything)
    site.until("unhealthy", "Target.FailedHealthChecks")


def test_zones_without_healthy_targets_leave_dns(world, backend, nodes, sites):
    site = sites(targets=[pod(backend)])
    names = lambda: admin(f"dns?name={site.balancer['DNSName']}")[1]["addresses"]
    site.until("unhealthy", "Target.FailedHealthChecks")
    assert len(names()) == 2, "all zones are unhealthy, so all stay"
    open_to(world, nodes, backend, cidr="10.0.0.0/16")
    site.until("healthy")
    assert names() == [site.at()[0]]
    site.set(target_group_health__dns_failover__minimum_healthy_targets__count="off")
    assert len(names()) == 2


def test_datagrams(world, backend, closed, sites):
    site = sites(protocol="UDP", targets=[pod(backend)], HealthCheckPort=str(backend), port=5353)
    open_to(world, closed, backend, cidr="10.0.0.0/16")
    site.until("healthy")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
        caller.bind(CLIENT)
        caller.connect(site.at(transport="udp"))
        caller.settimeout(0.3)
        caller.send(b"lost")
        with pytest.raises(TimeoutError):
            caller.recv(99)
        # UDP always preserves the client's address, whose datagrams need a rule.
        open_to(world, closed, backend, cidr="127.0.0.1/32", protocol="udp")
        caller.settimeout(20)
        caller.send(b"hello")
        assert caller.recv(99) == b"127.0.0.1 hello"


def test_connections_end_with_the_deregistration_if_so_wanted(world, backend, nodes, sites):
    for wanted in ("false", "true"):
        site = sites(targets=[pod(backend)])
        if wanted == "false":
            open_to(world, nodes, backend, cidr="10.0.0.0/16")
        site.until("healthy")
        site.set(deregistration_delay__connection_termination__enabled=wanted, deregistration_delay__timeout_seconds="20")
        with socket.create_connection(site.at(), timeout=20) as caller:
            stream = caller.makefile("rw")
            stream.readline()
            world.elb.deregister_targets(TargetGroupArn=site.tg, Targets=[pod(backend)])
            assert site.greeting() is None, "no new connections"
            eventually(lambda: not world.health(site.tg), "deregistered")
            if wanted == "false":
                caller.sendall(b"still here\n")
                assert stream.readline() == "still here\n"
            else:
                with pytest.raises(ConnectionResetError):
                    assert caller.recv(9) != b"", "closed, and not reset"


# What the client offers, the ALPN policy, what is agreed.
POLICIES = [
    ("HTTP1Only", ["h2", "http/1.1"], "http/1.1"),
    ("HTTP1Only", ["http/1.0"], "http/1.0"),
    ("HTTP1Only", ["h2"], None),
    ("HTTP2Only", ["http/1.1", "h2"], "h2"),
    ("HTTP2Only", ["http/1.1"], None),
    ("HTTP2Optional", ["h2", "http/1.1"], "http/1.1"),
    ("HTTP2Optional", ["h2"], "h2"),
    ("HTTP2Preferred", ["http/1.1", "h2"], "h2"),
    ("HTTP2Preferred", ["http/1.1"], "http/1.1"),
    ("None", ["h2", "http/1.1"], None),
]


def test_tls_ends_at_the_load_balancer(world, backend, nodes, sites):
    pair = certificates.pair(f"{world.name()}.example.com")
    certificate = world.import_certificate(pair)
    listener = {"Protocol": "TLS", "Certificates": [{"CertificateArn": certificate}]}
    site = sites(targets=[pod(backend)], listener=listener)
    open_to(world, nodes, backend, cidr="10.0.0.0/16")
    site.until("healthy")
    for policy, offered, agreed in POLICIES:
        world.elb.modify_listener(ListenerArn=site.listener, AlpnPolicy=[policy])
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        trusting.set_alpn_protocols(offered)
        with socket.create_connection(site.at(), timeout=20) as plain, trusting.wrap_socket(plain) as caller:
            assert caller.selected_alpn_protocol() == agreed, (policy, offered)
            assert caller.recv(99).decode().strip() == site.at()[0]


def test_an_application_load_balancer_behind(world, sites):
    """Its security groups see the network load balancer's addresses in health checks, and the client's in connections."""
    group = world.group()
    front = world.balancer(SecurityGroups=[group])
    world.new_listener(80, FIXED, front)
    site = sites(TargetType="alb", Port=80, targets=[{"Id": front}], Matcher={"HttpCode": "404"})
    try:
        site.until("unhealthy", "Target.FailedHealthChecks")
        open_to(world, group, 80, cidr="10.0.0.0/16")
        site.until("healthy")
        assert site.greeting() is None
        open_to(world, group, 80, cidr="127.0.0.1/32")
        address, port = site.at()
        with pytest.raises(urllib.error.HTTPError) as answer:
            urllib.request.urlopen(f"http://{address}:{port}/", timeout=20)
        assert answer.value.code == 404
    finally:
        world.elb.deregister_targets(TargetGroupArn=site.tg, Targets=[{"Id": front}])
        eventually(lambda: not world.health(site.tg), "deregistered")
        world.elb.delete_load_balancer(LoadBalancerArn=front)


def test_a_deleted_load_balancer_resets_its_connections(world, backend, nodes, sites):
    site = sites(targets=[pod(backend)])
    open_to(world, nodes, backend, cidr="10.0.0.0/16")
    site.until("healthy")
    with socket.create_connection(site.at(), timeout=20) as caller:
        caller.makefile().readline()
        world.elb.delete_load_balancer(LoadBalancerArn=site.lb)
        with pytest.raises(ConnectionResetError):
            assert caller.recv(9) != b"", "closed, and not reset"
    assert not [row for row in admin("listeners")[1] if row["listener"] == site.listener]
