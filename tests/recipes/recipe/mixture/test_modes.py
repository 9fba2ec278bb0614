"""Modes end to end, on the bundled base with transformers: trained, resumed, measured apart, refused in a line."""

import json
import shutil
from pathlib import Path

import pytest
from support.commands import SMALL_COUNTDOWN, errors, untimed

from doubleback.eval.show.console import Console
from doubleback.recipes import Run, evaluate_modes, load_recipe, train
from doubleback.rewards.jsonl import complete_lines

SMALL = [
    *SMALL_COUNTDOWN,
    "engine.name=transformers",
    "rollout.prompts_per_step=4",
    "sync.num_canaries=2",
    "checkpoint.every=1",
    "modes.off.max_tokens=12",
    "modes.off.weight=1",
    *("eval.n=2", "eval.k=[1]", "eval.test_problems=2", "eval.validation_problems=2", "eval.validation_n=1"),
]


def trained_to(steps, out, **how):
    return train(load_recipe("countdown-modes", [*SMALL, f"steps={steps}"]), out, console=Console(quiet=True), **how)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return trained_to(2, tmp_path_factory.mktemp("runs") / "whole").path


@pytest.mark.slow
def test_a_step_is_half_of_each_mode_and_each_has_its_length_and_its_figures(trained):
    rows = complete_lines(trained / "rollouts" / "step-00001.jsonl.gz")
    names = [row["problem"].split("/")[0] for row in rows]
    assert (names.count("on"), names.count("off")) == (8, 8)
    tokens = {name: [row["tokens"] for row in rows if row["problem"].startswith(name)] for name in ("on", "off")}
    assert max(tokens["off"]) == 12 < max(tokens["on"]) <= 32
    line = complete_lines(trained / "metrics.jsonl")[1]
    for name in ("on", "off"):
        assert line[f"strand/{name}/mean_tokens"] == sum(tokens[name]) / 8
        obeyed = [row["parts"]["obeys_thinking"] for row in rows if row["problem"].startswith(name)]
        assert line[f"strand/{name}/part/obeys_thinking"] == sum(obeyed) / 8
    problems = {row["id"]: row for row in complete_lines(trained / "problems.jsonl")}
    first = problems["off/" + next(name for name in problems if name.startswith("on/")).removeprefix("on/")]
    assert first["prompt"].endswith(" ->")
    assert first["columns"]["thinking"] is False


@pytest.mark.slow
def test_modes_are_measured_apart_and_together_on_the_same_samples(trained):
    found = Run(trained).evaluations()
    whole, on, off = (found[f"test{name}-step-00002"] for name in ("", "-on", "-off"))
    assert (whole["num_problems"], on["num_problems"], off["num_problems"]) == (4, 2, 2)
    mean = (on["pass_at_k"]["1"]["value"] + off["pass_at_k"]["1"]["value"]) / 2
    assert whole["pass_at_k"]["1"]["value"] == pytest.approx(mean, abs=1e-12)
    assert off["mean_tokens"]["value"] <= 12
    last = complete_lines(trained / "metrics.jsonl")[-1]
    for suite in ("test-on", "test-off", "validation-on", "validation-off"):
        assert last[f"eval/{suite}/obeys_thinking"] == found[f"{suite}-step-00002"]["obeys_thinking"]["value"]


@pytest.mark.slow
def test_a_resumed_run_is_the_uninterrupted_one(trained, tmp_path):
    def interrupt(step, metrics):
        if step == 2:
            raise InterruptedError

    cut = tmp_path / "cut"
    with pytest.raises(InterruptedError):
        trained_to(2, cut, callbacks=[interrupt])
    shutil.rmtree(cut / "checkpoints" / "step-00002", ignore_errors=True)
    trained_to(2, cut, resume=True)
    for name in ("step-00001", "step-00002"):
        rollouts = [complete_lines(run / "rollouts" / f"{name}.jsonl.gz") for run in (cut, trained)]
        assert rollouts[0] == rollouts[1]
    lines = [list(map(untimed, complete_lines(run / "metrics.jsonl"))) for run in (cut, trained)]
    assert lines[0] == lines[1]


