"""This cloud beside moto, or another emulator, in one run: the rows of the boto3 tests, and how many calls per second each carries out.

    python compare.py --cloud target/release/examples/cloud [--only rows | --only churn] [--beside http://127.0.0.1:4567]

Prints each row that the other gets wrong, with what it answers, then tables. Fails if this cloud gets any row wrong, or is not ten times as fast.
"""

import argparse
import json
import math
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
from collections import deque
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Files that say nothing of what AWS answers: about this cloud's admin API, about traffic (which emulators do not carry), and about members that this cloud leaves out.
OWN_FILES = {"test_admin", "test_traffic", "test_network_traffic", "test_walk"}
FILES = sorted(path.stem for path in HERE.glob("test_*.py") if path.stem not in OWN_FILES)
# Rows that say nothing about AWS: what this cloud's own network is, what it leaves out, and what AWS does not document.
OWN = re.compile(
    r"the VPC holds what pods need|three zones|subnets by wildcard|the nodes|a pod's interface|a node's interface gets a group|groups by tag"
    r"|that is not there\]|that is to come|not served|lenient|\(assumed\)|draining|there_are_36|both_states"
)
# Rules, load balancers that have them, and seconds that anything may take.
RULES, BALANCERS, PATIENCE = 1000, 10, 60
PROMISE = 10


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# Whatever is started ends with this program, also when that is killed.
TIED = ["setpriv", "--pdeathsig", "KILL", "--"]


