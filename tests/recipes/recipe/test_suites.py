"""Further suites in training: `eval.suites`, each with its own prompt and judge, measured as `doubleback eval` does."""

import json
from contextlib import ExitStack, nullcontext

import pytest
from support.commands import SMALL_COUNTDOWN
from support.fakes import FakeEngine

from doubleback.eval.judge import load_judge
from doubleback.eval.prompts.prompt import read_prompt
from doubleback.eval.run import Request, generate_into
from doubleback.eval.show.console import Console
from doubleback.eval.suites.suite import load_suite
from doubleback.eval.summarise import summary
from doubleback.recipes import load_recipe, train
from doubleback.recipes.commands.train import evaluator
from doubleback.recipes.models.bundled import bundled_path
from doubleback.recipes.recipe.problems import task_problems
from doubleback.recipes.recipe.suites import further_suites
from doubleback.recipes.tasks.task import shipped_measures
from doubleback.rewards.jsonl import complete_lines
from doubleback.rewards.sample_lines import with_columns
from doubleback.rewards.types import Completion, ConfigError
from doubleback.rl.policy.base import load_tokenizer
from doubleback.rl.run.directory import RunDirectory

FOUR = """
description: four numbers
task: {name: countdown, num_numbers: 4}
split: validation
reward: {components: {countdown: 1.0}}
max_tokens: 64
"""
SMALL = [
    *("engine.name=transformers", "steps=1", "eval.n=1", "eval.k=[1]", "eval.test_problems=1"),
    *("eval.validation_problems=2", "eval.validation_n=2", "sync.num_canaries=1", *SMALL_COUNTDOWN),
]


@pytest.fixture
def four(tmp_path):
    path = tmp_path / "four.yaml"
    path.write_text(FOUR)
    return path


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(bundled_path("bundled:countdown"))


def answering():
    """An engine that is right, with the numbers as they stand in the question, every other time."""
    return FakeEngine(
        lambda problem, seed, num_samples: [
            Completion(f"<answer> {problem.prompt if number % 2 else 1} </answer>", (1,), (-1.0,), "stop", 0, "h", seed)
            for number in range(num_samples)
        ]
    )


def test_a_suite_in_training_is_the_suite_of_eval(four, tokenizer, tmp_path):
    """The same problems but for the name before their id, the same judge, limit and figures."""
    recipe = load_recipe("countdown", ["eval.validation_problems=3", "eval.validation_n=2", f"eval.suites=[{four}]"])
    run = RunDirectory(tmp_path / "run")
    suite = load_suite(str(four), task_problems=task_problems)
    with ExitStack() as stack:
        suites = further_suites(recipe, tokenizer, 256, stack)
        metrics = evaluator(recipe, suites, answering(), run, lambda what, words: nullcontext())(10)
        sampled = suites["four"]
    assert (sampled.sampling.max_tokens, sampled.sampling.group_size) == (64, 2)
    assert [problem.id for problem in sampled.problems] == [f"four/{item.id}" for item in suite.items[:3]]
    assert {len(problem.columns["numbers"]) for problem in sampled.problems} == {4}
    with load_judge(suite.config, read_prompt(suite.config.prompt), None) as judge:
        request = Request("four", sampled.problems, sampled.sampling, recipe.seed)
        generate_into(tmp_path / "samples.jsonl", answering(), request, judge, lambda lines: None)
    lines = with_columns(complete_lines(tmp_path / "samples.jsonl"), sampled.problems)
    expected = summary(lines, {}, [1], shipped_measures())
    found = json.loads((run.path / "eval" / "four-step-00010.json").read_text())
    assert {key: found[key] for key in expected} == json.loads(json.dumps(expected))
    assert metrics["eval/four/pass@1"] == expected["pass_at_k"]["1"]["value"]
    assert set(found["verdicts"]) == set(expected["verdicts"])


@pytest.mark.slow
def test_a_run_measures_its_suites_beside_validation(four, tmp_path):
    quiet = Console(quiet=True)
    run = train(load_recipe("countdown", [*SMALL, f"eval.suites=[{four}]"]), tmp_path / "with", console=quiet)
    without = train(load_recipe("countdown", SMALL), tmp_path / "without", console=quiet)
    for line, other in zip(run.metrics().to_pylist(), without.metrics().to_pylist(), strict=True):
        assert 0 <= line["eval/four/pass@1"] <= 1
        assert line["eval/validation/pass@1"] == other["eval/validation/pass@1"]
        assert line.get("reward/mean") == other.get("reward/mean")  # nothing else moves
    assert {"four-step-00000", "four-step-00001"} <= set(run.evaluations())
    known = {row["id"] for row in run.problems().to_pylist()}
    sampled = complete_lines(run.path / "eval" / "four-step-00001.jsonl.gz")
    assert {line["problem"] for line in sampled} <= known
    assert len(sampled) == 4


@pytest.mark.parametrize(
    ("suites", "said"),
    [
        (["countdwn"], "suite 'countdwn' is no YAML file and not shipped; did you mean countdown?"),
        (["countdown", "elsewhere/countdown.yaml"], "two are called countdown in metrics; give one another name"),
        (["mine/test.yaml"], "two are called test in metrics; give one another name"),
    ],
)
def test_what_cannot_be_measured_is_named(suites, said, tokenizer):
    with pytest.raises(ConfigError) as caught, ExitStack() as stack:
        further_suites(load_recipe("countdown", {"eval.suites": suites}), tokenizer, 256, stack)
    assert said in str(caught.value)


def test_prompts_that_do_not_fit_are_refused_with_the_suite(four, tokenizer):
    with pytest.raises(ConfigError) as caught, ExitStack() as stack:
        further_suites(load_recipe("countdown", [f"eval.suites=[{four}]"]), tokenizer, 70, stack)
    assert str(caught.value).startswith(f"eval.suites={four} with its max_tokens=64: problem four/")


def test_the_best_checkpoint_may_be_that_of_a_suite():
    best = ["checkpoint.best=eval/countdown/pass@1"]
    assert load_recipe("countdown", [*best, "eval.suites=[countdown]"]).checkpoint.best == "eval/countdown/pass@1"
    with pytest.raises(ConfigError, match="countdown is not measured; take one of eval/validation/"):
        load_recipe("countdown", best)
