"""Logs of load balancers: what requests and connections leave in the bucket, field by field.

Sources: user guide of application load balancers, "Access logs", "Connection logs", "Health check logs"; of network load balancers, "Access logs".
"""

import datetime
import gzip
import re
import socket
import ssl
import threading

import pytest

import certificates
from backend import POD, Backend, guard, serving
from cloud import FIXED, VISIBILITY, admin, eventually, forward, path

TLS13 = "ELBSecurityPolicy-TLS13-1-2-2021-06"
CLIENT = ("127.0.0.1", 0)
ACCESS = (
    "type time elb client target request_time target_time response_time elb_status_code target_status_code received_bytes sent_bytes request user_agent "
    "ssl_cipher ssl_protocol target_group_arn trace_id domain_name chosen_cert_arn matched_rule_priority request_creation_time actions_executed "
    "redirect_url error_reason target_list target_status_code_list classification classification_reason conn_trace_id transformed_host transformed_uri "
    "request_transform_status ip_address"
).split()
CONNECTION = (
    "timestamp client_ip client_port listener_port tls_protocol tls_cipher tls_handshake_latency leaf_client_cert_subject leaf_client_cert_validity "
    "leaf_client_cert_serial_number tls_verify_status conn_trace_id tls_keyexchange elb ip_address"
).split()
HEALTH = "type time latency target_addr target_group_id status status_code reason_code elb ip_address".split()
NETWORK = (
    "type version time elb listener client destination connection_time tls_handshake_time received_bytes sent_bytes incoming_tls_alert chosen_cert_arn "
    "chosen_cert_serial tls_cipher tls_protocol_version tls_keyexchange domain_name alpn_fe_protocol alpn_be_protocol alpn_client_preference_list "
    "tls_connection_creation_time"
).split()
MICROSECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
TID = re.compile(r"TID_[0-9a-f]{32}")
MILLISECONDS = re.compile(r"\d+\.\d{3}")


# Requests that the backend does not answer soon.
HANGING = []
# Objects that were read, by bucket and key: they do not change.
READ = {}


class Echo(Backend):
    """Answers with what it was sent."""

    def answer(self, body):
        if self.path == "/app/hang":
            HANGING.append(self.path)
            threading.Event().wait(2)
        return 503 if self.path == "/health/bad" else 201, body or b"hello"


@pytest.fixture(scope="module")
def backend():
    with serving(Echo) as port:
        yield port


@pytest.fixture(scope="module")
def open_pods(world, backend):
    """Lets everybody in the VPC connect to the backend."""
    group = guard(world)
    rule = [{"IpProtocol": "tcp", "FromPort": backend, "ToPort": backend, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    world.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=rule)
    yield
    world.ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=rule)


def entries(world, bucket, prefix, names):
    """The entries of a log so far: delivers what waits, and reads all objects."""
    status, _ = admin("logs", "POST")
    assert status == 200
    keys = [listed["Key"] for page in world.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix) for listed in page.get("Contents", [])]
    found = []
    for key in [key for key in keys if key.endswith(".log.gz")]:
        if (bucket, key) not in READ:
            READ[bucket, key] = gzip.decompress(world.s3.get_object(Bucket=bucket, Key=key)["Body"].read()).decode()
        assert READ[bucket, key].endswith("\n")
        for line in READ[bucket, key].splitlines():
            fields = fields_of(line)
            assert len(fields) == len(names), line
            found.append(dict(zip(names, fields), key=key, line=line))
    return found


def fields_of(line):
    """Fields, delimited by spaces, of which some stand in double quotes."""
    found = re.findall(r'"[^"]*"(?:,"[^"]*")*|[^ ]+', line)
    return [field[1:-1] if field.startswith('"') and '","' not in field else field for field in found]


def switch(world, lb, log, bucket, prefix="", enabled="true"):
    values = {"enabled": enabled, "bucket": bucket, "prefix": prefix}
    attributes = [{"Key": f"{log}.s3.{key}", "Value": value} for key, value in values.items()]
    world.elb.modify_load_balancer_attributes(LoadBalancerArn=lb, Attributes=attributes)