class Server:
    """An emulator that runs while this is open."""

    def __init__(self, name, argv, folder, environment=None):
        self.name, self.port = name, free_port()
        self.log = open(folder / f"{name}.log", "w")
        argv = [str(argument).replace("PORT", str(self.port)) for argument in argv]
        self.process = subprocess.Popen(TIED + argv, stdout=self.log, stderr=subprocess.STDOUT, env=os.environ | (environment or {}))
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

    def cpu(self):
        """Seconds of CPU time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

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


# Whose account it is, and for how many seconds a requested certificate is pending, since it looks for no records.
MOTO = {"MOTO_ACCOUNT_ID": "000000000000", "MOTO_ACM_VALIDATION_WAIT": "1"}


class Running:
    """An emulator that somebody else has started."""

    def __init__(self, url):
        self.name, self.url = urllib.parse.urlsplit(url).netloc, url.rstrip("/")
        self.port = urllib.parse.urlsplit(url).port or 80

    def cpu(self):
        """Not known: it may be anywhere."""
        return math.nan

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
            subprocess.run(TIED + argv, env=environment, stdout=log, stderr=subprocess.STDOUT, timeout=900, check=False)
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


def request(body, service="elasticloadbalancing"):
    """A call with its head, as bytes."""
    scope = f"AKID/20260101/us-east-1/{service}/aws4_request"
    return (
        f"POST / HTTP/1.1\r\nHost: {service}.us-east-1.amazonaws.com\r\nX-Amz-Date: 20260101T000000Z\r\n"
        f"Authorization: AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=00\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    )


class Raw:
    """A client that sends bytes which are ready and reads bytes, so that little but the server is measured."""

    def __init__(self, server):
        self.server, self.socket = server, None

    def call(self, action, **parameters):
        return self.send(request(form(action, **parameters)))

    def ec2(self, action, **parameters):
        return self.send(request(urllib.parse.urlencode({"Action": action, "Version": "2016-11-15"} | parameters).encode(), "ec2"))

    def send(self, call):
        self.begin(call)
        return self.end()

    def begin(self, call):
        """Sends a call and does not wait for its answer."""
        self.sent = call
        if self.socket is None:
            self.socket = socket.create_connection(("127.0.0.1", self.server.port), PATIENCE)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(call)

    def close(self):
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def more(self):
        part = self.socket.recv(1 << 20)
        if not part:
            raise SystemExit(f"{self.server.name}: {self.sent[-200:]!r} was not answered")
        return part

    def end(self):
        """The answer to what was sent."""
        got = self.more()
        while (end := got.find(b"\r\n\r\n")) < 0:
            got += self.more()
        head = got[:end].lower()
        length = int(re.search(rb"\r\ncontent-length: *(\d+)", head).group(1))
        parts, missing = [got[end + 4:]], length - (len(got) - end - 4)
        while missing > 0:
            parts.append(self.more())
            missing -= len(parts[-1])
        if b"\r\nconnection: close" in head:
            self.close()
        answer = b"".join(parts).decode()
        if b" 200 " not in got[:20]:
            raise SystemExit(f"{self.server.name}: {self.sent[-200:]!r} was answered with {got[:20]!r} {answer[:300]}")
        return answer


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
        """Calls per second until there are no more or the time is over, and milliseconds of CPU time of the server for each. Whoever gets an answer
        sends the next call at once."""
        clients = [Raw(self.server) for _ in range(connections)]
        idle, waiting, done = deque(clients), deque(), 0

        def answered():
            client, check = waiting.popleft()
            check(client.end())
            idle.append(client)
            return 1

        cpu, begin = self.server.cpu(), time.perf_counter()
        for call, check in calls:
            if not idle:
                done += answered()
                if time.perf_counter() - begin > seconds and done >= 20:
                    break
            client = idle.popleft()
            client.begin(call)
            waiting.append((client, check))
        while waiting:
            done += answered()
        seconds, cpu = time.perf_counter() - begin, self.server.cpu() - cpu
        for client in clients:
            client.close()
        return done / seconds, cpu / done * 1000

    def creating(self, connections):
        """CreateRule: a hundred rules for each load balancer."""
        def rule(listener, priority):
            return request(form("CreateRule", ListenerArn=listener, Priority=str(priority), **{
                "Conditions.member.1.Field": "path-pattern", "Conditions.member.1.PathPatternConfig.Values.member.1": f"/p{priority}",
            }, **self.action)), lambda answer: None
        calls = [rule(listener, priority) for priority in range(1, RULES // BALANCERS + 1) for listener in self.listeners]
        return self.measured(connections, calls, PATIENCE)

    def describing(self, connections):
        """DescribeRules of all the rules of a load balancer."""
        def check(answer):
            assert answer.count("<RuleArn>") == RULES // BALANCERS + 1, answer.count("<RuleArn>")
        one = [(request(form("DescribeRules", ListenerArn=listener, PageSize="400")), check) for listener in self.listeners]
        return self.measured(connections, (call for _ in range(200) for call in one), 2)


def churns(ours, theirs):
    """Measures both by turns and prints what came of it; whether this cloud is ten times as fast or more, as long as it has always something to do."""
    name = theirs.name
    lines = [("", "connections", "portico", name, "times", "portico's CPU", f"{name}'s CPU", "times")]
    well = True
    for connections in (BALANCERS, 1):
        both = [Churn(server, f"churn-{connections}") for server in (ours, theirs)]
        for what, measure in (("CreateRule", Churn.creating), (f"DescribeRules of {RULES // BALANCERS} rules", Churn.describing)):
            (mine, my_cpu), (other, other_cpu) = (measure(made, connections) for made in both)
            lines.append((
                what, connections, f"{mine:,.0f}", f"{other:,.0f}", f"{mine / other:.1f}",
                f"{my_cpu:.2f} ms", f"{other_cpu:.2f} ms", f"{other_cpu / max(my_cpu, 0.01):.1f}",
            ))
            well = well and (connections == 1 or mine >= PROMISE * other)
    print(f"\n{RULES:,} rules over {BALANCERS} load balancers: calls per second of a client that sends bytes, and CPU time of the server for each call "
          f"(load of this machine: {os.getloadavg()[0]:.1f}):\n")
    table(lines)
    print(f"\nWith {BALANCERS} connections, a server has always something to do. With one, each call also waits until the machine lets client and server take turns.")
    return well


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
        servers.append(Running(options.beside) if options.beside else Server("moto", [moto, "-H", "127.0.0.1", "-p", "PORT"], folder, MOTO))
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
