"""One world for the whole run; afterwards nothing of it is left, the cloud's state holds together, and its answers fit the model."""

import json
import os
import re

import pytest

import model
from cloud import FOREIGN, World, admin

# Where to write what came of each row, a line of JSON each; see compare.py.
RESULTS = os.environ.get("PORTICO_ROW_RESULTS")
# Members of answers of ELBv2 that no test brings about, and why.
UNSEEN = {
    r"AvailabilityZone\.OutpostId|LoadBalancer\.CustomerOwnedIpv4Pool": "there are no Outposts",
    r"IpamPools?\.|LoadBalancer\.IpamPools": "there are no IPAM pools",
    r"Admin|Anomaly|TargetHealthDescription\.(Admin|Anomaly)": "nothing is shifted between zones, and no anomalies are detected",
    r"CapacityReservationStatus\.Reason|LoadBalancerState\.Reason": "nothing fails to be provisioned",
    r"AuthenticateOidcActionConfig\.(ClientSecret|UseExistingClientSecret)": "a secret is never told",
    r"TargetGroup\.TargetControlPort": "there is no target optimizer",
    r"Listener\.AlpnPolicy|LoadBalancer(Address)?\.|Set(SecurityGroups|Subnets)Output\.En|SourceIpConditionConfig\.IpAddressType|TargetDescription\.Quic"
    r"|AvailabilityZone\.SourceNat": "what network load balancers have",
    r"MutualAuthenticationAttributes\.TrustStoreAssociationStatus|GetResourcePolicyOutput\.Policy": "no trust store is shared",
}


@pytest.fixture(scope="session")
def world(request):
    made = World()
    yield made
    if FOREIGN:
        return
    made.close()
    status, violations = admin("integrity")
    assert (status, violations) == (200, [])
    assert not model.wrong, "answers that AWS's model does not allow: " + ", ".join(sorted(set(model.wrong)))
    if not request.config.option.keyword and len(request.config.args) == 1 and os.path.isdir(request.config.args[0]):
        # The whole suite ran.
        unseen = [member for member in model.unseen("elbv2") if not any(re.match(pattern, member) for pattern in UNSEEN)]
        assert not unseen, "members of answers that no test brings about: " + ", ".join(unseen)


def pytest_runtest_logreport(report):
    if RESULTS and (report.when == "call" or report.outcome != "passed"):
        with open(RESULTS, "a") as file:
            crash = getattr(report.longrepr, "reprcrash", None)
            what = crash.message if crash else str(report.longrepr or "")
            file.write(json.dumps({"row": report.nodeid, "outcome": report.outcome, "when": report.when, "what": what[:400]}) + "\n")
