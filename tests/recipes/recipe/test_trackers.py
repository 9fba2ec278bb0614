"""Trackers get every step's metrics; a missing package is one clear line."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from doubleback.recipes.recipe import trackers
from doubleback.recipes.recipe.loading import load_recipe
from doubleback.recipes.recipe.trackers import start_trackers
from doubleback.rewards.types import ConfigError


def test_off_by_default(tmp_path):
    with start_trackers(load_recipe("countdown"), tmp_path) as track:
        track(1, {"reward/mean": 0.5})
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_gets_every_step(tmp_path):
    with start_trackers(load_recipe("countdown", ["trackers=[tensorboard]"]), tmp_path) as track:
        for step in (1, 2):
            track(step, {"reward/mean": step / 4})
    (folder,) = {path.parent for path in tmp_path.rglob("events.*") if path.parent.name == "doubleback"}
    events = EventAccumulator(str(folder)).Reload()
    assert [(event.step, event.value) for event in events.Scalars("reward/mean")] == [(1, 0.25), (2, 0.5)]


@pytest.mark.slow
def test_wandb_writes_into_the_run(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.chdir(tmp_path)
    with start_trackers(load_recipe("countdown", ["trackers=[wandb]"]), tmp_path / "run") as track:
        track(1, {"reward/mean": 0.25})
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    (log,) = (tmp_path / "run" / "trackers" / "wandb").glob("offline-run-*/*.wandb")
    assert b"reward/mean" in log.read_bytes()


def test_a_tracker_that_is_not_installed_is_named(tmp_path, monkeypatch):
    import accelerate.utils

    monkeypatch.setattr(accelerate.utils, "is_wandb_available", lambda: False)
    with (
        pytest.raises(ConfigError, match="trackers: wandb is not installed; pip install wandb"),
        start_trackers(load_recipe("countdown", ["trackers=[wandb]"]), tmp_path),
    ):
        pass
    assert trackers.__doc__
