"""Trackers get every step's metrics, once; a missing package is one clear line."""

import json
import subprocess
import sys
from typing import ClassVar

import pytest
import torch.distributed
import yaml
from support.commands import untimed
from support.processes import wait_until
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from doubleback.recipes.recipe import trackers
from doubleback.recipes.recipe.loading import load_recipe
from doubleback.recipes.recipe.trackers import TRACKERS, TrackedRun, TrackerRow, flat, start_trackers
from doubleback.rewards.types import ConfigError

SETTINGS = {"seed": 0, "optim": {"lr": 1e-3, "betas": [0.9, 0.95]}, "task": {"train": None}}
REWARD = "reward/mean"


def tracked(out, start=0):
    return TrackedRun(out, SETTINGS, start)


def told(names, out, steps, start=0):
    """A run from `start` that tells its trackers these steps."""
    with start_trackers(names, tracked(out, start)) as track:
        for step in steps:
            track(step, {REWARD: step / 4})


def shown(out):
    """(step, value) of the reward as TensorBoard shows them."""
    events = EventAccumulator(str(out / "trackers" / "tensorboard" / out.name)).Reload()
    return [(event.step, event.value) for event in events.Scalars(REWARD)]


def test_off_by_default(tmp_path):
    recipe = load_recipe("countdown")
    with start_trackers(recipe.trackers, tracked(tmp_path)) as track:
        track(1, {REWARD: 0.5})
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_gets_every_step(tmp_path):
    told(["tensorboard"], tmp_path / "mine", (1, 2))
    assert shown(tmp_path / "mine") == [(1, 0.25), (2, 0.5)]


def test_tensorboard_shows_no_step_twice_after_a_resume(tmp_path):
    out = tmp_path / "mine"
    told(["tensorboard"], out, range(5))
    told(["tensorboard"], out, range(3, 7), start=2)
    assert shown(out) == [(step, step / 4) for step in range(7)]
    told(["tensorboard"], out, range(2))  # from the start: killed before its first checkpoint
    assert shown(out) == [(0, 0.0), (1, 0.25)]


def test_settings_are_hyper_parameters_one_by_one(tmp_path):
    told(["tensorboard"], tmp_path / "mine", range(2))
    told(["tensorboard"], tmp_path / "mine", range(2, 4), start=1)
    (stored,) = (tmp_path / "mine" / "trackers").rglob("hparams.yml")
    assert yaml.safe_load(stored.read_text()) == {"seed": 0, "optim.lr": 1e-3, "optim.betas": "[0.9, 0.95]"}


def test_every_key_of_a_recipe_is_a_hyper_parameter_or_not_set():
    found = flat(load_recipe("countdown").model_dump(mode="json"))
    assert found["optim.lr"] == load_recipe("countdown").optim.lr
    assert found["reward.components.countdown.weight"] == 1.0
    assert {type(value) for value in found.values()} <= {bool, int, float, str}


class Recorder:
    """A tracker like those that know runs by an id and forget nothing."""

    made: ClassVar = []

    def __init__(self, **options):
        self.options, self.said = options, []
        Recorder.made.append(self)

    def start(self):
        self.said.append("start")

    def store_init_configuration(self, values):
        self.said.append(values)

    def log(self, values, step):
        self.said.append(step)

    def finish(self):
        self.said.append("finish")


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_resumed_run_goes_on_under_its_id_and_tells_no_step_twice(name, tmp_path, monkeypatch):
    row = TRACKERS[name]
    mine = TrackerRow(location=f"{__name__}:Recorder", package="json", options=row.options, can_forget=row.can_forget)
    monkeypatch.setitem(TRACKERS, name, mine)
    monkeypatch.setattr(Recorder, "made", [])
    told([name], tmp_path / "mine", range(5))
    told([name], tmp_path / "mine", range(3, 7), start=2)
    told([name], tmp_path / "other" / "mine", range(1))
    first, second, other = Recorder.made
    assert first.said == ["start", flat(SETTINGS), 0, 1, 2, 3, 4, "finish"]
    assert second.said == ["start", 5, 6, "finish"]
    assert first.options == second.options != other.options
    assert first.options["run_name"] == "doubleback"
    assert first.options["name"].startswith("mine")
    assert first.options["resume"] == "allow"


