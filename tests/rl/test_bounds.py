"""The receipt's bound follows from the model's own rounding, and a broken sync is outside it at any depth."""

import math
from types import SimpleNamespace

import pytest
import torch
from support.faulty import Faulty
from support.models.families import make_family_model
from support.models.policies import logits, randomised
from support.rollouts import SAMPLING

from doubleback.rewards.types import Problem, RunError
from doubleback.rl.config import LoraSettings, OptimConfig, SyncConfig
from doubleback.rl.engines.config import EngineConfig
from doubleback.rl.engines.create import create_engine
from doubleback.rl.learner.learner import ALL_PARTS, Learner
from doubleback.rl.learner.rounding import rounded_anew
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.policy import lora
from doubleback.rl.policy.base import base_tensors, load_base, load_tokenizer
from doubleback.rl.sync import LIMITS, AdapterSync, draw_canaries, measured_bound
from doubleback.rl.types import ModelSource

CONFIG = SyncConfig(num_canaries=4)
PROBLEMS = [Problem(f"p{target}", f"3 5 7 -> {target}") for target in (22, 15, 36, 8)]
FAULTS = ["serves the base", "stale", "no experts", "half", "one layer missing"]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_each_number_moves_by_its_precision(make_policy, dtype):
    model, leaving = make_policy(dtype=dtype), []
    layer = model.get_base_model().model.layers[0]
    plain = logits(model)

    def note(module, inputs, output):
        leaving.append(output)

    with layer.register_forward_hook(note), rounded_anew(model), layer.register_forward_hook(note):
        moved = logits(model)  # hooks are called in their order: before the move, and behind it
    before, after = leaving
    units = (after.double() - before.double()) / (before.double().abs() * torch.finfo(before.dtype).eps)
    assert units.nan_to_num().abs().max() <= 1.5  # the product is rounded by up to half a unit more; 0 stays 0
    assert 0.5 < (units != 0).double().mean() < 0.8  # two of three are moved
    assert not torch.equal(moved, plain)
    assert torch.equal(logits(model), plain)
    with rounded_anew(model):
        assert torch.equal(logits(model), moved)


def sides(trainer, trainer_anew, engine, engine_alone):
    """A learner and an engine whose log-probability of the one token is as given."""
    learner = SimpleNamespace(
        score=lambda sequences, parts: [(trainer,)] * len(sequences),
        score_rounded_anew=lambda sequences, parts: [(trainer_anew,)] * len(sequences),
    )
    return SimpleNamespace(score=lambda them: [(engine if len(them) > 1 else engine_alone,)] * len(them)), learner


@pytest.mark.parametrize(
    ("dtype", "logprobs", "bound"),
    [
        ("float32", (-1.0, -1.00002, -1.0, -1.0), 3.2e-4),
        ("float32", (-1.0, -1.0, -1.0, -1.00001), 1.6e-4),
        ("float32", (-1.0, -1.0, -1.0, -1.0), 1e-5),
        ("float32", (-1.0, -1.1, -1.0, -1.0), 1e-3),
        ("bfloat16", (-1.0, -1.02, -1.0, -1.01), 0.32),
        ("bfloat16", (-1.0, -1.0, -1.0, -1.0), 1e-2),
        ("bfloat16", (-1.0, -1.2, -1.0, -1.0), 0.5),
        ("bfloat16", (-1.0, math.nan, -1.0, -1.0), math.nan),
        ("bfloat16", (-1.0, -1.0, -1.0, math.nan), math.nan),
    ],
)
def test_the_bound_by_hand(dtype, logprobs, bound):
    engine, learner = sides(*logprobs)
    two = [((1,), (2,)), ((1,), (3,))]
    measured = measured_bound(engine, learner, two, SyncConfig(), dtype, ALL_PARTS)
    assert measured == pytest.approx(bound, rel=1e-6, nan_ok=True)
    assert measured_bound(engine, learner, two, SyncConfig(bound=0.3), dtype, ALL_PARTS) == 0.3


class Rig:
    """Trainer and engine on one random model, and the fresh adapter that both begin with."""

    def __init__(self, name, dtype, num_layers, folder):
        # Of its usual size: twelve times that, as the toys of other tests have, and 30 layers in bfloat16 are chaos.
        make_family_model("qwen3_moe", folder, num_hidden_layers=num_layers)
        source = ModelSource(str(folder), dtype, 128)
        base = load_base(source)
        self.dtype, self.tensors = dtype, base_tensors(base)
        self.engine = create_engine(EngineConfig(name=name).setup(source), self.tensors, load_tokenizer(source.path))
        self.canaries = draw_canaries(self.engine, PROBLEMS, CONFIG, seed=0, num_completions=100, max_tokens=30)
        self.model = lora.attach(base, LoraSettings(rank=4, alpha=8.0), seed=0)
        self.fresh = dict(lora.export(self.model).tensors)

    def begin(self, fault):
        lora.load(self.model, self.fresh)
        learner = Learner(self.model, AlgorithmConfig(), OptimConfig(), SAMPLING)
        self.engine.load_adapter(learner.adapter(), version=0)
        engine = Faulty(self.engine, fault)
        return learner, AdapterSync(engine, learner, self.canaries, CONFIG, self.dtype)


@pytest.fixture(scope="module", params=["transformers", pytest.param("vllm", marks=pytest.mark.slow)])
def engine_name(request):
    return request.param


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def dtype(request):
    return request.param


@pytest.fixture(scope="module", params=[2, pytest.param(30, marks=pytest.mark.slow)])
def rig(request, engine_name, dtype, tmp_path_factory):
    made = Rig(engine_name, dtype, request.param, tmp_path_factory.mktemp("model"))
    yield made
    made.engine.close()


def test_what_arrives_is_within_the_bound(rig):
    learner, sync = rig.begin("none")
    bound = sync.push().bound
    randomised(learner.model, seed=1, std=0.1)
    learner.step += 1
    receipt = sync.push()
    assert LIMITS[rig.dtype][0] <= bound <= receipt.bound <= LIMITS[rig.dtype][1]
    assert receipt.metrics()["sync/bound"] == receipt.bound


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_sync_is_refused_at_any_depth_and_precision(rig, fault):
    learner, sync = rig.begin(fault)
    if fault == "stale":
        randomised(learner.model, seed=1, std=0.1)
        learner.step += 1
        sync.push()
    randomised(learner.model, seed=2, std=0.1)
    learner.step += 1
    with pytest.raises(RunError, match=r"the adapter did not reach the engine: .* \(bound .*\)"):
        sync.push()