@pytest.mark.slow
def test_eval_measures_every_mode_of_a_run_and_says_what_thinking_costs(run, trained, tmp_path):
    asked = ["--suite", "countdown", "--limit", "2", "--n", "2", "--engine", "transformers", "--temperature", "1"]
    code, text, err = run("eval", trained, *asked, "--out", tmp_path / "both")
    assert code == 0, err
    assert "obeys thinking" in text
    assert "points per 100 tokens" in text
    both = json.loads((tmp_path / "both" / "modes.json").read_text())
    for name, longest in (("on", 32), ("off", 12)):
        found = json.loads((tmp_path / "both" / name / "summary.json").read_text())
        assert (found["mode"], found["thinking"], found["max_tokens"]) == (name, name == "on", longest)
        assert both["modes"][name]["obeys_thinking"] == found["obeys_thinking"]
        assert found["obeys_thinking"]["value"] is not None
    tokens = [both["modes"][name]["mean_tokens"]["value"] for name in ("on", "off")]
    difference = both["thinking_on_minus_off"]["tokens"]["difference"]["value"]
    assert difference == pytest.approx(tokens[0] - tokens[1], abs=1e-9)
    gain = both["thinking_on_minus_off"]["accuracy"]["difference"]["value"]
    assert both["thinking_on_minus_off"]["price"]["value"] == pytest.approx(1e4 * gain / difference, abs=1e-9)
    code, text, err = run("eval", trained, *asked, "--mode", "off", "--out", tmp_path / "off")
    assert code == 0, err
    samples = [(tmp_path / folder / "samples.jsonl").read_bytes() for folder in ("off", "both/off")]
    assert samples[0] == samples[1]


@pytest.mark.slow
def test_show_has_every_mode_before_and_after_and_the_price(run, trained):
    code, text, err = run("show", trained)
    assert code == 0, err
    for name in ("test", "test-on", "test-off"):
        assert f"{name}: {4 if name == 'test' else 2} problems x 2 samples" in text
    assert "points per 100 tokens" in text


@pytest.mark.slow
def test_from_python_the_modes_come_by_name(trained, tmp_path):
    options = {"limit": 2, "n": 1, "engine": "transformers", "max_tokens": 8}
    found = evaluate_modes(trained, "countdown", out=tmp_path / "both", console=Console(quiet=True), **options)
    assert [(name, it.summary["mode"], it.path) for name, it in found.items()] == [
        (name, name, tmp_path / "both" / name) for name in ("on", "off")
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--thinking", "on"], "--thinking on: the run has the modes on, off; name one with --mode"),
        (["--mode", "of"], "--mode of is none of the run's; did you mean off?"),
        (["--mode", "on", "--thinking", "off"], "--mode on says of thinking what the run's recipe does; leave"),
    ],
)
def test_a_mode_that_cannot_be_measured_is_a_line(run, trained, tmp_path, options, said):
    code, _, err = run("eval", trained, "--suite", "countdown", *options, "--out", tmp_path / "eval")
    assert code == 2
    (line,) = errors(err)
    assert said in line


def test_a_mode_of_what_is_no_run_is_a_line(run, tmp_path):
    code, _, err = run("eval", "bundled:countdown", "--suite", "countdown", "--mode", "on", "--out", tmp_path / "eval")
    assert code == 2
    assert errors(err) == ["error: --mode on: bundled:countdown is no run with modes; leave it out"]


def test_check_says_what_each_mode_is(run):
    code, text, err = run("check", "countdown-modes", *SMALL)
    assert code == 0, err
    shown = " ".join(text.split())
    assert "mode on 50% of a step, of 24 train; prompt '{question}', up to 32 tokens" in shown
    assert "mode off 50% of a step, of 24 train; prompt '{question} ->', up to 12 tokens" in shown
    assert "countdown x 1 (judge) if answer_only >= 1, answer_only x 1, obeys_thinking x 0.5" in shown


def test_another_prompt_for_a_mode_is_another_run(run, trained, tmp_path):
    folder = Path(shutil.copytree(trained, tmp_path / "run"))
    changed = ["modes.off.prompt={question} =", "modes.off.weight=2"]  # of a key that holds text, YAML or not
    code, _, err = run("train", "countdown-modes", *SMALL, "steps=2", *changed, "--out", folder, "--resume")
    assert code == 2
    assert [line.split(" is ")[0] for line in errors(err)] == [
        "error: --resume: modes.off.weight",
        "error: --resume: modes.off.prompt",
    ]
