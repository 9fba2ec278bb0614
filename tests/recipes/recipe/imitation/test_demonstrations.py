"""`kind: sft`: which completions are learned, what is refused, and that a run of it resumes exactly."""

import json

import pytest
from support.commands import SMALL_COUNTDOWN, untimed

from doubleback.eval.show.console import Console
from doubleback.recipes import load_recipe, train
from doubleback.recipes.models.bundled import bundled_path
from doubleback.recipes.recipe.imitation.demonstrations import demonstrated
from doubleback.recipes.recipe.problems import asked
from doubleback.rewards.types import ConfigError
from doubleback.rl.policy.base import load_tokenizer

FEW = [item for item in SMALL_COUNTDOWN if not item.startswith(("sampling.group_size", "reward."))]
SMALL = [
    *("engine.name=transformers", "checkpoint.every=1", "eval.n=1", "eval.k=[1]", "eval.test_problems=1"),
    *("eval.validation_problems=1", "eval.validation_n=1", "sync.num_canaries=1", *FEW),
]


def recipe(*overrides):
    return load_recipe("countdown-sft", [*SMALL, *overrides])


def given(*overrides):
    settings = recipe(*overrides)
    return demonstrated(asked(settings.task), settings, load_tokenizer(bundled_path(settings.model.path)))


def file_of(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return f"demonstrations.source={path}"


@pytest.fixture(scope="module")
def problems():
    return asked(recipe().task).train


def test_the_golds_are_given_for_every_training_problem(problems):
    found = given()
    assert (
        [problem.id for problem in found.splits.train] == [problem.id for problem in problems] == [*found.completions]
    )
    task = recipe().task
    assert found.completions[problems[0].id] == task.gold(problems[0])


def test_a_task_writes_traces_of_which_chance_takes_some(problems):
    found = given("demonstrations.source=search", "demonstrations.limit=5")
    traces = recipe().task.traces()
    by_id = {problem.id: problem for problem in problems}
    assert found.completions == {name: traces["search"](by_id[name], 0) for name in found.completions}
    assert [problem.id for problem in found.splits.train] == [*found.completions]
    others = given("demonstrations.source=search", "demonstrations.limit=5", "seed=1")
    assert (len(found.completions), len(others.completions)) == (5, 5)
    assert [*found.completions] != [*others.completions]
    with pytest.raises(ConfigError, match=r"demonstrations\.limit=5000: the source has \d+ completions; lower it"):
        given("demonstrations.limit=5000")
    with pytest.raises(
        ConfigError,
        match="and no file; did you mean search",
    ):
        given("demonstrations.source=serach")


def test_a_file_names_problems_by_id_or_question_and_several_times(tmp_path, problems):
    first, second = problems[:2]
    source = file_of(
        tmp_path / "given.jsonl",
        {"problem": first.id, "completion": "<think> no"},
        {"question": second.prompt, "response": [{"role": "assistant", "content": "<think> yes"}]},
        {"problem": first.id, "completion": "<think> back"},
    )
    found = given(source)
    assert found.completions == {first.id: "<think> no", second.id: "<think> yes", f"{first.id}#2": "<think> back"}
    assert [problem.prompt for problem in found.splits.train] == [first.prompt, second.prompt, first.prompt]
    assert found.splits.validation == asked(recipe().task).validation


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"problem": "nobody", "completion": "a"}, "1: 'nobody' is no training problem of the task"),
        ({"question": "1 + 1?", "completion": "a"}, "1: '1 + 1?' is no training problem of the task"),
        ({"completion": "a"}, "1: neither 'problem' nor 'question'; the row has completion"),
        ({"problem": "p"}, "1: no 'completion' or 'response'"),
        ({"problem": "FIRST", "completion": " "}, "1: the completion is empty"),
        ({"problem": "FIRST", "completion": 5}, "1: the completion is neither text nor a list of chat messages"),
    ],
)
def test_a_row_that_is_none_is_named(tmp_path, problems, row, message):
    row = {key: problems[0].id if value == "FIRST" else value for key, value in row.items()}
    source = file_of(tmp_path / "given.jsonl", row)
    with pytest.raises(ConfigError) as caught:
        given(source)
    assert str(caught.value).startswith(f"{tmp_path}/given.jsonl:{message}")


def test_what_does_not_fit_the_context_is_refused_or_left_out_and_counted(tmp_path, problems):
    first, second = problems[:2]
    long = {"problem": first.id, "completion": "yes " * 300}
    source = file_of(tmp_path / "given.jsonl", long, {"problem": second.id, "completion": "yes"})
    line = f"problem {first.id}: prompt and completion of "
    with pytest.raises(ConfigError, match=r"exceed model\.max_length=256; raise") as caught:
        given(source)
    assert str(caught.value).startswith(line)
    found = given(source, "task.overlong=skip")
    assert [*found.completions] == [second.id]
    (left_out,) = found.splits.skipped["task.overlong=skip"]
    assert left_out.startswith(line)
    with pytest.raises(ConfigError, match="has no completion that fits"):
        given(file_of(tmp_path / "long.jsonl", long), "task.overlong=skip")


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("rollout.ahead=true", "rollout.ahead=true"),
        ("rollout.max_rounds=2", "rollout.max_rounds=2"),
        ("trainer=trl", "trainer=trl"),
        ("algorithm.importance_cap=2.0 algorithm.old_logprobs=sampler", "algorithm.old_logprobs=sampler"),
        ("algorithm.importance_cap=2.0", "algorithm.importance_cap=2.0"),
        ("algorithm.routing_replay=true", "algorithm.routing_replay=true"),
    ],
)
def test_what_asks_who_sampled_is_refused(override, key):
    with pytest.raises(ConfigError, match=f"{key} is of completions that were sampled, and kind=sft; leave it out"):
        recipe(*override.split())


def test_demonstrations_are_of_sft_alone():
    with pytest.raises(ConfigError, match=r"demonstrations\.source=mine\.jsonl is of kind=sft, and kind=rl"):
        load_recipe("countdown", ["demonstrations.source=mine.jsonl"])


def trained(out, *overrides, resume=False):
    return train(recipe("lora.init=null", *overrides), out, resume=resume, console=Console(quiet=True))


@pytest.mark.slow
def test_a_run_learns_what_it_is_given_and_resumes_exactly(tmp_path):
    whole = trained(tmp_path / "whole", "steps=3")
    part = trained(tmp_path / "part", "steps=2")
    resumed = trained(part.path, "steps=3", resume=True)
    lines = [line for line in whole.metrics().to_pylist() if line["step"] != 2]  # measured at its end in the other
    assert list(map(untimed, lines)) == [untimed(line) for line in resumed.metrics().to_pylist() if line["step"] != 2]
    assert lines[-1]["learner/loss"] < lines[1]["learner/loss"]
    assert (lines[-1]["verdict/correct"], lines[-1]["rollout/lag"]) == (1.0, 0.0)
    rows = whole.rollouts(3).to_pylist()
    assert {row["adapter_hash"] for row in rows} == {"given"}


@pytest.mark.slow
def test_other_completions_on_resume_are_refused(tmp_path, problems):
    path = tmp_path / "given.jsonl"
    source = file_of(path, {"problem": problems[0].id, "completion": "<think> yes"})
    run = trained(tmp_path / "run", source, "steps=1")
    file_of(path, {"problem": problems[0].id, "completion": "<think> no"})
    with pytest.raises(ConfigError, match="--resume: the set of demonstrations is not what the run began with"):
        trained(run.path, source, "steps=2", resume=True)
