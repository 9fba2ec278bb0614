"""The figures of a fleet's replicas, by hand."""

import math
from dataclasses import replace

from doubleback.rl.engines.engine import Load
from doubleback.rl.engines.fleet.health import Health, State
from doubleback.rl.rollout.standing import replica_metrics, standing_of
from doubleback.rl.run.metrics import METRICS

SERVING = Health(State.SERVING)


def stands(tokens, health=SERVING, version=3, name="engine on this machine"):
    return name, health, version, None if tokens is None else Load(0, 0, 0, tokens, tokens)


def test_rates_restarts_and_ages_by_hand():
    """2 s: 300 tokens of the first; the second was replaced meanwhile and has the adapter before; the third is mute."""
    replaced = replace(SERVING, state=State.STALE, restarts=1)
    before = [stands(100), stands(100), stands(None)]
    after = [stands(400), stands(50, replaced, version=2), stands(None, version=None)]
    found = replica_metrics(before, after, 2.0)
    assert (found["fleet/serving"], found["fleet/restarts"]) == (2, 1)
    assert found["fleet/1/tokens_per_s"] == 150
    assert (found["fleet/1/adapter_age"], found["fleet/2/adapter_age"]) == (0, 1)
    assert all(math.isnan(found[name]) for name in ("fleet/2/tokens_per_s", "fleet/3/tokens_per_s"))
    assert math.isnan(found["fleet/3/adapter_age"])
    names = {name.replace("/1/", "/REPLICA/").replace("/2/", "/REPLICA/").replace("/3/", "/REPLICA/") for name in found}
    assert names <= METRICS.keys()


def test_one_engine_has_no_replicas():
    assert standing_of(object()) == ()
    assert replica_metrics((), (), 1.0) == {}
