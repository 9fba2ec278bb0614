"""The best checkpoint, and the end of patience: by hand, in the loop, and across a resume."""

import math

import pytest
from support.commands import untimed
from support.loop import Loop

from doubleback.recipes.recipe.loading import load_recipe
from doubleback.rewards.types import ConfigError
from doubleback.rl.config import CheckpointConfig
from doubleback.rl.run.best import Best, best_so_far, best_step, has_stalled

METRIC = "eval/validation/pass@1"
BEST = {"every": 1, "keep": 1, "best": METRIC}


def lines(*values):
    """Steps from 0 on that were measured so; a step of `...` was not measured."""
    return [{"step": step} | ({} if value is ... else {METRIC: value}) for step, value in enumerate(values)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.9], Best(None, -math.inf, 0)),  # before training
        ([0.9, 0.4, ..., 0.6, ...], Best(3, 0.6, 0)),
        ([0.0, 0.4, 0.6, None, 0.6], Best(2, 0.6, 2)),  # undefined, and equal
        ([0.0, 0.4, math.nan, 0.3], Best(1, 0.4, 2)),
        ([0.0, math.nan, None], Best(None, -math.inf, 2)),
        ([0.0, math.nan, 0.0, 0.5], Best(3, 0.5, 0)),
    ],
)
def test_where_a_run_stands(values, expected):
    assert best_so_far(lines(*values), METRIC) == expected


def test_patience_is_counted_in_evaluations():
    config = CheckpointConfig(best=METRIC, patience=2)
    assert not has_stalled(lines(0.9, 0.5, 0.4), config)
    assert has_stalled(lines(0.9, 0.5, 0.4, ..., math.nan), config)
    assert not has_stalled(lines(0.9, 0.5, 0.4, 0.4), CheckpointConfig(best=METRIC))
    assert best_step(lines(0.9, 0.5, 0.4), CheckpointConfig()) is None


def measured(*values):
    """What steps 2, 4, 6 ... are measured as."""
    return lambda step: {} if step % 2 else {METRIC: values[step // 2 - 1] if step else 0.0}


@pytest.fixture
def loop(make_policy, tmp_path):
    return lambda name="run", **settings: Loop(make_policy(b_std=0.0), tmp_path / name, **settings)


@pytest.mark.slow
def test_the_best_checkpoint_is_never_deleted(loop):
    run = loop(checkpoint=BEST, last_step=8, evaluate=measured(0.2, 0.7, math.nan, 0.7))
    run.train(run.journal.steps())
    assert run.run.checkpoint_steps() == [4, 8]
    run = loop("rising", checkpoint=BEST, last_step=4, evaluate=measured(0.2, 0.7))
    run.train(run.journal.steps())
    assert run.run.checkpoint_steps() == [4]  # what was the best before is not kept for ever


@pytest.mark.slow
@pytest.mark.parametrize("rollout", [{}, {"ahead": True}])
def test_patience_ends_a_run_at_the_same_step_across_a_resume(loop, rollout):
    """Best at step 4; undefined at 6 and equal at 8 are no improvements: the run ends there, of 20 steps."""
    values = measured(0.2, 0.7, math.nan, 0.7, *[0.9] * 6)
    checkpoint = {"every": 2, "keep": 1, "best": METRIC, "patience": 2}
    settings = {"rollout": rollout, "checkpoint": checkpoint, "last_step": 20, "evaluate": values}
    whole = loop("whole", **settings)
    expected = whole.train(whole.journal.steps())
    assert [line["step"] for line in expected] == list(range(9))
    assert whole.run.checkpoint_steps() == [4, 8]
    for stop_at in (3, 5, 6):
        name = f"stopped at {stop_at}"
        loop(name, **settings).train(range(1, stop_at + 1))
        resumed = loop(name, **settings)
        resumed.run.restore_latest(resumed.learner, resumed.problems)
        assert list(map(untimed, resumed.train(resumed.journal.steps()))) == list(map(untimed, expected))
        assert resumed.learner.adapter().hash == whole.learner.adapter().hash
    again = loop(name, **settings)
    again.run.restore_latest(again.learner, again.problems)
    assert list(again.journal.steps()) == []  # it is over


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["checkpoint.patience=3"],
            "checkpoint.patience=3 waits for an improvement, and checkpoint.best=null names",
        ),
        (["checkpoint.best=eval/test/pass@1"], "test problems are never for a choice"),
        (["checkpoint.best=eval/other/pass@1"], "other is not measured; take one of eval/validation/"),
        (
            [f"checkpoint.best={METRIC}", "checkpoint.every=4", "eval.every=10"],
            "checkpoint.every=4 does not divide eval.every=10; set the first to the second",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_both_keys(overrides, said):
    with pytest.raises(ConfigError) as caught:
        load_recipe("countdown", overrides)
    assert said in str(caught.value)
