"""Through the command line: a folder or file in use is refused by name, nothing in it is touched, defaults differ."""

import json
import os
import signal
import subprocess
import sys

import pytest
import yaml
from support.commands import SMALL_COUNTDOWN, errors
from support.processes import wait_until

from doubleback.recipes.commands.cli import options
from doubleback.recipes.recipe.loading import load_recipe
from doubleback.rl.run.owner import owned, owned_output


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".owner"}


@pytest.fixture
def live(tmp_path):
    """The folder of a run that somebody is at work in."""
    folder = tmp_path / "run"
    (folder / "rollouts").mkdir(parents=True)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(load_recipe("countdown", []).model_dump(mode="json")))
    (folder / "metrics.jsonl").write_text("".join(json.dumps({"step": step}) + "\n" for step in range(4)))
    (folder / "rollouts" / "step-00003.jsonl.gz").write_bytes(b"")
    with owned(folder):
        yield folder


@pytest.mark.parametrize(
    "command",
    [
        ("train", "countdown", "--resume"),
        ("train", "countdown"),
        ("eval", "bundled:countdown", "--suite", "countdown"),
    ],
    ids=" ".join,
)
def test_a_folder_in_use_is_refused_by_name_and_nothing_in_it_changes(run, live, command):
    before = contents(live)
    code, _, err = run(*command, "--out", live)
    (line,) = errors(err)
    assert code == 2
    assert line.startswith(f"error: --out {live} is in use by process {os.getpid()} on ")
    assert contents(live) == before


def test_an_output_in_use_is_refused(run, tmp_path):
    (tmp_path / "rows.jsonl").write_text(json.dumps({"completion": "1", "answer": "1"}) + "\n")
    with owned_output(tmp_path / "rows.scored.jsonl"):
        code, _, err = run("score", tmp_path / "rows.jsonl")
    assert (code, "is in use by process" in errors(err)[0]) == (2, True)
    assert run("score", tmp_path / "rows.jsonl")[0] == 0
    with owned_output(tmp_path / "base"):
        code, _, err = run("pretrain", "countdown", "--out", tmp_path / "base")
    assert (code, "is in use by process" in errors(err)[0]) == (2, True)


def test_default_folders_of_one_second_differ(run, tmp_path, monkeypatch):
    """As it was reported: two starts in one second, of which the second wrote over the first."""
    folders = []

    def train(recipe, out, **_):
        folders.append(out)
        (out / "recipe.yaml").write_text("mine")

    class Stopped(options.datetime):
        @classmethod
        def now(cls):
            return cls(2026, 1, 2)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(options, "datetime", Stopped)
    monkeypatch.setattr("doubleback.recipes.commands.stages.train.train", train)
    monkeypatch.setattr("doubleback.recipes.commands.stages.show.show_outcome", lambda *_: None)
    for more in ([], [], ["name=longer"]):
        assert run("train", "countdown", *more)[0] == 0
    assert [str(folder) for folder in folders] == [
        "runs/countdown-20260102-000000",
        "runs/countdown-20260102-000000-2",
        "runs/longer-20260102-000000",
    ]


def test_a_place_that_cannot_be_written_is_refused_before_a_model_is_looked_for(run, tmp_path):
    (tmp_path / "file").write_text("in the way")
    nowhere = tmp_path / "nowhere"
    for command in (
        ("train", "countdown", f"model.path={nowhere}"),
        ("eval", "bundled:countdown", "--suite", "countdown", "--engine", "nothing.py:at_all"),
    ):
        code, _, err = run(*command, "--out", tmp_path / "file" / "out")
        assert (code, [line.partition(":")[2] for line in errors(err)]) == (
            2,
            [
                f" --out {tmp_path / 'file' / 'out'} cannot be written (Not a directory: {tmp_path / 'file' / 'out'}); "
                "choose another --out"
            ],
        )


def started(*arguments):
    """The program in a process of its own."""
    command = [sys.executable, "-m", "doubleback.recipes", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def json_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_of_two_starts_at_once_one_trains_and_nobody_else_gets_into_its_folder(run, tmp_path):
    """With real vLLM; as it was reported, a resume of a live run deleted its metrics and rollouts."""
    out = tmp_path / "run"
    few = ["eval.n=1", "eval.k=[1]", "eval.test_problems=2", "eval.validation_problems=2", "eval.validation_n=1"]
    command = ["train", "countdown", *SMALL_COUNTDOWN, *few, "steps=1000", "--out", out]
    both = [started(*command, f"seed={seed}") for seed in (0, 1)]
    wait_until(lambda: any(process.poll() is not None for process in both))
    (refused,), (live,) = [[it for it in both if (it.poll() is None) == is_live] for is_live in (False, True)]
    (line,) = errors(refused.communicate()[1])
    assert (refused.returncode, f"is in use by process {live.pid} on " in line) == (2, True)
    wait_until(lambda: len(json_lines(out / "metrics.jsonl")) > 2, live)
    before = len(json_lines(out / "metrics.jsonl"))
    seed = yaml.safe_load((out / "recipe.yaml").read_text())["seed"]
    assert seed == both.index(live)
    for more in (
        [*command, f"seed={seed}", "--resume"],
        [*command, "seed=2"],
        ["eval", "bundled:countdown", "--suite", "countdown", "--out", out],
    ):
        code, _, err = run(*more)
        (line,) = errors(err)
        assert (code, f"is in use by process {live.pid} on " in line) == (2, True)
    wait_until(lambda: len(json_lines(out / "metrics.jsonl")) > before, live)
    live.send_signal(signal.SIGTERM)
    _, err = live.communicate()
    assert live.returncode == 143, err
    steps = [line["step"] for line in json_lines(out / "metrics.jsonl")]
    assert steps == list(range(len(steps)))
    assert len(list((out / "rollouts").iterdir())) == len(steps) - 1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_evaluations_in_one_folder_are_one(run, tmp_path):
    """With real vLLM; as it was reported, two of them printed a wrong pass@1."""
    out = tmp_path / "evaluation"
    command = ["eval", "bundled:countdown", "--suite", "countdown", "--n", "64", "--out", out]
    live = started(*command)
    wait_until(lambda: len(json_lines(out / "samples.jsonl")) > 0, live)
    for more in ([], ["--seed", "1"]):
        code, _, err = run(*command, *more)
        (line,) = errors(err)
        assert (code, f"is in use by process {live.pid} on " in line) == (2, True)
    live.send_signal(signal.SIGTERM)
    assert "interrupted; " in live.communicate()[1]
    samples = [(line["problem"], line["sample"]) for line in json_lines(out / "samples.jsonl")]
    assert len(samples) == len(set(samples))
