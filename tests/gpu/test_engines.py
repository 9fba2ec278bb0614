"""On a CUDA device, through vLLM: adapters on experts as they are, replay of its experts, other processes."""

from dataclasses import replace

import pytest
import torch
from support.models.families import make_family_model
from support.models.policies import randomised
from support.rollouts import SAMPLING

from doubleback.rewards.types import Problem, Score, Verdict
from doubleback.rl.config import LoraSettings, OptimConfig, SyncConfig
from doubleback.rl.engines.config import EngineConfig
from doubleback.rl.engines.create import create_engine
from doubleback.rl.engines.delivery import choose
from doubleback.rl.learner.learner import Learner
from doubleback.rl.objective.agreement import gap_between
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.policy import lora
from doubleback.rl.policy.base import base_tensors, is_cuda, load_base, load_tokenizer
from doubleback.rl.policy.families import FAMILIES, family_of
from doubleback.rl.sync import AdapterSync, draw_canaries
from doubleback.rl.types import ModelSource

pytestmark = pytest.mark.gpu

PROBLEMS = [Problem(f"p{target}", f"3 5 7 -> {target}") for target in (22, 15, 36, 8)]
SEEDS = [11, 222, 3333, 44444]
SHAPE = {"hidden_size": 128, "head_dim": 64, "initializer_range": 0.02}
"""Heads of a width that every attention kernel has, and weights at which bfloat16 rounds little."""
RUNTIME = [name for name, family in FAMILIES.items() if "experts" in family.runtime_parts]


class Pair:
    """An engine and a learner on one random base in bfloat16, with an adapter on everything; closes the engine."""

    def __init__(self, folder, name="olmoe", asked="auto", processes=1, is_apart=False, **algorithm):
        self.source = ModelSource(str(make_family_model(name, folder, **SHAPE)), "bfloat16", 128)
        base = load_base(self.source)
        tensors = base_tensors(base)
        model = lora.attach(base, LoraSettings(rank=16, alpha=32.0), seed=0)
        self.strategy = choose(asked, lora.targets(model), family_of(base.config), "vllm", is_cuda(), "bfloat16")
        kind = EngineConfig(kv_cache_mib=256, processes=processes)
        setup = kind.setup(self.source, self.strategy)
        self.engine = create_engine(setup, tensors, load_tokenizer(self.source.path), is_apart=is_apart)
        self.learner = Learner(model, AlgorithmConfig(**algorithm), OptimConfig(), SAMPLING)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.engine.close()

    def pushed(self):
        """The receipts of two adapters, the second one other than the first."""
        canaries = draw_canaries(self.engine, PROBLEMS, SyncConfig(), seed=0, num_completions=1000, max_tokens=64)
        sync = AdapterSync(self.engine, self.learner, canaries, SyncConfig(), "bfloat16")
        receipts = []
        for seed in (1, 2):
            randomised(self.learner.model, seed=seed)
            receipts.append(sync.push())
        return receipts


def require_receipts(receipts, record_property):
    """Under the bound they are, or `push` had raised; here each has moved the policy by more than that."""
    for number, receipt in enumerate(receipts, start=1):
        record_property(f"gap {number}, mean nats", f"{receipt.mean_abs:.1e}")
        record_property(f"bound {number}, nats", f"{receipt.bound:.1e}")
        record_property(f"moved {number}, mean nats", f"{receipt.moved:.1e}")
        assert receipt.moved > receipt.bound


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", RUNTIME)
def test_an_adapter_on_experts_arrives_as_it_is_with_a_receipt(name, tmp_path, record_property):
    with Pair(tmp_path, name) as pair:
        assert pair.strategy.name == "runtime"
        require_receipts(pair.pushed(), record_property)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", ["olmoe", "gpt_oss"])
def test_merged_weights_arrive_with_a_receipt(name, tmp_path, record_property):
    with Pair(tmp_path, name, "merged") as pair:
        require_receipts(pair.pushed(), record_property)


@pytest.mark.timeout(120)
def test_the_head_is_computed_in_float32_on_both_sides(tmp_path, record_property):
    """Rounded on one side alone it parts the two further."""
    with Pair(tmp_path) as pair:
        assert pair.engine.head_dtype == "float32"
        groups = pair.engine.sample(PROBLEMS, replace(SAMPLING, max_tokens=64), SEEDS)
    gap = pair.learner.compare(groups, 1.0, frozenset()).gap.mean_abs
    coarse = lora.attach(load_base(replace(pair.source, head_dtype="bfloat16")), LoraSettings(rank=2), seed=0)
    one_sided = Learner(coarse, AlgorithmConfig(), OptimConfig(), SAMPLING).compare(groups, 1.0).gap.mean_abs
    record_property("gap, mean nats", f"{gap:.1e}")
    record_property("gap with one head in bfloat16, mean nats", f"{one_sided:.1e}")
    assert gap < one_sided


@pytest.mark.timeout(120)
def test_experts_that_vllm_reports_are_replayed(tmp_path, record_property):
    """Replayed, no token goes to another expert, and the largest gap of a token shrinks."""
    with Pair(tmp_path, routing_replay=True) as pair:
        groups = pair.engine.sample(PROBLEMS, replace(SAMPLING, max_tokens=64), SEEDS)
    for group in groups:
        for row in group.rows():
            assert row.routes.shape == (len(group.prompt_ids) + len(row.completion.token_ids) - 1, 2, 2)
    differ = pair.learner.compare(groups, 1.0, frozenset()).experts_differ
    record_property("tokens with other experts", f"{differ:.2%}")
    assert differ < 0.2  # of experts drawn at random 96 % would differ
    scores = tuple(Score(float(number % 2), Verdict.WRONG) for number in range(SAMPLING.group_size))
    scored = [replace(group, scores=scores) for group in groups]
    metrics = pair.learner.update(pair.learner.batch(scored))
    record_property("gap of the step, mean nats", f"{metrics['gap/mean_abs']:.1e}")
    assert metrics["gap/mean_abs"] < 0.1


@pytest.mark.timeout(180)
@pytest.mark.parametrize("devices", [1, 2])
def test_an_engine_in_a_process_of_its_own_serves_the_adapter(devices, tmp_path, monkeypatch, record_property):
    """On the trainer's device, or on the second."""
    if torch.cuda.device_count() < devices:
        pytest.skip(f"needs {devices} NVIDIA GPUs")
    monkeypatch.setattr("torch.cuda.device_count", lambda: devices)
    with Pair(tmp_path, is_apart=True) as pair:
        require_receipts(pair.pushed(), record_property)
        groups = pair.engine.sample(PROBLEMS, SAMPLING, SEEDS)
        scored = pair.engine.score([(groups[0].prompt_ids, groups[0].completions[0].token_ids)])
    assert gap_between(scored, [groups[0].completions[0].sampler_logprobs]).mean_abs < 0.1
