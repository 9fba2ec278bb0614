"""The contract with every family: engine and trainer agree before and after training, and what is saved is what ran."""

import random

import pytest
import torch
from peft import PeftModel
from support.gradients import deviation
from support.models.families import make_family_model
from torch.testing import assert_close
from transformers import AutoModelForCausalLM

from doubleback.rewards.types import Problem, Score, Verdict
from doubleback.rl.config import (
    CheckpointConfig,
    LoraSettings,
    OptimConfig,
    ProblemsConfig,
    RolloutConfig,
    SamplingConfig,
    SyncConfig,
)
from doubleback.rl.engines.config import EngineConfig
from doubleback.rl.engines.create import create_engine
from doubleback.rl.engines.delivery import choose
from doubleback.rl.learner.learner import Learner
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.policy import lora
from doubleback.rl.policy.base import base_tensors, load_base, load_tokenizer
from doubleback.rl.policy.families import FAMILIES, family_of
from doubleback.rl.policy.merged_checkpoint import merge_checkpoint
from doubleback.rl.rollout.pace import Pace
from doubleback.rl.rollout.prefetch import Rollouts
from doubleback.rl.rollout.problems import ProblemSource
from doubleback.rl.rollout.sampler import RolloutSampler
from doubleback.rl.run.directory import RunDirectory
from doubleback.rl.run.journal import Checkpoints, Journal
from doubleback.rl.sync import AdapterSync, draw_canaries
from doubleback.rl.train import train
from doubleback.rl.types import ModelSource

BOUND = 1e-4  # nats
PROBLEMS = [Problem(f"p{target}", f"3 5 7 -> {target}") for target in (22, 15, 36, 8, 29, 41)]
DENSE = ("qwen3", "llama")
ASKED = {"llama": "runtime"}
"""sync.strategy of a family, where it is not `auto`."""
IDS = torch.randint(3, 118, (3, 40), generator=torch.Generator().manual_seed(5))


class Luck:
    """A reward without sense: any gradient will do."""

    def __init__(self):
        self._rng = random.Random(0)

    def start(self, problem, completions):
        return lambda: [Score(self._rng.random(), Verdict.WRONG) for _ in completions]

    def refuse_faults(self, scores):
        pass


class Trained:
    """Five GRPO steps of a tiny model through vLLM."""

    def __init__(self, name, tmp_path, targets="all", **settings):
        self.folder = make_family_model(name, tmp_path / "model")
        self.config = ModelSource(str(self.folder), "float32", 128)
        base = load_base(self.config)
        self.tensors, self.before = base_tensors(base), lora.hash_tensors(base_tensors(base))
        model = lora.attach(base, LoraSettings(rank=4, alpha=8.0, targets=targets, **settings), seed=0)
        algorithm, sampling = AlgorithmConfig(), SamplingConfig(group_size=4, max_tokens=40)
        self.learner = Learner(model, algorithm, OptimConfig(lr=1e-2, warmup_steps=0), sampling.sampling())
        known = family_of(base.config)
        asked = ASKED.get(name, "auto")
        self.strategy = choose(asked, lora.targets(model), known, "vllm", is_cuda=False, dtype="float32")
        tokenizer = load_tokenizer(str(self.folder))
        engine = create_engine(EngineConfig().setup(self.config, self.strategy), self.tensors, tokenizer)
        try:
            canaries = draw_canaries(engine, PROBLEMS, SyncConfig(), seed=0, num_completions=1000, max_tokens=100)
            sync = AdapterSync(engine, self.learner, canaries, SyncConfig(bound=BOUND), "float32")
            run = RunDirectory(tmp_path / "run")
            problems, config = ProblemSource(PROBLEMS, ProblemsConfig(), run_seed=0), RolloutConfig(prompts_per_step=3)
            sampler = RolloutSampler(engine, problems, Luck(), sampling.sampling(), config, run_seed=0)
            pace = Pace(config, 0, saves=lambda step: step == 5, measures=lambda step: False)
            checkpoints = Checkpoints(self.learner, CheckpointConfig(), last_step=5)
            journal = Journal(run, checkpoints, lambda step: {}, [])
            train(self.learner, Rollouts(sampler, pace), sync, journal, range(1, 6))
        finally:
            engine.close()
        self.lines, self.adapter = run.metrics_lines(), run.path / "checkpoints" / "step-00005"

    @torch.no_grad()
    def logits(self, model=None):
        return (model or self.learner.model)(input_ids=IDS).logits


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    made = {}

    def train_once(name):
        if name not in made:
            made[name] = Trained(name, tmp_path_factory.mktemp(name))
        return made[name]

    return train_once


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FAMILIES, *DENSE])
class TestFamily:
    def test_engine_and_trainer_agree_before_and_after_every_step(self, trained, name):
        lines = trained(name).lines
        assert [line["step"] for line in lines] == list(range(6))
        # One of eleven may exceed it: a router that is undecided to the last bit, for a single token.
        gaps = [*(line["sync/max_abs"] for line in lines), *(line["gap/max_abs"] for line in lines[1:])]
        assert sorted(gaps)[-2] < BOUND
        assert min(line["sync/moved"] / line["sync/mean_abs"] for line in lines[1:]) > 100
        if name not in DENSE:
            assert sorted(line["gap/experts_differ"] for line in lines[1:])[:4] == [0.0] * 4

    def test_every_part_of_the_adapter_moved_and_the_base_did_not(self, trained, name):
        run = trained(name)
        tensors = run.learner.adapter().tensors
        assert all(tensor.abs().max() > 1e-3 for key, tensor in tensors.items() if ".lora_B." in key)
        parts = {target.part for target in run.learner.adapter().targets}
        assert parts >= ({"attention", "mlp"} if name in DENSE else {"attention", "experts"})
        assert lora.hash_tensors(run.tensors) == run.before

    def test_adapter_loads_with_plain_peft(self, trained, name):
        run = trained(name)
        loaded = PeftModel.from_pretrained(load_base(run.config), run.adapter)
        assert lora.export(loaded).hash == lora.export(run.learner.model).hash
        assert deviation({"logits": run.logits(loaded)}, {"logits": run.logits()}) < 1e-5

    def test_merged_checkpoint_is_the_adapters_policy_in_transformers_and_in_vllm(self, trained, name, tmp_path):
        run = trained(name)
        report = merge_checkpoint(str(run.folder), run.adapter, tmp_path / "merged", None)
        assert report.rounding == 0
        # Of 128 tokens the worst: 1.6e-5 of the largest on some processors, whose mean is 0.05 of that.
        assert report.max_logit < 5e-5 * run.logits().abs().max()
        assert report.mean_logit < 1e-5 * run.logits().abs().max()
        plain = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
        assert deviation({"logits": run.logits(plain)}, {"logits": run.logits()}) < 1e-5
        config = ModelSource(str(tmp_path / "merged"), "float32", 128)
        engine = create_engine(EngineConfig().setup(config), {}, load_tokenizer(config.path))
        sequences = [(tuple(row[:10].tolist()), tuple(row[10:].tolist())) for row in IDS]
        (served, expected) = engine.score(sequences), run.learner.score(sequences)
        engine.close()
        assert_close(torch.tensor(served), torch.tensor(expected), atol=BOUND, rtol=0)
