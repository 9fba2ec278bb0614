"""The figures of a fleet's replicas, by hand."""

import ast
import math
from dataclasses import replace

from support.paths import ROOT

from doubleback.rl.engines.engine import Load, load_of, scores_each, settle
from doubleback.rl.engines.fleet.health import Health, State
from doubleback.rl.rollout.mixture import StrandEngine
from doubleback.rl.rollout.standing import replica_metrics, standing_of
from doubleback.rl.rollout.taught import Taught
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


class Two:
    """Two replicas, of which one is asked alone where `of` says so."""

    def __init__(self):
        self.judged = None

    def load(self):
        return Load(3, 0, 0, 7, 7)

    def standing(self):
        return [stands(100), stands(200)]

    def score_each(self, sequences, of=None):
        return {name: [(-1.0,)] for name in of or ("one", "other")}

    def settle(self, proof, judged):
        self.judged = judged


def test_what_an_engine_can_do_is_not_hidden_by_what_is_wrapped_around_it():
    """A run of several modes, or one that a teacher reads, has the figures of its replicas as any other."""
    engine = Two()
    wrapped = Taught(StrandEngine(engine, {"on": 60}), lambda sequences: [])
    assert standing_of(wrapped) == engine.standing()
    assert load_of(wrapped) == engine.load()
    assert scores_each(wrapped, [((1,), (2,))]).keys() == {"one", "other"}
    settle(wrapped, None, {"one": "is stale"})
    assert engine.judged == {"one": "is stale"}
    assert load_of(StrandEngine(object(), {"on": 60})) is None


def test_whoever_samples_by_another_engine_says_by_which():
    """Every class that samples, and is made of one that does, is a `rl.engines.engine.Wrapper`."""
    around = {}
    for path in sorted(path for layer in ("rl", "eval", "recipes") for path in (ROOT / layer).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                methods = {it.name: it for it in node.body if isinstance(it, ast.FunctionDef)}
                made_of = methods["__init__"].args.args[1:] if "__init__" in methods else []
                if "sample" in methods and {"Engine", "Sampler"} & {ast.unparse(it.annotation) for it in made_of}:
                    around[node.name] = "inside" in methods
    del around["Replica"]  # the far side of a fleet: no sampler itself, and never asked but by its own methods
    assert around == {"StrandEngine": True, "Taught": True}
