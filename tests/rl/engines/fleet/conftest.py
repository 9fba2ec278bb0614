"""Fleets for the tests of this folder, and their end."""

import pytest
from support.remote.crewed import Crewed

from doubleback.rl.engines.fleet import crew as crew_module
from doubleback.rl.engines.fleet.health import Limits


@pytest.fixture
def make(monkeypatch):
    made = []
    monkeypatch.setattr(crew_module, "LOOK_SECONDS", 0.02)

    def make(*makes, restarts=3, floor=1, stall_seconds=60.0):
        made.append(Crewed(makes, Limits(stall_seconds, restarts, floor)))
        return made[-1]

    yield make
    for crewed in made:
        crewed.fleet.close()
