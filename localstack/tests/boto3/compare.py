"""This cloud beside moto, or another emulator, in one run: the rows of the boto3 tests, and how many calls per second each carries out.

    python compare.py --cloud target/release/examples/cloud [--only rows | --only churn] [--beside http://127.0.0.1:4567]

Prints each row that the other gets wrong, with what it answers, then tables. Fails if this cloud gets any row wrong, or is not ten times as fast.
"""

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Files that say nothing of what AWS answers: about this cloud's admin API, about traffic (which emulators do not carry), and about members that this cloud leaves out.
OWN_FILES = {"test_admin", "test_traffic", "test_network_traffic", "test_walk"}
FILES = sorted(path.stem for path in HERE.glob("test_*.py") if path.stem not in OWN_FILES)
# Rows that say nothing about AWS: what this cloud's own network is, what it leaves out, and what AWS does not document.
OWN = re.compile(
    r"the VPC holds what pods need|three zones|subnets by wildcard|the nodes|a pod's interface|a node's interface gets a group|groups by tag"
    r"|that is not there\]|that is to come|not served|lenient|draining|there_are_36|both_states"
)
# Rules, load balancers that have them, and seconds that anything may take.
RULES, BALANCERS, PATIENCE = 1000, 10, 60
PROMISE = 10


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """An emulator that runs while this is open."""

    def __init__(self, name, argv, folder, environment=None):
        self.name, self.port = name, free_port()
        self.log = open(folder / f"{name}.log", "w")
        argv = [str(argument).replace("PORT", str(self.port)) for argument in argv]
        self.process = subprocess.Popen(argv, stdout=self.log, stderr=subprocess.STDOUT, env=os.environ | (environment or {}))
        end = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f"{name} does not start; see {self.log.name}") from None
                time.sleep(0.05)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def reset(self):
        """Begins anew, so that what one row did to another's things is nobody's fault."""
        path = "_cloud/reset?what=all" if self.name == "portico" else "moto-api/reset"
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/{path}", data=b"", method="POST"), timeout=60).read()

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


class Running:
    """An emulator that somebody else has started."""

    def __init__(self, url):
        self.name, self.url = urllib.parse.urlsplit(url).netloc, url.rstrip("/")
        self.port = urllib.parse.urlsplit(url).port or 80

    def reset(self):
        pass

    def close(self):
        pass


def rows(server, folder):
    """What comes of each row, by its name."""
    results = folder / f"{server.name.replace(':', '-')}.jsonl"
    environment = os.environ | {
        "AWS_ENDPOINT_URL": server.url, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
        "PORTICO_ROW_RESULTS": str(results), "PYTHONDONTWRITEBYTECODE": "1",
    }
    if server.name != "portico":
        environment["PORTICO_FOREIGN_CLOUD"] = "1"
    for file in FILES:
        server.reset()
        argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", str(HERE / f"{file}.py")]
        with open(results.with_name(f"{results.stem}-{file}.log"), "w") as log:
            subprocess.run(argv, env=environment, stdout=log, stderr=subprocess.STDOUT, timeout=900, check=False)
    found = {}
    for line in results.read_text().splitlines():
        row = json.loads(line)
        name = row["row"].rsplit("/", 1)[-1]
        if name not in found or row["outcome"] == "failed":
            found[name] = row
    return found


