"""What training measures at a step is what `doubleback eval` measures: one pipeline, compared on the same samples."""

import json
import math
from contextlib import nullcontext
from io import StringIO

import pytest
from support.fakes import FakeEngine, FakeReward

from doubleback.eval.run import Request, generate_into, in_order
from doubleback.eval.show.console import Console
from doubleback.eval.summarise import summary
from doubleback.recipes.commands.progress import EvalProgress
from doubleback.recipes.commands.train import evaluator
from doubleback.recipes.recipe.loading import load_recipe
from doubleback.recipes.recipe.suites import own_suites
from doubleback.recipes.tasks.task import Splits
from doubleback.rewards.jsonl import complete_lines
from doubleback.rewards.types import Completion, ConfigError, Problem, Score, Verdict
from doubleback.rl.run.directory import RunDirectory

PROBLEMS = [Problem(name, f"{name}?", {"answer": "1"}) for name in ("p", "q")]
CORRECT, WRONG, TIMEOUT = Score(1.0, Verdict.CORRECT), Score(0.0, Verdict.WRONG), Score(None, Verdict.TIMEOUT)


def counting():
    """An engine whose completions are their own seeds."""
    return FakeEngine(
        lambda problem, seed, num_samples: [
            Completion(str(seed + sample), (1, 2), (-1.0, -1.0), "stop", 0, "hash", seed + sample)
            for sample in range(num_samples)
        ]
    )


def judging(*scores):
    """A reward that gives every problem the same scores."""
    return FakeReward(lambda problem, completions: scores)


def measuring(recipe, splits, reward, run):
    """What a step of a run of `recipe` is measured by."""
    return evaluator(recipe, own_suites(recipe, splits, reward), counting(), run, lambda what, words: nullcontext())


def in_training(scores, folder):
    """(metrics of step 0, its summary, its samples) by the evaluations of a training run."""
    n = len(scores)
    recipe = load_recipe("countdown", [f"eval.n={n}", "eval.k=[1]", f"eval.validation_n={n}", "steps=5"])
    run = RunDirectory(folder)
    evaluate = measuring(recipe, Splits([], PROBLEMS, []), judging(*scores), run)
    metrics = evaluate(4) or evaluate(10)  # not due at step 4; due at the tenth as every tenth is
    lines = complete_lines(folder / "eval" / "validation-step-00010.jsonl.gz")
    return metrics, json.loads((folder / "eval" / "validation-step-00010.json").read_text()), lines


def test_where_patience_ends_the_test_problems_are_measured(tmp_path):
    """As at a last step: the second evaluation is no better than the first, and patience is one."""
    best = ["checkpoint.best=eval/validation/pass@1", "checkpoint.patience=1"]
    recipe = load_recipe("countdown", ["eval.n=1", "eval.k=[1]", "eval.validation_n=1", "steps=90", *best])
    run = RunDirectory(tmp_path)
    evaluate = measuring(recipe, Splits([], PROBLEMS, PROBLEMS), judging(CORRECT), run)
    suites = []
    for step in (0, 5, 10, 20):
        metrics = evaluate(step)
        run.record(step, [], metrics, [])
        suites.append({name.split("/")[1] for name in metrics})
    assert suites == [{"validation", "test"}, set(), {"validation"}, {"validation", "test"}]


def test_a_metric_for_the_best_that_nothing_measures_is_named(tmp_path):
    recipe = load_recipe("countdown", ["checkpoint.best=eval/validation/pas@1", "eval.validation_n=1"])
    splits = Splits([], PROBLEMS, PROBLEMS)
    evaluate = measuring(recipe, splits, judging(CORRECT), RunDirectory(tmp_path))
    with pytest.raises(ConfigError, match=r"is not measured; did you mean eval/validation/pass@1\?"):
        evaluate(0)


def by_eval(scores, path):
    """(summary, samples) by what `doubleback eval` runs."""
    recipe = load_recipe("countdown", [])
    request = Request("validation", PROBLEMS, recipe.sampling.sampling(len(scores)), recipe.seed)
    generate_into(path, counting(), request, judging(*scores), lambda lines: None)
    lines = in_order(path, request)
    return summary(lines, {}), lines


@pytest.mark.parametrize(
    ("scores", "pass_at_1", "low"),
    [
        # Two problems with one judged sample each, both right: Wilson's 2 of 2, low = 2 / (2 + 1.96^2) = 0.3424
        ([CORRECT, TIMEOUT], 1.0, 0.342380),
        ([CORRECT], 1.0, 0.342380),
        ([WRONG, TIMEOUT], 0.0, 0.0),
        # Two judged samples each, one right: no problem differs from the other, so that the bootstrap has no width
        ([CORRECT, WRONG, TIMEOUT], 0.5, 0.5),
    ],
)
def test_training_and_eval_say_the_same_of_the_same_samples(tmp_path, scores, pass_at_1, low):
    metrics, trained, trained_lines = in_training(scores, tmp_path / "run")
    evaluated, lines = by_eval(scores, tmp_path / "samples.jsonl")
    assert [line["completion"] for line in trained_lines] == [line["completion"] for line in lines]
    assert {key: trained[key] for key in evaluated} == evaluated
    assert (trained["num_problems"], trained["n"]) == (2, len(scores))
    assert (trained["suite"], trained["step"], trained["adapter_hash"]) == ("validation", 10, "hash")
    assert trained["pass_at_k"]["1"]["value"] == metrics["eval/validation/pass@1"] == pass_at_1
    assert trained["pass_at_k"]["1"]["low"] == pytest.approx(low, abs=1e-6)


def test_what_cannot_be_estimated_is_undefined_in_training(tmp_path):
    """With two judged samples a problem pass@3 is unknown, and neither 0 nor that of other problems."""
    recipe = load_recipe("countdown", ["eval.n=3", "eval.k=[1,3]", "steps=5"])
    reward, run = judging(CORRECT, WRONG, TIMEOUT), RunDirectory(tmp_path)
    asked = recipe.model_copy(update={"eval": recipe.eval.model_copy(update={"validation_n": 3})})
    metrics = measuring(asked, Splits([], PROBLEMS, PROBLEMS), reward, run)(0)
    assert metrics["eval/test/pass@1"] == 0.5
    assert math.isnan(metrics["eval/test/pass@3"])


def test_training_reports_the_measures_of_its_task(tmp_path):
    """The completions hold no wrong step and no doubling back: of nothing both are 0, and neither is absent."""
    recipe = load_recipe("countdown", ["eval.validation_n=1", "steps=5"])
    problems = recipe.task.splits().validation[:2]
    run = RunDirectory(tmp_path)
    metrics = measuring(recipe, Splits([], problems, []), judging(CORRECT), run)(10)
    assert {name: metrics[f"eval/validation/{name}"] for name in ("verified_backtrack", "arithmetic_error_rate")} == {
        "verified_backtrack": 0.0,
        "arithmetic_error_rate": 0.0,
    }


def test_the_running_figure_leaves_out_what_could_not_be_judged():
    shown = StringIO()
    lines = [{"verdict": "correct"}, {"verdict": "timeout"}]
    with EvalProgress(Console(file=shown, width=200), num_problems=2, n=2) as progress:
        progress.observe(lines)
        progress.observe([{"verdict": "timeout"}, {"verdict": "grader_error"}])
    assert "pass@1 1.000" in shown.getvalue()
