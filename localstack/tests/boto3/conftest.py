"""One world for the whole run; afterwards nothing of it is left, and the cloud's state holds together."""

import pytest

from cloud import World, admin


@pytest.fixture(scope="session")
def world():
    made = World()
    yield made
    made.close()
    status, violations = admin("integrity")
    assert (status, violations) == (200, [])
