"""How a run stands, whether live or stopped, from what is in its folder."""

import json
import os

import pytest
import yaml
from support.commands import errors

from doubleback.recipes.recipe.loading import load_recipe
from doubleback.rl.run.owner import owned

ESTIMATE = {"value": 0.25, "low": 0.125, "high": None}


@pytest.fixture
def unfinished(tmp_path):
    folder = tmp_path / "a run"
    (folder / "eval").mkdir(parents=True)
    for step in (10, 20, 0):
        (folder / "checkpoints" / f"step-{step:05d}").mkdir(parents=True)
        found = {"suite": "validation", "step": step, "pass_at_k": {"1": ESTIMATE}, "measures": {}}
        (folder / "eval" / f"validation-step-{step:05d}.json").write_text(json.dumps(found), encoding="utf-8")
    (folder / "checkpoints" / "step-00024.tmp").mkdir()
    recipe = load_recipe("countdown", ["steps=40"]).model_dump(mode="json")
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    lines = [{"step": step, "reward/mean": 0.5, "learner/entropy": None} for step in range(24)]
    torn = json.dumps({"step": 24})[:-3]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + torn, encoding="utf-8")
    return folder


def test_a_stopped_run_says_where_it_stands_and_the_command_that_goes_on(run, unfinished):
    code, out, _ = run("show", unfinished)
    assert code == 0
    assert "state       stopped\nstep        23 of 40, of which 20 is saved\n" in out
    assert "newest      reward 0.500  entropy nan\n" in out
    measured = [line.split()[:3] for line in out.splitlines() if line.startswith("validation")]
    assert measured == [["validation", step, "0.250"] for step in ("0", "10", "20")]
    assert (unfinished / "learning_curve.png").stat().st_size > 10_000
    assert f"next        doubleback train '{unfinished}/recipe.yaml' --out '{unfinished}' --resume" in out
    assert load_recipe(str(unfinished / "recipe.yaml"), []) == load_recipe("countdown", ["steps=40"])


def test_who_waited_for_whom_is_said_where_the_times_are_known(run, unfinished):
    """In turns: 4 s of sampling and 4 s of the update in each step."""
    assert "timeline" not in run("show", unfinished)[1]
    taken = {"rollout": 4, "reward": 0, "queue": 0, "update": 4, "wait": 0, "sync": 0, "receipt": 0, "step": 8}
    seconds = {f"seconds/{name}": value for name, value in taken.items()}
    lines = [
        {"step": step, **seconds, "seconds/began_at": 8 * step, "seconds/sampled_at": 8 * step} for step in range(24)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (unfinished / "metrics.jsonl").write_text(text, encoding="utf-8")
    _, out, _ = run("show", unfinished)
    assert "the learner waited for the engine 50 % of the time, the engine for the learner 46 %" in out
    assert (unfinished / "timeline.png").stat().st_size > 5_000


def test_a_live_run_says_who_is_at_work(run, unfinished):
    with owned(unfinished):
        code, out, _ = run("show", unfinished)
    assert code == 0
    assert f"state       live: process {os.getpid()} on " in out
    assert "next        it goes on by itself" in out


def test_a_run_that_has_only_begun_can_be_shown(run, unfinished):
    (unfinished / "metrics.jsonl").unlink()
    code, out, _ = run("show", unfinished)
    assert (code, "step        0 of 40" in out) == (0, True)


def test_what_is_no_run_is_one_line(run, tmp_path):
    code, _, err = run("show", tmp_path)
    assert (code, errors(err)) == (
        2,
        [f"error: {tmp_path} is no run: it holds no recipe.yaml; give the folder that a run was written to"],
    )
