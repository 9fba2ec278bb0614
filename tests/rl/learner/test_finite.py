"""What is not finite stops a run before the optimiser moves, is never saved, and costs no healthy checkpoint."""

import math
from dataclasses import replace

import pytest
import torch
from support.loop import Loop
from support.rollouts import random_groups

from doubleback.rewards.types import ConfigError, RunError
from doubleback.rl.config import CheckpointConfig, OptimConfig
from doubleback.rl.learner.learner import Learner
from doubleback.rl.run import checkpoint

NOT_FINITE = [math.nan, math.inf, -math.inf]


@pytest.fixture
def loop(make_policy, tmp_path):
    return lambda **settings: Loop(make_policy(b_std=0.0), tmp_path / "run", **settings)


def batch_of(learner):
    return learner.batch(random_groups([[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 1.0]]))


def spoil(learner):
    with torch.no_grad():
        next(parameter for parameter in learner.model.parameters() if parameter.requires_grad)[0, 0] = math.nan


@pytest.mark.parametrize("odd", NOT_FINITE)
def test_a_loss_that_is_not_finite_moves_nothing(loop, odd):
    learner = loop().learner
    batch = batch_of(learner)
    before = learner.adapter().hash
    spoiled = replace(batch, samples=(*batch.samples[:-1], replace(batch.samples[-1], advantage=odd)))
    with pytest.raises(
        RunError, match=r"^step 1: the loss \((nan|-?inf)\) is not finite; .* lower optim\.lr"
    ) as caught:
        learner.update(spoiled)
    assert "\n" not in str(caught.value)
    assert learner.adapter().hash == before
    assert not learner.optimiser.state_dict()["state"]


@pytest.mark.parametrize("odd", NOT_FINITE)
def test_a_gradient_that_is_not_finite_moves_nothing(loop, odd):
    learner = loop().learner
    before = learner.adapter().hash
    [*_, last] = (parameter for parameter in learner.model.parameters() if parameter.requires_grad)
    last.register_hook(lambda gradient: gradient + odd)
    with pytest.raises(RunError, match=r"^step 1: the gradient's norm \((nan|inf)\) is not finite; "):
        learner.update(batch_of(learner))
    assert learner.adapter().hash == before
    assert not learner.optimiser.state_dict()["state"]


def test_an_adapter_that_is_no_longer_finite_is_named(loop):
    learner = loop().learner
    learner.optimiser.register_step_post_hook(lambda *_: spoil(learner))
    with pytest.raises(RunError, match=r"^step 1: \S+lora_A\S* is not finite; it is not pushed to the engine"):
        learner.update(batch_of(learner))


@pytest.mark.parametrize("odd", NOT_FINITE)
def test_what_an_engine_reports_is_finite_or_names_the_problem(loop, odd):
    learner = loop().learner
    groups = random_groups([[1.0, 0.0, 0.0, 1.0]])
    first, *others = groups[0].completions
    first = replace(first, sampler_logprobs=(*first.sampler_logprobs[:-1], odd))
    groups = [replace(groups[0], completions=(first, *others))]
    with pytest.raises(RunError, match=rf"^step 1: problem {groups[0].problem.id} has a log-probability \(engine\) of"):
        learner.batch(groups)


@pytest.mark.slow
def test_a_rate_far_too_high_stops_the_run_and_keeps_the_healthy_checkpoints(loop):
    run = loop(checkpoint={"every": 1, "keep": 2}, last_step=4)
    run.train(range(1, 3))
    healthy = {path.name for path in (run.run.path / "checkpoints").rglob("*")}
    run = loop(checkpoint={"every": 1, "keep": 1}, last_step=4, lr=1e12)
    assert run.run.restore_latest(run.learner, run.problems) == 2
    with pytest.raises(RunError, match=r"^step 3: what the trainer computes with its adapter is not finite; it is not"):
        run.train(range(3, 5))
    assert {path.name for path in (run.run.path / "checkpoints").rglob("*")} == healthy
    assert "push 3" not in run.engine.events
    assert [line["step"] for line in run.run.metrics_lines()] == [0, 1, 2]


@pytest.mark.parametrize("place", ["adapter", "optimiser"])
def test_a_state_that_is_not_finite_is_never_saved_and_never_pruned_for(loop, place):
    run = loop()
    run.learner.update(batch_of(run.learner))
    run.run.save_checkpoint(run.learner, run.problems.state(), CheckpointConfig(keep=1))
    run.learner.step += 1
    if place == "adapter":
        spoil(run.learner)
    else:
        next(iter(run.learner.optimiser.state.values()))["exp_avg_sq"].fill_(math.inf)
    with pytest.raises(
        RunError, match=r"^step 2: .*lora_A\S* is not finite; nothing is saved, earlier checkpoints are"
    ):
        run.run.save_checkpoint(run.learner, run.problems.state(), CheckpointConfig(keep=1))
    assert [path.name for path in (run.run.path / "checkpoints").iterdir()] == ["step-00001"]


def test_a_checkpoint_that_is_not_finite_is_refused(loop, tmp_path, monkeypatch):
    run = loop()
    spoil(run.learner)
    with monkeypatch.context() as patched:
        patched.setattr(Learner, "require_finite_state", lambda self, then: None)
        checkpoint.save(run.learner, run.problems.state(), tmp_path / "saved")
    with pytest.raises(ConfigError, match=r"saved is corrupt: step 0: \S+lora_A\S* is not finite; delete that folder"):
        checkpoint.load(run.learner, run.problems, tmp_path / "saved")


def test_a_healthy_step_passes_every_guard(loop):
    learner = loop().learner
    metrics = learner.update(batch_of(learner))
    learner.require_finite_state("nothing")
    assert math.isfinite(metrics["learner/loss"])
    assert math.isfinite(metrics["gap/max_abs"])


def test_a_rate_without_end_is_no_setting():
    with pytest.raises(ValueError, match="finite number"):
        OptimConfig(lr=math.inf)
