"""Evaluations as logs of inspect_ai, read back with inspect_ai: nothing is lost, and nothing hostile breaks it."""

import gzip
import json
import subprocess
import sys

import pytest
import yaml
from inspect_ai.log import list_eval_logs, read_eval_log
from support.commands import errors

from doubleback.recipes.recipe.loading import load_recipe

HOSTILE = "</script><b>\u202e[/INST] \\ud800 {{ x }}"


def estimate(value):
    return {"value": value, "low": 0.25, "high": None}


SUMMARY = {
    "suite": "gsm8k",
    "num_problems": 2,
    "n": 2,
    "model": "somebody/model",
    "temperature": 0.5,
    "max_tokens": 64,
    "seed": 7,
    "pass_at_k": {"1": estimate(0.5), "2": estimate(1.0)},
    "measures": {"verified_backtrack": "verified backtracks"},
    "verified_backtrack": estimate(0.125),
    "mean_tokens": estimate(5.0),
    "format_rate": estimate(None),
}


def line(problem, sample, **changes):
    told = {"problem": problem, "sample": sample, "seed": 3, "completion": f"{HOSTILE} {sample}", "tokens": 5}
    told |= {"finish_reason": "stop", "policy_version": 0, "adapter_hash": None, "score": 1.0, "verdict": "correct"}
    told |= {"extracted": "4", "parts": {"math": 1.0}, "weighted": {"math": 1.0}, "detail": "rational"}
    return {**told, **changes}


LINES = [
    line("a", 0),
    line("a", 1, score=0.0, verdict="wrong", extracted=None, finish_reason="length", detail=""),
    line("b", 0, score=None, verdict="timeout", detail="2 s are over"),
    line("b", 1, tokens=None),
]


@pytest.fixture
def evaluation(tmp_path):
    folder = tmp_path / "evaluation"
    folder.mkdir()
    (folder / "summary.json").write_text(json.dumps(SUMMARY))
    (folder / "samples.jsonl").write_text("".join(json.dumps(it) + "\n" for it in LINES))
    problems = [{"id": name, "prompt": f"{name}: 2 + 2?", "columns": {"answer": 4, "odd": [None]}} for name in "ab"]
    (folder / "problems.jsonl").write_text("".join(json.dumps(it) + "\n" for it in problems))
    return folder


def test_every_sample_is_one_of_theirs(run, evaluation):
    code, out, err = run("export", evaluation, "--to", "inspect")
    assert code == 0, err
    (found,) = list_eval_logs(str(evaluation / "inspect"))
    assert f"log     {evaluation / 'inspect'}" in out
    log = read_eval_log(found)
    assert (log.status, log.eval.task, log.eval.model, log.eval.config.epochs) == (
        "success",
        "gsm8k",
        "somebody/model",
        2,
    )
    assert (log.eval.dataset.samples, log.eval.dataset.sample_ids) == (2, ["a", "b"])
    assert (log.eval.model_generate_config.temperature, log.eval.model_generate_config.max_tokens) == (0.5, 64)
    samples = {(it.id, it.epoch): it for it in log.samples}
    first, second, unjudged, uncounted = (samples.pop(key) for key in (("a", 1), ("a", 2), ("b", 1), ("b", 2)))
    assert samples == {}
    assert (first.input, first.target, first.output.completion) == ("a: 2 + 2?", "4", f"{HOSTILE} 0")
    assert (first.scores["correct"].value, first.scores["correct"].answer, first.scores["reward"].value) == (
        "C",
        "4",
        1,
    )
    assert first.scores["correct"].explanation == "rational"
    assert first.scores["correct"].metadata["parts"] == {"math": 1.0}
    assert (first.metadata["seed"], first.metadata["odd"]) == (3, [None])
    assert (first.output.usage.output_tokens, first.output.stop_reason) == (5, "stop")
    assert (second.scores["correct"].value, second.output.stop_reason) == ("I", "max_tokens")
    assert (unjudged.scores, unjudged.error.message) == (None, "timeout: 2 s are over")
    assert (uncounted.output.usage, uncounted.error) == (None, None)


def test_what_was_measured_is_among_their_results(run, evaluation):
    run("export", evaluation, "--to", "inspect")
    log = read_eval_log(list_eval_logs(str(evaluation / "inspect"))[0])
    (score,) = log.results.scores
    assert {name: metric.value for name, metric in score.metrics.items()} == {
        "accuracy": 0.5,
        "low": 0.25,
        "pass@1": 0.5,
        "pass@2": 1.0,
        "mean_tokens": 5.0,
        "verified_backtrack": 0.125,
    }
    assert (log.results.total_samples, log.results.completed_samples) == (4, 3)
    assert log.stats.model_usage["somebody/model"].output_tokens == 15


def test_of_a_run_every_measurement_is_a_log(run, evaluation, tmp_path):
    folder = tmp_path / "run"
    (folder / "eval").mkdir(parents=True)
    recipe = load_recipe("countdown", ["seed=9"]).model_dump(mode="json")
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    for step in (0, 10):
        summary = {**SUMMARY, "suite": "test", "step": step}
        (folder / "eval" / f"test-step-{step:05d}.json").write_text(json.dumps(summary))
        content = "".join(json.dumps(it) + "\n" for it in LINES).encode()
        (folder / "eval" / f"test-step-{step:05d}.jsonl.gz").write_bytes(gzip.compress(content))
    code, _, err = run("export", folder, "--to", "inspect", "--out", tmp_path / "logs")
    assert code == 0, err
    logs = [read_eval_log(it) for it in list_eval_logs(str(tmp_path / "logs"))]
    assert sorted(log.eval.task for log in logs) == ["test-step-00000", "test-step-00010"]
    assert {log.eval.model_generate_config.seed for log in logs} == {9}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--to", "wandb"], "error: --to wandb: choose inspect"),
        (["--to", "inspect", "--out", "EXISTS"], "exists already; choose another folder"),
    ],
)
def test_what_cannot_be_is_one_line(run, evaluation, tmp_path, arguments, said):
    code, _, err = run("export", evaluation, *[str(tmp_path) if it == "EXISTS" else it for it in arguments])
    (told,) = errors(err)
    assert (code, said in told) == (2, True)
    code, _, err = run("export", tmp_path, "--to", "inspect", "--out", tmp_path / "new")
    assert (code, "holds no finished evaluation" in errors(err)[0]) == (2, True)


def test_without_the_extra_the_way_to_it_is_said(evaluation):
    program = (
        "import sys; sys.modules['inspect_ai'] = None\n"
        "sys.argv = ['doubleback', 'export', sys.argv[1], '--to', 'inspect']\n"
        "from doubleback.recipes.commands.cli import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", program, str(evaluation)], capture_output=True, text=True)
    (told,) = errors(done.stderr)
    assert (done.returncode, told.endswith("install it with: pip install 'doubleback[inspect]'")) == (2, True)