class Site:
    """An application load balancer that keeps all its logs."""

    def __init__(self, world, backend):
        self.world, self.port = world, backend
        self.bucket = world.log_bucket()
        self.group = world.group()
        everybody = [{"IpProtocol": "tcp", "FromPort": 1, "ToPort": 65535, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
        world.ec2.authorize_security_group_ingress(GroupId=self.group, IpPermissions=everybody)
        self.balancer = world.create_balancer(SecurityGroups=[self.group])
        self.lb = self.balancer["LoadBalancerArn"]
        self.id = self.lb.split("loadbalancer/")[1]
        self.tg = world.create_group(Port=backend, HealthCheckIntervalSeconds=5, HealthCheckTimeoutSeconds=2, Matcher={"HttpCode": "201"})
        self.tg_arn = self.tg["TargetGroupArn"]
        self.http = world.new_listener(80, FIXED, self.lb)
        world.elb.register_targets(TargetGroupArn=self.tg_arn, Targets=[{"Id": POD}])
        self.certificate = world.import_certificate(certificates.pair("*.logs.example", common=f"{world.name()}.logs.example"))
        self.default = world.import_certificate()
        self.https = world.https(self.default, port=443, actions=forward(self.tg_arn), balancer=self.lb, SslPolicy=TLS13)["ListenerArn"]
        world.elb.add_listener_certificates(ListenerArn=self.https, Certificates=[{"CertificateArn": self.certificate}])
        rule = lambda priority, value, actions, **more: world.new_rule(priority, listener=self.http, conditions=path(value), actions=actions, **more)
        rule(1, "/app*", forward(self.tg_arn))
        rule(2, "/gone", forward(world.new_group()))
        redirect = {"Protocol": "HTTPS", "Port": "443", "Host": "elsewhere.example", "StatusCode": "HTTP_301"}
        rule(3, "/away", [{"Type": "redirect", "RedirectConfig": redirect}])
        rewrite = lambda pattern, to: {"Rewrites": [{"Regex": pattern, "Replace": to}]}
        rule(4, "/old*", forward(self.tg_arn), Transforms=[
            {"Type": "url-rewrite", "UrlRewriteConfig": rewrite("^/old", "/new")}, {"Type": "host-header-rewrite", "HostHeaderRewriteConfig": rewrite("^.*$", "inside.example")}])
        rule(5, "/broken", forward(self.tg_arn), Transforms=[{"Type": "url-rewrite", "UrlRewriteConfig": rewrite("^/", "no-slash")}])
        eventually(lambda: world.health(self.tg_arn)[(POD, backend)]["State"] == "healthy", "the backend is healthy")
        switch(world, self.lb, "access_logs", self.bucket, "a/b")
        switch(world, self.lb, "connection_logs", self.bucket, "c")

    def at(self, listener):
        row = next(row for row in admin("listeners")[1] if row["listener"] == listener)
        return row["address"], row["bound"]

    def connect(self, listener, name=None, protocols=(), **more):
        stream = socket.create_connection(self.at(listener), timeout=20, source_address=CLIENT)
        if listener != self.https:
            return stream
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if protocols:
            context.set_alpn_protocols(list(protocols))
        for key, value in more.items():
            setattr(context, key, value)
        return context.wrap_socket(stream, server_hostname=name)

    def exchange(self, request, listener=None, **more):
        """Sends bytes on a new connection and reads to its end: the client's port, and the response."""
        with self.connect(listener or self.http, **more) as stream:
            port = stream.getsockname()[1]
            stream.sendall(request)
            return port, stream.makefile("rb").read()

    def entry(self, port, prefix="a/b/", names=ACCESS, field="client"):
        """The one entry of the connection from this port."""
        mine = lambda: [e for e in entries(self.world, self.bucket, prefix, names) if e[field].endswith(str(port))]
        found = eventually(mine, f"an entry of port {port}")
        assert len(found) == 1, found
        return found[0]

    def logged(self, request, listener=None, **more):
        port, response = self.exchange(request, listener, **more)
        entry = self.entry(port)
        assert entry["client"] == f"127.0.0.1:{port}"
        assert (entry["elb"], entry["ip_address"]) == (self.id, self.at(self.http)[0])
        assert TID.fullmatch(entry["conn_trace_id"]), entry
        if entry["elb_status_code"] != "460":
            assert int(entry["sent_bytes"]) == len(response), (entry, response)
        if entry["request"].startswith("-"):
            assert entry["received_bytes"] == "0"
        else:
            assert int(entry["received_bytes"]) == len(request), entry
        for moment in ("time", "request_creation_time"):
            assert MICROSECONDS.fullmatch(entry[moment]), entry
        assert entry["request_creation_time"].endswith("000Z") and entry["request_creation_time"] <= entry["time"]
        return entry, response


@pytest.fixture(scope="module")
def site(world, backend, open_pods):
    made = Site(world, backend)
    yield made
    for log in ("access_logs", "connection_logs", "health_check_logs"):
        switch(world, made.lb, log, made.bucket, enabled="false")
    admin("logs", "POST")


def get(where, *headers, host="www.logs.example", version="HTTP/1.1"):
    return "\r\n".join([f"GET {where} {version}", f"Host: {host}", "Connection: close", *headers, "", ""]).encode()


def is_like(entry, **expected):
    different = {name: (entry[name], value) for name, value in expected.items() if entry[name] != value}
    assert not different, (different, entry["line"])


NOTHING = dict.fromkeys(["redirect_url", "error_reason", "classification", "classification_reason", "transformed_host", "transformed_uri", "request_transform_status"], "-")
NO_TARGET = dict.fromkeys(["target", "target_status_code", "target_list", "target_status_code_list"], "-") | dict.fromkeys(["request_time", "target_time", "response_time"], "-1")
NO_TLS = dict.fromkeys(["ssl_cipher", "ssl_protocol", "domain_name", "chosen_cert_arn"], "-")


def test_a_request_that_is_forwarded(site):
    entry, _ = site.logged(get("/app/x?y=1", 'User-Agent: test "1"', "X-Amzn-Trace-Id: Root=1-67891233-abcdef012345678912345678"))
    target = f"{POD}:{site.port}"
    assert re.fullmatch(r"Self=1-[0-9a-f]{8}-[0-9a-f]{24};Root=1-67891233-abcdef012345678912345678", entry["trace_id"])
    for time in ("request_time", "target_time", "response_time"):
        assert MILLISECONDS.fullmatch(entry[time]), entry
    is_like(
        entry, type="http", target=target, elb_status_code="201", target_status_code="201", request="GET http://www.logs.example:80/app/x?y=1 HTTP/1.1",
        user_agent=r"test \x221\x22", target_group_arn=site.tg_arn, matched_rule_priority="1", actions_executed="forward", target_list=target,
        target_status_code_list="201", **NOTHING, **NO_TLS,
    )


def test_a_body_counts(site):
    body = b"x" * 100_000
    head = f"POST /app HTTP/1.0\r\nHost: www.logs.example:80\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    entry, response = site.logged(head + body)
    assert len(response) > len(body)
    is_like(entry, request="POST http://www.logs.example:80/app HTTP/1.0", user_agent="-", elb_status_code="201")
    assert re.fullmatch(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24}", entry["trace_id"])


def test_a_fixed_response(site):
    entry, _ = site.logged(get("/other"))
    is_like(entry, elb_status_code="404", matched_rule_priority="0", actions_executed="fixed-response", target_group_arn="-", **NO_TARGET, **NOTHING)
    assert re.fullmatch(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24}", entry["trace_id"])


def test_a_redirect(site):
    entry, _ = site.logged(get("/away?a=b"))
    is_like(
        entry, elb_status_code="301", matched_rule_priority="3", actions_executed="redirect", target_group_arn="-",
        **(NOTHING | {"redirect_url": "https://elsewhere.example:443/away?a=b"}), **NO_TARGET,
    )


def test_a_group_without_targets(site):
    entry, _ = site.logged(get("/gone"))
    is_like(entry, elb_status_code="503", matched_rule_priority="2", actions_executed="forward", **NO_TARGET, **NOTHING)
    assert entry["target_group_arn"].startswith("arn:aws:elasticloadbalancing:")


def test_transforms(site):
    entry, _ = site.logged(get("/old/1?x"))
    changed = {"transformed_host": "inside.example", "transformed_uri": "/new/1?x", "request_transform_status": "TransformSuccess"}
    is_like(entry, request="GET http://www.logs.example:80/old/1?x HTTP/1.1", elb_status_code="201", **(NOTHING | changed))
    entry, _ = site.logged(get("/broken"))
    failed = {"request_transform_status": "TransformInvalidPath"}
    is_like(entry, elb_status_code="500", matched_rule_priority="5", actions_executed="-", **(NOTHING | failed), **NO_TARGET)


def test_requests_that_are_not_compliant(site):
    entry, _ = site.logged(get("/app", "Content-Length: 0"))
    is_like(entry, elb_status_code="201", classification="Acceptable", classification_reason="GetHeadZeroContentLength")
    request = f"- http://{site.balancer['DNSName']}:80- -"
    entry, response = site.logged(b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n")
    assert response.startswith(b"HTTP/1.1 400")
    no_rule = {"matched_rule_priority": "-", "actions_executed": "-", "target_group_arn": "-"}
    is_like(entry, elb_status_code="400", request=request, trace_id="-", user_agent="-", classification="Severe", classification_reason="MultipleContentLength", **no_rule, **NO_TARGET)
    entry, _ = site.logged(b"TRACE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    is_like(entry, elb_status_code="405", request="TRACE http://a:80/ HTTP/1.1", **no_rule, **NO_TARGET, **NOTHING)


def test_a_client_that_does_not_wait(site):
    with site.connect(site.http) as stream:
        port = stream.getsockname()[1]
        stream.sendall(get("/app/hang"))
        eventually(lambda: HANGING, "the backend has the request")
    entry = site.entry(port)
    is_like(entry, elb_status_code="460", target=f"{POD}:{site.port}", target_status_code="-", target_time="-1", response_time="-1", sent_bytes="0", actions_executed="forward")
    assert MILLISECONDS.fullmatch(entry["request_time"])


def test_requests_on_one_connection(site):
    """Each has an entry; its connection has one."""
    with site.connect(site.http) as stream:
        port = stream.getsockname()[1]
        for _ in range(3):
            stream.sendall(get("/other").replace(b"close", b"keep-alive"))
            answer = b""
            while not answer.endswith(b"</html>\r\n") and not answer.endswith(b"\r\n\r\n"):
                answer += stream.recv(4096)
    mine = lambda: [e for e in entries(site.world, site.bucket, "a/b/", ACCESS) if e["client"].endswith(f":{port}")]
    found = eventually(lambda: (lambda all: all if len(all) == 3 else None)(mine()), "three entries")
    assert len({e["conn_trace_id"] for e in found}) == 1 and len({e["sent_bytes"] for e in found}) == 1
    connection = site.entry(port, "c/", CONNECTION, "client_port")
    assert connection["conn_trace_id"] == found[0]["conn_trace_id"]
    nothing = dict.fromkeys(["tls_protocol", "tls_cipher", "tls_handshake_latency", "leaf_client_cert_subject", "leaf_client_cert_validity", "leaf_client_cert_serial_number", "tls_verify_status", "tls_keyexchange"], "-")
    is_like(connection, client_ip="127.0.0.1", client_port=str(port), listener_port="80", elb=site.id, ip_address=site.at(site.http)[0], **nothing)
    assert '"-"' in connection["line"] and MICROSECONDS.fullmatch(connection["timestamp"])


def test_https(site):
    entry, _ = site.logged(get("/x"), site.https, name="www.logs.example")
    is_like(
        entry, type="https", request="GET https://www.logs.example:443/x HTTP/1.1", ssl_protocol="TLSv1.3", domain_name="www.logs.example", chosen_cert_arn=site.certificate,
        elb_status_code="201", matched_rule_priority="0", **NOTHING,
    )
    assert entry["ssl_cipher"].startswith("TLS_AES_")
    connection = site.entry(entry["client"].split(":")[1], "c/", CONNECTION, "client_port")
    is_like(connection, listener_port="443", tls_protocol="TLSv1.3", tls_cipher=entry["ssl_cipher"], tls_verify_status="Success", conn_trace_id=entry["conn_trace_id"])
    assert MILLISECONDS.fullmatch(connection["tls_handshake_latency"]) and connection["tls_keyexchange"] not in ("", "-")
    entry, _ = site.logged(get("/x"), site.https, name="unknown.example", maximum_version=ssl.TLSVersion.TLSv1_2)
    is_like(entry, ssl_protocol="TLSv1.2", domain_name="-", chosen_cert_arn=site.default)


def test_a_handshake_that_fails(site):
    with socket.create_connection(site.at(site.https), timeout=20, source_address=CLIENT) as stream:
        port = stream.getsockname()[1]
        stream.sendall(b"GET / HTTP/1.1\r\n\r\n")
        stream.makefile("rb").read()
    connection = site.entry(port, "c/", CONNECTION, "client_port")
    is_like(connection, tls_protocol="-", tls_cipher="-", tls_handshake_latency="-", tls_verify_status="Failed:UnmappedConnectionError", tls_keyexchange="-")


def test_a_websocket(site):
    """One entry, when the connection is closed, with all its bytes."""
    listener = socket.create_server((POD, 0))

    def serve():
        stream, _ = listener.accept()
        with stream:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += stream.recv(4096)
            stream.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + b"w" * 1000)
            stream.recv(5000, socket.MSG_WAITALL)

    threading.Thread(target=serve, daemon=True).start()
    port = listener.getsockname()[1]
    group = site.world.new_group(Port=port, HealthCheckPort=str(site.port), Matcher={"HttpCode": "201"}, HealthCheckIntervalSeconds=5, HealthCheckTimeoutSeconds=2)
    pods = guard(site.world)
    rule = [{"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    site.world.ec2.authorize_security_group_ingress(GroupId=pods, IpPermissions=rule)
    try:
        site.world.elb.register_targets(TargetGroupArn=group, Targets=[{"Id": POD}])
        site.world.new_rule(9, listener=site.http, conditions=path("/ws"), actions=forward(group))
        eventually(lambda: site.world.health(group)[(POD, port)]["State"] == "healthy", "the WebSocket server is healthy")
        request = get("/ws", "Upgrade: websocket").replace(b"Connection: close", b"Connection: Upgrade")
        with site.connect(site.http) as stream:
            mine = stream.getsockname()[1]
            stream.sendall(request)
            received = b""
            while not received.endswith(b"w" * 1000):
                received += stream.recv(4096)
            assert not [e for e in entries(site.world, site.bucket, "a/b/", ACCESS) if e["client"].endswith(f":{mine}")]
            stream.sendall(b"c" * 5000)
            received += stream.makefile("rb").read()
        entry = site.entry(mine)
        is_like(entry, type="ws", elb_status_code="101", target_status_code="101", received_bytes=str(len(request) + 5000), sent_bytes=str(len(received)), actions_executed="forward")
    finally:
        site.world.ec2.revoke_security_group_ingress(GroupId=pods, IpPermissions=rule)
        listener.close()


def test_a_web_acl(site):
    acl = site.world.web_acl("Block", VisibilityConfig=VISIBILITY)
    site.world.waf.associate_web_acl(WebACLArn=acl["ARN"], ResourceArn=site.lb)
    try:
        entry, _ = site.logged(get("/app"))
        is_like(entry, elb_status_code="403", actions_executed="waf", **NO_TARGET)
    finally:
        site.world.waf.disassociate_web_acl(ResourceArn=site.lb)
    acl = site.world.web_acl("Allow")
    site.world.waf.associate_web_acl(WebACLArn=acl["ARN"], ResourceArn=site.lb)
    try:
        is_like(site.logged(get("/app"))[0], elb_status_code="201", actions_executed="waf,forward")
    finally:
        site.world.waf.disassociate_web_acl(ResourceArn=site.lb)


def test_names_of_files(site):
    entry, _ = site.logged(get("/other"))
    account, name = "000000000000", site.id.replace("/", ".")
    key = re.fullmatch(
        rf"a/b/AWSLogs/{account}/elasticloadbalancing/us-east-1/(\d{{4}}/\d\d/\d\d)/{account}_elasticloadbalancing_us-east-1_{name}_(\d{{8}}T\d{{4}})Z_([\d.]+)_[0-9a-z]{{8}}\.log\.gz",
        entry["key"],
    )
    assert key and key[3] == entry["ip_address"]
    end = datetime.datetime.strptime(key[2], "%Y%m%dT%H%M")
    assert abs(end - datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)) < datetime.timedelta(minutes=2)
    connection = site.entry(entry["client"].split(":")[1], "c/", CONNECTION, "client_port")
    assert re.search(rf"^c/AWSLogs/{account}/elasticloadbalancing/us-east-1/\d{{4}}/\d\d/\d\d/conn_log_{account}_elasticloadbalancing_us-east-1_{name}_", connection["key"])


def test_they_come_by_themselves(site):
    """At the end of an interval, without a call of the admin API."""
    listed = lambda: site.world.s3.list_objects_v2(Bucket=site.bucket, Prefix="a/b/").get("Contents", [])
    before = {o["Key"] for o in listed()}
    port, _ = site.exchange(get("/other"))
    eventually(lambda: {o["Key"] for o in listed()} - before, "a new object")
    assert admin("logs")[1]["dropped_entries"] == 0


def test_entries_go_where_the_attributes_said_at_their_time(site):
    """A change of the bucket takes no entry along, and loses none."""
    elsewhere = site.world.log_bucket()
    first, _ = site.exchange(get("/other"))
    switch(site.world, site.lb, "access_logs", elsewhere)
    try:
        second, _ = site.exchange(get("/other"))
        found = eventually(lambda: [e for e in entries(site.world, elsewhere, "", ACCESS)], "an entry elsewhere")
        assert [e["client"] for e in found] == [f"127.0.0.1:{second}"]
        assert site.entry(first)["client"] == f"127.0.0.1:{first}"
        switch(site.world, site.lb, "access_logs", elsewhere, enabled="false")
        site.exchange(get("/other"))
        assert len(entries(site.world, elsewhere, "", ACCESS)) == 1
    finally:
        switch(site.world, site.lb, "access_logs", site.bucket, "a/b")


def test_health_checks(site):
    switch(site.world, site.lb, "health_check_logs", site.bucket, "h")
    name = site.tg["TargetGroupName"]
    seen = lambda status: [e for e in entries(site.world, site.bucket, "h/", HEALTH) if (e["status"], e["target_group_id"]) == (status, name)]
    passed = eventually(lambda: seen("PASS"), "a health check")[0]
    is_like(passed, type="http", target_addr=f"{POD}:{site.port}", status_code="201", reason_code="-", elb=site.id, ip_address=site.at(site.http)[0])
    assert MICROSECONDS.fullmatch(passed["time"]) and re.fullmatch(r"\d+\.\d{9}", passed["latency"])
    assert "/health_check_log_000000000000_elasticloadbalancing_" in passed["key"]
    site.world.elb.modify_target_group(TargetGroupArn=site.tg_arn, HealthCheckPath="/health/bad")
    try:
        is_like(eventually(lambda: seen("FAIL"), "a health check that fails")[0], status_code="503", reason_code="TargetError")
        site.world.elb.modify_target_group(TargetGroupArn=site.tg_arn, HealthCheckPath="/", Matcher={"HttpCode": "200"})
        mismatch = lambda: [e for e in seen("FAIL") if e["reason_code"] == "ResponseCodeMismatch"]
        is_like(eventually(mismatch, "a health check with another code")[0], status_code="201")
    finally:
        site.world.elb.modify_target_group(TargetGroupArn=site.tg_arn, HealthCheckPath="/", Matcher={"HttpCode": "201"})
        switch(site.world, site.lb, "health_check_logs", site.bucket, "h", enabled="false")


def client_context(pair, tmp_path):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if pair:
        (tmp_path / "pair.pem").write_bytes(pair.key_pem + pair.pem)
        context.load_cert_chain(tmp_path / "pair.pem")
    return context


def test_mutual_tls(site, tmp_path):
    """Clients that are refused get no response: the connection log is all that tells why."""
    root = certificates.pair(authority=True, common="Root")
    store = site.world.trust_store(root.pem)
    eventually(lambda: site.world.elb.describe_trust_stores(TrustStoreArns=[store])["TrustStores"][0]["Status"] == "ACTIVE", "an active trust store")
    verify = {"Mode": "verify", "TrustStoreArn": store}
    listener = site.world.https(site.default, port=8443, actions=FIXED, balancer=site.lb, MutualAuthentication=verify, SslPolicy=TLS13)["ListenerArn"]
    day = certificates.DAY
    rows = [
        (certificates.pair("good.example", signer=root, purposes=certificates.SERVER_AND_CLIENT), "Success"),
        (certificates.pair("stranger.example"), "Failed:ClientCertUntrusted"),
        (certificates.pair("old.example", signer=root, purposes=certificates.SERVER_AND_CLIENT, begin=-2 * day, end=-day), "Failed:ClientCertExpired"),
        (certificates.pair("early.example", signer=root, purposes=certificates.SERVER_AND_CLIENT, begin=day, end=2 * day), "Failed:ClientCertNotYetValid"),
        (None, "Failed:UnmappedConnectionError"),
    ]
    for pair, status in rows:
        with socket.create_connection(site.at(listener), timeout=20, source_address=CLIENT) as raw:
            port = raw.getsockname()[1]
            try:
                with client_context(pair, tmp_path).wrap_socket(raw) as stream:
                    stream.sendall(get("/"))
                    stream.makefile("rb").read()
            except OSError:
                pass
        entry = site.entry(port, "c/", CONNECTION, "client_port")
        is_like(entry, listener_port="8443", tls_verify_status=status, tls_protocol="TLSv1.3")
        assert (entry["tls_handshake_latency"] != "-") == (status == "Success")
        if pair:
            held = pair.certificate
            when = lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%SZ")
            subject = f"CN={held.subject.rfc4514_string().split('CN=')[1].split(',')[0]},O=Test"
            validity = f"NotBefore={when(held.not_valid_before_utc)};NotAfter={when(held.not_valid_after_utc)}"
            is_like(entry, leaf_client_cert_subject=subject, leaf_client_cert_validity=validity)
            assert int(entry["leaf_client_cert_serial_number"], 16) == held.serial_number
        else:
            is_like(entry, leaf_client_cert_subject="-", leaf_client_cert_validity="-", leaf_client_cert_serial_number="-")
    site.world.elb.delete_listener(ListenerArn=listener)


def test_network_load_balancers_log_tls(world, backend, open_pods):
    bucket = world.log_bucket(Principal={"Service": "delivery.logs.amazonaws.com"})
    lb = world.create_balancer(Type="network", SecurityGroups=None)
    arn = lb["LoadBalancerArn"]
    switch(world, arn, "access_logs", bucket, "nlb")
    tg = world.new_group(Protocol="TCP", Port=backend, HealthCheckIntervalSeconds=10)
    world.elb.register_targets(TargetGroupArn=tg, Targets=[{"Id": POD}])
    certificate = world.import_certificate(certificates.pair("nlb.logs.example", common=f"{world.name()}.logs.example"))
    tls = world.create_listener(443, forward(tg), arn, Protocol="TLS", SslPolicy=TLS13, Certificates=[{"CertificateArn": certificate}], AlpnPolicy=["HTTP2Preferred"])
    tcp = world.create_listener(80, forward(tg), arn, Protocol="TCP")
    eventually(lambda: list(world.health(tg).values())[0]["State"] == "healthy", "the backend is healthy")
    node = admin(f"dns?name=us-east-1a.{lb['DNSName']}")[1]["addresses"][0]
    rows = {row["listener"]: (node, row["bound"]) for row in admin("listeners")[1] if row["address"] == node}

    request = get("/x")
    with socket.create_connection(rows[tcp["ListenerArn"]], timeout=20, source_address=CLIENT) as stream:
        stream.sendall(request)
        assert stream.makefile("rb").read()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1", "x y"])
    with context.wrap_socket(socket.create_connection(rows[tls["ListenerArn"]], timeout=20, source_address=CLIENT), server_hostname="nlb.logs.example") as stream:
        good = stream.getsockname()[1]
        stream.sendall(request)
        response = stream.makefile("rb").read()
    strict = ssl.create_default_context()
    with socket.create_connection(rows[tls["ListenerArn"]], timeout=20, source_address=CLIENT) as stream, pytest.raises(ssl.SSLError):
        bad = stream.getsockname()[1]
        strict.wrap_socket(stream, server_hostname="nlb.logs.example")

    found = eventually(lambda: (lambda all: all if len(all) == 2 else None)(entries(world, bucket, "nlb/", NETWORK)), "two entries, and none of the TCP listener")
    by_port = {int(e["client"].split(":")[1]): e for e in found}
    entry = by_port[good]
    address = rows[tls["ListenerArn"]][0]
    is_like(
        entry, type="tls", version="2.0", elb=arn.split("loadbalancer/")[1], listener=tls["ListenerArn"].split("/")[-1], client=f"127.0.0.1:{good}", destination=f"{address}:443",
        received_bytes=str(len(request)), sent_bytes=str(len(response)), incoming_tls_alert="-", chosen_cert_arn=certificate, chosen_cert_serial="-", tls_protocol_version="tlsv13",
        domain_name="nlb.logs.example", alpn_fe_protocol="http/1.1", alpn_be_protocol="-", alpn_client_preference_list='"http/1.1","x%20y"',
    )
    assert entry["tls_cipher"].startswith("TLS_") and entry["tls_keyexchange"] != "-"
    assert int(entry["connection_time"]) >= int(entry["tls_handshake_time"]) >= 0
    seconds = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
    assert seconds.fullmatch(entry["time"]) and seconds.fullmatch(entry["tls_connection_creation_time"]) and entry["tls_connection_creation_time"] <= entry["time"]
    name = arn.split("loadbalancer/")[1].replace("/", ".")
    assert re.fullmatch(
        rf"nlb/AWSLogs/000000000000/elasticloadbalancing/us-east-1/\d{{4}}/\d\d/\d\d/000000000000_elasticloadbalancing_us-east-1_{name}_\d{{8}}T\d{{4}}Z_[0-9a-z]{{8}}\.log\.gz", entry["key"])
    entry = by_port[bad]
    # The client does not know the authority.
    is_like(entry, incoming_tls_alert="48", tls_handshake_time="-", tls_cipher="-", tls_protocol_version="-", tls_keyexchange="-", chosen_cert_arn=certificate, received_bytes="0")
    switch(world, arn, "access_logs", bucket, "nlb", enabled="false")