def test_a_run_is_called_as_its_recipe_says_and_keeps_its_tags(tmp_path):
    recipe = load_recipe("countdown", ["name=longer", "tags=[paper, 2nd try]", "trackers=[tensorboard]"])
    run = TrackedRun(tmp_path / "folder", recipe.model_dump(mode="json"), 0)
    assert run.name == "longer"
    options = TRACKERS["wandb"].options(run, "0123456789")
    assert (options["name"], options["tags"]) == ("longer", ["paper", "2nd try"])
    assert TRACKERS["trackio"].options(run, "0123456789")["name"] == "longer-012345"
    with start_trackers(["tensorboard"], run) as track:
        track(1, {REWARD: 0.5})
    (stored,) = (run.folder / "tensorboard" / "longer").rglob("hparams.yml")
    assert yaml.safe_load(stored.read_text())["tags"] == '["paper", "2nd try"]'


@pytest.mark.parametrize("name", ["a/b", "", " a", "x" * 81])
def test_a_name_is_one_of_a_folder(name):
    with pytest.raises(ConfigError, match="name="):
        load_recipe("countdown", {"name": name})


def test_every_tracker_is_finished_and_nothing_else(tmp_path, monkeypatch):
    """The process group is vLLM's: ending it made every run end in a traceback."""
    monkeypatch.setattr(Recorder, "made", [])
    monkeypatch.setitem(
        TRACKERS,
        "wandb",
        TrackerRow(location=f"{__name__}:Recorder", package="json", options=lambda run, run_id: {}, can_forget=False),
    )
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        told(["wandb", "tensorboard"], tmp_path, range(1))
        assert torch.distributed.is_initialized()
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    assert Recorder.made[0].said[-1] == "finish"


@pytest.mark.slow
def test_wandb_writes_into_the_run_and_goes_on_with_it(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.chdir(tmp_path)
    told(["wandb"], tmp_path / "run", range(2))
    told(["wandb"], tmp_path / "run", range(2, 3), start=1)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    logs = sorted((tmp_path / "run" / "trackers" / "wandb").glob("offline-run-*/*.wandb"))
    # Its own process writes, and may do so after the run was told to finish.
    wait_until(lambda: all(b"reward/mean" in log.read_bytes() for log in logs))
    assert any(b"optim.lr" in log.read_bytes() for log in logs)
    known = json.loads((tmp_path / "run" / "trackers" / "wandb.json").read_text())
    assert {log.stem for log in logs} == {f"run-{known['id']}"}


def test_a_tracker_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    with (
        pytest.raises(ConfigError, match="trackers: wandb is not installed; pip install wandb"),
        start_trackers(["wandb"], tracked(tmp_path)),
    ):
        pass


def test_a_tracker_that_there_is_not_is_named_with_the_nearest():
    with pytest.raises(ConfigError, match=r"trackers=tensorbord is no tracker; did you mean tensorboard\?"):
        load_recipe("countdown", ["trackers=[tensorbord]"])


SMALL = [
    *("rollout.prompts_per_step=2", "sampling.group_size=2", "sampling.max_tokens=48", "eval.n=1", "eval.k=[1]"),
    *("eval.test_problems=2", "eval.validation_problems=2", "eval.validation_n=1", "sync.num_canaries=2"),
    *("reward.components.overlong.args.buffer=16", "checkpoint.every=1", "trackers=[tensorboard]"),
]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_on_vllm_ends_as_it_should_and_goes_on(tmp_path):
    """Through the command line: trackers used to take vLLM's process group along, with exit code 1 and no table."""
    out = tmp_path / "mine"
    command = [sys.executable, "-m", "doubleback.recipes", "train", "countdown", *SMALL, "--out", str(out)]
    for more in (["steps=1"], ["steps=2", "--resume"]):
        done = subprocess.run([*command, *more], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        assert "learning curve" in done.stdout
        assert (out / "learning_curve.png").exists()
    lines = [untimed(json.loads(line)) for line in (out / "metrics.jsonl").read_text().splitlines()]
    events = EventAccumulator(str(out / "trackers" / "tensorboard" / "mine")).Reload()
    assert [event.step for event in events.Scalars("sync/max_abs")] == [line["step"] for line in lines] == [0, 1, 2]