def compare(servers, folder):
    """Prints what the other gets wrong; whether this cloud gets everything right."""
    found, other = {}, servers[1].name
    threads = [threading.Thread(target=lambda s=server: found.update({s.name: rows(s, folder)})) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ours, theirs = found["portico"], found[other]
    of_aws = [name for name in ours if not OWN.search(name) and not OWN.search(ours[name]["what"] + theirs.get(name, {"what": ""})["what"])]
    # Where not even the network for the rows could be made, they were not asked.
    unasked = [name for name in of_aws if name in theirs and theirs[name]["outcome"] == "failed" and theirs[name]["when"] == "setup"]
    asked = [name for name in of_aws if name in theirs and name not in unasked]
    compared = [name for name in asked if theirs[name]["outcome"] != "skipped" and ours[name]["outcome"] != "skipped"]
    failed = [name for name, row in ours.items() if row["outcome"] == "failed"]
    wrong, words = set(), set()
    for name in compared:
        if theirs[name]["outcome"] == "failed":
            (words if "other words:" in theirs[name]["what"] else wrong).add(name)
    for title, sign, names in ((f"What {other} {moto_version() if other == 'moto' else ''} answers otherwise than AWS does:", "✗", wrong), ("The right error in other words:", "~", words)):
        print(title)
        for file in FILES:
            there = [name for name in compared if name in names and name.startswith(f"{file}.py")]
            if there:
                print(f"  {title_of(file)}")
            for name in there:
                print(f"    {sign} {row_of(name)}: {flat(theirs[name]['what'])}")
    for name in failed:
        print(f"portico ✗ {name}: {ours[name]['what'][:300]}")
    print()
    lines = [("rows about", "rows", "compared", "portico", other, "in other words")]
    for file in FILES:
        here = lambda names: [name for name in names if name.startswith(f"{file}.py")]
        lines.append((title_of(file), *counted(here(ours), here(compared), failed, wrong, words)))
    lines.append(("all", *counted(ours, compared, failed, wrong, words)))
    table(lines)
    negative = sum(1 for line in table_rows() if "Fails(" in line)
    print(f"\n{negative} rows are negative: a call that AWS refuses, and its code. Not compared are rows that need this cloud's own network or admin API,")
    print("or that AWS does not document. Right in other words: the right code with another message.")
    if unasked:
        print(f"{len(unasked)} rows could not be asked: {other} failed before them: {flat(theirs[unasked[0]]['what'])}")
    return not failed


def counted(all_of_them, compared, failed, wrong, words):
    right = len(compared) - len([name for name in compared if name in failed])
    return len(all_of_them), len(compared), right, len([n for n in compared if n not in wrong]), len([n for n in compared if n in words])


def title_of(file):
    return file.removeprefix("test_").replace("_", " ")


def row_of(name):
    """The name of a row as its table has it."""
    found = re.search(r"\[(.*)\]$", name)
    return found.group(1) if found else name.split("::")[-1].removeprefix("test_").replace("_", " ")


def table(lines):
    """Prints lines of cells in columns: words to the left, numbers to the right."""
    widths = [max(len(str(line[at])) for line in lines) for at in range(len(lines[0]))]
    for line in lines:
        first, *others = (str(cell) for cell in line)
        print("  " + first.ljust(widths[0]) + "".join("  " + cell.rjust(width) for cell, width in zip(others, widths[1:])))


def flat(text):
    return " ".join(text.split())[:200]


def table_rows():
    for file in FILES:
        yield from (line for line in (HERE / f"{file}.py").read_text().splitlines() if re.match(r'    \("', line))


def moto_version():
    from importlib.metadata import version

    return version("moto")


def form(action, **parameters):
    """A call of ELBv2 as bytes."""
    return urllib.parse.urlencode({"Action": action, "Version": "2015-12-01"} | parameters).encode()


class Raw:
    """A client that sends bytes and reads bytes, so that nothing but the server is measured."""

    def __init__(self, server):
        self.server, self.socket = server, None

    def call(self, action, **parameters):
        return self.send(form(action, **parameters), "elasticloadbalancing")

    def ec2(self, action, **parameters):
        return self.send(urllib.parse.urlencode({"Action": action, "Version": "2016-11-15"} | parameters).encode(), "ec2")

    def send(self, body, service):
        self.begin(body, service)
        return self.end()

    def begin(self, body, service="elasticloadbalancing"):
        """Sends a call and does not wait for its answer."""
        self.body = body
        if self.socket is None:
            self.socket = socket.create_connection(("127.0.0.1", self.server.port), PATIENCE)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.file = self.socket.makefile("rb")
        scope = f"AKID/20260101/us-east-1/{service}/aws4_request"
        self.socket.sendall(
            f"POST / HTTP/1.1\r\nHost: {service}.us-east-1.amazonaws.com\r\nX-Amz-Date: 20260101T000000Z\r\n"
            f"Authorization: AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=00\r\n"
            f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        )

    def close(self):
        if self.socket is not None:
            self.socket.close()

    def end(self):
        """The answer to what was sent."""
        body = self.body
        status, length, keep = self.file.readline(), 0, True
        while (line := self.file.readline().strip()):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
            keep = keep and not (name.lower() == b"connection" and b"close" in value.lower())
        text = self.file.read(length).decode()
        if not keep:
            self.socket.close()
            self.socket = None
        if b" 200 " not in status:
            raise SystemExit(f"{self.server.name}: {body[:200]!r} was answered with {status!r} {text[:300]}")
        return text


def element(text, name):
    return re.findall(f"<{name}>(.*?)</{name}>", text)


class Churn:
    """Ten load balancers with a listener each, and their rules."""

    def __init__(self, server, name):
        server.reset()
        self.server, raw = server, Raw(server)
        vpc = element(raw.ec2("DescribeVpcs"), "vpcId")[0]
        subnets = {}
        for subnet in raw.ec2("DescribeSubnets", **{"Filter.1.Name": "vpc-id", "Filter.1.Value.1": vpc}).split("<item>"):
            for zone, identifier in zip(element(subnet, "availabilityZone"), element(subnet, "subnetId")):
                subnets.setdefault(zone, identifier)
        two = dict(zip(("Subnets.member.1", "Subnets.member.2"), list(subnets.values())))
        fixed = {"Type": "fixed-response", "FixedResponseConfig.StatusCode": "404"}
        default = {f"DefaultActions.member.1.{key}": value for key, value in fixed.items()}
        self.action = {f"Actions.member.1.{key}": value for key, value in fixed.items()}
        self.listeners = []
        for number in range(BALANCERS):
            balancer = element(raw.call("CreateLoadBalancer", Name=f"{name}-{number}", Scheme="internal", **two), "LoadBalancerArn")[0]
            listener = raw.call("CreateListener", LoadBalancerArn=balancer, Protocol="HTTP", Port="80", **default)
            self.listeners.append(element(listener, "ListenerArn")[0])

    def measured(self, connections, calls, seconds):
        """Calls per second, in rounds of one call for each load balancer, until there are no more or the time is over."""
        clients = [Raw(self.server) for _ in range(connections)]
        done, begin = 0, time.perf_counter()
        for round_of_calls in calls:
            for at in range(0, len(round_of_calls), connections):
                part = round_of_calls[at:at + connections]
                for client, (body, _) in zip(clients, part):
                    client.begin(body)
                for client, (_, check) in zip(clients, part):
                    check(client.end())
            done += len(round_of_calls)
            if time.perf_counter() - begin > seconds and done >= 20:
                break
        rate = done / (time.perf_counter() - begin)
        for client in clients:
            client.close()
        return rate

    def creating(self, connections):
        """CreateRule: a hundred rules for each load balancer."""
        def rule(listener, priority):
            return form("CreateRule", ListenerArn=listener, Priority=str(priority), **{
                "Conditions.member.1.Field": "path-pattern", "Conditions.member.1.PathPatternConfig.Values.member.1": f"/p{priority}",
            }, **self.action), lambda answer: None
        rounds = ([rule(listener, priority) for listener in self.listeners] for priority in range(1, RULES // BALANCERS + 1))
        return self.measured(connections, rounds, PATIENCE)

    def describing(self, connections):
        """DescribeRules of all the rules of a load balancer."""
        def check(answer):
            assert answer.count("<RuleArn>") == RULES // BALANCERS + 1, answer.count("<RuleArn>")
        one = [(form("DescribeRules", ListenerArn=listener, PageSize="400"), check) for listener in self.listeners]
        return self.measured(connections, (one for _ in range(200)), 2)


def churn(server):
    """Calls per second by operation and number of connections."""
    rates = {}
    for connections in (BALANCERS, 1):
        made = Churn(server, f"churn-{connections}")
        rates["CreateRule", connections] = made.creating(connections)
        rates[f"DescribeRules of {RULES // BALANCERS} rules", connections] = made.describing(connections)
    return rates


def churns(ours, theirs):
    """Prints the rates; whether this cloud's are ten times the other's or more, as long as it has always something to do."""
    mine, other = churn(ours), churn(theirs)
    print(f"\n{RULES:,} rules over {BALANCERS} load balancers, calls per second of a client that sends bytes (load of this machine: {os.getloadavg()[0]:.1f}):\n")
    lines = [("", "connections", "portico", theirs.name, "times")]
    for (what, connections), rate in mine.items():
        lines.append((what, connections, f"{rate:,.0f}", f"{other[what, connections]:,.0f}", f"{rate / other[what, connections]:.1f}"))
    table(lines)
    print(f"\nWith {BALANCERS} connections, a server has always something to do. With one, each call also waits until the machine lets client and server take turns.")
    return all(rate >= PROMISE * other[what, connections] for (what, connections), rate in mine.items() if connections == BALANCERS)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cloud", required=True, help="the embedded cloud's program (the example `cloud`, or `portico`)")
    parser.add_argument("--only", choices=["rows", "churn"])
    parser.add_argument("--beside", metavar="URL", help="an emulator that runs already, instead of moto")
    options = parser.parse_args()
    listen = ["cloud", "--listen", "127.0.0.1:PORT"] if Path(options.cloud).name == "portico" else ["127.0.0.1:PORT"]
    well = True
    folder = Path(tempfile.mkdtemp(prefix="portico-compare-"))
    moto, servers = Path(sys.executable).with_name("moto_server"), []
    try:
        servers.append(Server("portico", [options.cloud, *listen], folder))
        servers.append(Running(options.beside) if options.beside else Server("moto", [moto, "-H", "127.0.0.1", "-p", "PORT"], folder, {"MOTO_ACCOUNT_ID": "000000000000"}))
        if options.only != "churn":
            well = compare(servers, folder)
        if options.only != "rows":
            well = churns(*servers) and well
    finally:
        for server in servers:
            server.close()
    print(f"details: {folder}")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
