"""One world for the whole run; afterwards nothing of it is left, the cloud's state holds together, and its answers fit the model."""

import pytest

import model
from cloud import World, admin


@pytest.fixture(scope="session")
def world():
    made = World()
    yield made
    made.close()
    status, violations = admin("integrity")
    assert (status, violations) == (200, [])
    assert not model.unknown, "elements that AWS's model does not have: " + ", ".join(sorted(set(model.unknown)))
