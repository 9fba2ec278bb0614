"""The whole of doubleback from Python: a recipe with a function as reward, a callback, the run as tables."""

from statistics import fmean

import pytest
from support.paths import FEW_COUNTDOWN

from doubleback.eval.show.console import Console
from doubleback.recipes import Run, load_recipe, train
from doubleback.rewards import ConfigError

SMALL = {
    "task.name": FEW_COUNTDOWN,
    "steps": 2,
    "engine.name": "transformers",
    "rollout.prompts_per_step": 4,
    "sampling.group_size": 4,
    "sampling.max_tokens": 64,
    "sync.num_canaries": 1,
    "eval.validation_problems": 4,
    "eval.test_problems": 4,
    "eval.n": 2,
    "eval.k": [1, 2],
}
LIMIT = 120


def within(limit):
    """The reward of a notebook: it travels to the workers as it is, and they import nothing for it."""

    def brief(completions, **columns):
        return [float(len(text) < limit) for text in completions]

    return brief


brief = within(LIMIT)


def recipe(function=brief, **settings):
    components = {"countdown": 1.0, "brief": {"function": function, "weight": 0.1}}
    return load_recipe("countdown", {**SMALL, "reward.components": components, **settings})


@pytest.fixture(scope="module")
def seen():
    """(step, metrics) of every call of the callback."""
    return []


@pytest.fixture(scope="module")
def run(seen, tmp_path_factory):
    out = tmp_path_factory.mktemp("python") / "run"
    return train(recipe(), out, callbacks=[lambda *reported: seen.append(reported)], console=Console(quiet=True))


@pytest.mark.slow
def test_the_function_scores_every_completion(run):
    rows = run.rollouts().to_pylist()
    assert len(rows) == 2 * 4 * 4
    for row in rows:
        assert row["parts"]["brief"] == brief([row["completion"]])[0]
        assert row["score"] == pytest.approx(row["parts"]["countdown"] + 0.1 * row["parts"]["brief"], abs=1e-12)
    assert len({row["parts"]["brief"] for row in rows}) == 2


@pytest.mark.slow
def test_the_callback_gets_what_is_in_the_table(run, seen):
    metrics = run.metrics().to_pylist()
    assert [step for step, _ in seen] == [line["step"] for line in metrics] == [0, 1, 2]
    assert [reported["reward/mean"] for _, reported in seen[1:]] == [line["reward/mean"] for line in metrics[1:]]
    for step in (1, 2):
        scores = [row["score"] for row in run.rollouts(step).to_pylist()]
        assert metrics[step]["reward/mean"] == pytest.approx(fmean(scores), abs=1e-12)


@pytest.mark.slow
def test_a_metric_that_a_step_has_not_is_null(run):
    metrics = run.metrics()
    assert metrics["reward/mean"].to_pylist()[0] is None
    assert metrics["eval/test/pass@1"].null_count == 1
    assert metrics.to_pandas()["reward/mean"].isna().tolist() == [True, False, False]


@pytest.mark.slow
def test_evaluations_by_name(run):
    assert set(run.evaluations()) == {f"{suite}-step-0000{step}" for suite in ("test", "validation") for step in (0, 2)}


@pytest.mark.slow
def test_a_run_is_resumed_with_the_function_given_again(run):
    def another(completions, **columns):
        return [0.0] * len(completions)

    with pytest.raises(
        ConfigError, match=r"components\.brief\.function is 'python:.*another', the run has 'python:.*brief'"
    ):
        train(recipe(another), run.path, resume=True, console=Console(quiet=True))
    assert train(recipe(), run.path, resume=True, console=Console(quiet=True)).metrics().num_rows == 3


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda run: run.rollouts(7), "has no rollouts of step 7"),
        (lambda run: Run(run.path / "eval"), r"eval is no run: it holds no recipe\.yaml"),
    ],
)
def test_what_is_not_there_is_one_line(run, read, message):
    with pytest.raises(ConfigError, match=message):
        read(run)


def test_overrides_of_python_are_checked_like_those_of_the_command_line():
    with pytest.raises(ConfigError, match=r"optim\.rate: there is no such key"):
        load_recipe("countdown", {"optim.rate": 1e-4})
    assert load_recipe("countdown", {"optim.lr": 1e-4}) == load_recipe("countdown", ["optim.lr=1e-4"])
