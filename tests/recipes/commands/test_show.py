"""How a run stands, whether live or stopped, from what is in its folder."""

import gzip
import json
import os
import re
import subprocess
import sys

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
    lines = [
        {"step": step, "reward/mean": 0.5, "learner/entropy": None, "verdict/correct": step / 46} for step in range(24)
    ]
    torn = json.dumps({"step": 24})[:-3]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + torn, encoding="utf-8")
    (folder / "rollouts").mkdir()
    (folder / "problems.jsonl").write_text(json.dumps({"id": "a", "prompt": "2 \x1b[2J+ 2", "columns": {}}) + "\n")
    for step, scores in ((7, [0.0, 1.0, None, 0.5, 0.25, -1.0, 0.75]), (23, [0.0, 1.2])):
        samples = "".join(json.dumps(sample(number, score)) + "\n" for number, score in enumerate(scores))
        (folder / "rollouts" / f"step-{step:05d}.jsonl.gz").write_bytes(gzip.compress(samples.encode()))
    return folder


def sample(number, score):
    verdict = "timeout" if score is None else "correct" if score >= 1 else "wrong"
    return {
        "problem": "a",
        "sample": number,
        "completion": f"[/INST] {number} " + "x" * (2000 if number == 1 else 3),
        "tokens": 12,
        "finish_reason": "length" if number == 0 else "stop",
        "score": score,
        "verdict": verdict,
        "extracted": "4" if score == 1.2 else None,
        "parts": {},
        "weighted": {"answer": 1.0, "format": 0.2} if score == 1.2 else {},
        "detail": "too slow" if score is None else "",
        "advantage": None if score is None else score - 0.6,
    }


def shown_samples(out):
    """(best, worst or not judged, number) of each sample, in order."""
    return re.findall(r"(best|worst|not judged): problem a, sample (\d)", out)


def test_the_curve_is_drawn_in_characters(run, unfinished):
    """The share that is correct rises from 0 to a half, with validation at a quarter."""
    code, out, _ = run("show", unfinished)
    assert code == 0
    rows = [line for line in out.splitlines() if re.match(r" *[\d.]* [|+]", line)]
    assert [label for row in rows[:8] if (label := row.split("|")[0].strip())] == ["0.5", "0.25", "0"]
    assert rows[0].rstrip()[-1] in "·."
    assert rows[7].split("|")[1][0] in "·."
    assert "share of training rollouts that is correct" in out
    assert sum(row.count("●") + row.count("o") for row in rows) == 3


def test_samples_of_the_newest_step_and_of_one_that_is_asked_for(run, unfinished):
    code, out, _ = run("show", unfinished)
    assert (code, shown_samples(out)) == (0, [("best", "1"), ("worst", "0")])
    words = " ".join(re.sub(r"[│|]", "", out).split())
    assert "correct score 1.2 = +1 answer +0.2 format, advantage +0.6, answer '4', 12 tokens" in words
    assert "(1,310 characters)" in words
    assert "wrong score 0, advantage -0.6, 12 tokens, cut off" in words
    assert "\x1b" not in out
    assert "2 \\x1b[2J+ 2" in words
    code, out, _ = run("show", unfinished, "--step", "7")
    expected = [("best", "1"), ("best", "6"), ("best", "3"), ("worst", "4"), ("worst", "0"), ("worst", "5")]
    assert (code, shown_samples(out)) == (0, [*expected, ("not judged", "2")])
    assert "timeout" in out
    assert "too slow" in out
    code, _, err = run("show", unfinished, "--step", "8")
    said = f"error: --step 8: {unfinished} has no samples of that step; it has those of 7 to 23"
    assert (code, errors(err)) == (2, [said])


def test_a_look_loads_neither_torch_nor_matplotlib(unfinished):
    """They are what takes its time: without them a look took 0.9 s of a processor, nearly all of it loading."""
    program = (
        "import sys; sys.argv = ['doubleback', 'show', sys.argv[1]]\n"
        "from doubleback.recipes.commands.cli import main\n"
        "try: main()\n"
        "finally: print(sorted({'torch', 'matplotlib', 'transformers', 'peft', 'scipy', 'pandas'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(unfinished)], capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "[]"), done.stderr


def test_a_stopped_run_says_where_it_stands_and_the_command_that_goes_on(run, unfinished):
    before = sorted(path.name for path in unfinished.iterdir())
    code, out, _ = run("show", unfinished)
    assert code == 0
    assert "state       stopped\nstep        23 of 40, of which 20 is saved\n" in out
    assert "newest      reward 0.500  pass 0.500  entropy nan\n" in out
    measured = [line.split()[:3] for line in out.splitlines() if line.startswith("validation")]
    assert measured == [["validation", step, "0.250"] for step in ("0", "10", "20")]
    assert sorted(path.name for path in unfinished.iterdir()) == before  # a look changes nothing
    assert f"next        doubleback train '{unfinished}/recipe.yaml' --out '{unfinished}' --resume" in out
    assert load_recipe(str(unfinished / "recipe.yaml"), []) == load_recipe("countdown", ["steps=40"])


def test_who_waited_for_whom_is_said_where_the_times_are_known(run, unfinished):
    """In turns: 4 s of sampling and 4 s of the update in each step."""
    assert "waiting" not in run("show", unfinished)[1]
    taken = {"rollout": 4, "reward": 0, "queue": 0, "update": 4, "wait": 0, "sync": 0, "receipt": 0, "step": 8}
    seconds = {f"seconds/{name}": value for name, value in taken.items()}
    lines = [
        {"step": step, **seconds, "seconds/began_at": 8 * step, "seconds/sampled_at": 8 * step} for step in range(24)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (unfinished / "metrics.jsonl").write_text(text, encoding="utf-8")
    _, out, _ = run("show", unfinished)
    assert "the learner waited for the engine 50 % of the time, the engine for the learner 46 %" in out
    assert not (unfinished / "timeline.png").exists()


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
