"""One world for the whole run; afterwards nothing of it is left, the cloud's state holds together, and its answers fit the model."""

import json
import os

import pytest

import model
from cloud import FOREIGN, Fails, World, admin

# Where to write what came of each row, a line of JSON each; see compare.py.
RESULTS = os.environ.get("PORTICO_ROW_RESULTS")
# Members of answers of ELBv2 that no test brings about, and why. What a test does bring about must not stand here.
UNSEEN = {
    "there are no Outposts": ["AvailabilityZone.OutpostId", "LoadBalancer.CustomerOwnedIpv4Pool"],
    "nothing is shifted between zones": [
        "AdministrativeOverride.Description", "AdministrativeOverride.Reason", "AdministrativeOverride.State", "TargetHealthDescription.AdministrativeOverride",
    ],
    "nothing fails to be provisioned": ["CapacityReservationStatus.Reason", "LoadBalancerState.Reason"],
    "a secret is never told": ["AuthenticateOidcActionConfig.ClientSecret", "AuthenticateOidcActionConfig.UseExistingClientSecret"],
    "there is no target optimizer": ["TargetGroup.TargetControlPort"],
    "no trust store is shared": ["MutualAuthenticationAttributes.TrustStoreAssociationStatus"],
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
        rows, negative = request.config.rows
        assert rows >= 300 and 3 * negative >= rows, f"{rows} rows, of which {negative} are negative"
        unseen, known = set(model.unseen("elbv2")), {member for members in UNSEEN.values() for member in members}
        assert not unseen - known, "members of answers that no test brings about: " + ", ".join(sorted(unseen - known))
        assert not known - unseen, "members of answers that tests do bring about: " + ", ".join(sorted(known - unseen))


def pytest_collection_modifyitems(config, items):
    """Counts the rows, and those that say with which code AWS refuses something."""
    rows = [item.callspec.params["row"] for item in items if hasattr(item, "callspec") and "row" in item.callspec.params]
    config.rows = len(rows), sum(isinstance(row[-1], Fails) for row in rows)


def pytest_terminal_summary(terminalreporter, config):
    rows, negative = getattr(config, "rows", (0, 0))
    terminalreporter.write_line(f"{rows} rows, of which {negative} are negative: a call that AWS refuses, and its code")


def pytest_runtest_logreport(report):
    if RESULTS and (report.when == "call" or report.outcome != "passed"):
        with open(RESULTS, "a") as file:
            crash = getattr(report.longrepr, "reprcrash", None)
            what = crash.message if crash else str(report.longrepr or "")
            file.write(json.dumps({"row": report.nodeid, "outcome": report.outcome, "when": report.when, "what": what[:400]}) + "\n")
