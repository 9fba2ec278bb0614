"""`doubleback check RECIPE --plan`: what a recipe would take on more GPUs, and what cannot be planned."""

import os
import re
import subprocess
import sys

import pytest
from support.commands import errors


@pytest.mark.slow
def test_a_plan_says_what_it_assumes_what_a_step_takes_and_how_far_off_it_has_been():
    # A program of its own: how wide a terminal is, is the affair of all that a process has shown before.
    asked = ["check", "gsm8k", "model=qwen3-30b-a3b", "rollout.max_lag=1", "--plan", "--mean-tokens", "400"]
    command = [sys.executable, "-m", "doubleback.recipes", *asked]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", env={**os.environ, "COLUMNS": "160"})
    assert done.returncode == 0, done.stderr
    out = done.stdout
    assert "30.53 G parameters, 3.35 G of them for each token" in out
    assert "prompts of 200 tokens, completions of 400 in the mean, 1024 at most" in out
    rows = [re.split(r" *[│┃] *", line)[1:-1] for line in out.splitlines() if re.match(r"[│┃] +\d+ ", line)]
    assert [row[0] for row in rows] == ["2", "4", "8", "16", "32", "64", "128", "256", "512"]
    assert {row[1] for row in rows} == {"-"}  # two copies of the base do not fit an H100
    assert "one that samples too" in out
    assert rows[-1][-1] == "the reduction"  # every shard's gradient of 184 M parameters goes to one place
    assert float(rows[4][3]) < float(rows[4][2])  # ahead of split
    assert "192 s" in out
    assert "NeMo-RL 0.6" in out


def test_of_a_road_the_stages_are_planned_that_sample_and_learn(run):
    code, out, _ = run("check", "r1-road", "--plan")
    assert code == 0
    kinds = re.findall(r"^stage \d of \d  \S+: kind (\w+)", out, re.MULTILINE)
    assert out.count("seconds of a step on H100") == kinds.count("rl") > 0
    assert out.count("no plan for kind=") == len(kinds) - kinds.count("rl") > 0
    assert " M parameters" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--gpu", "H300"], "--gpu H300: did you mean H200?"),
        (["--mean-tokens", "2000"], "--mean-tokens 2000 is more than sampling.max_tokens=1024"),
        (["--prompt-tokens", "2000"], "--prompt-tokens 2000 and sampling.max_tokens=1024 exceed model.max_length=2048"),
        (["kind=sft"], "kind=sft is not; set kind=rl"),
    ],
)
def test_what_cannot_be_planned_is_one_line(run, arguments, said):
    code, _, err = run("check", "gsm8k", "--plan", *arguments)
    (line,) = errors(err)
    assert code == 2
    assert said in line
