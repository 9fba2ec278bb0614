"""A run whose gradients come from processes of their own, however many, is the run without them: real processes."""

import os
import signal

import pytest
from support.commands import SMALL_COUNTDOWN, call, errors, untimed
from support.processes import wait_for_end

from doubleback.rl.learner.gradient.workers import Workers
from doubleback.rl.run.directory import RunDirectory

pytestmark = pytest.mark.slow

STEPS = 4
SETTINGS = (
    *SMALL_COUNTDOWN,
    "rollout.prompts_per_step=5",
    "engine.name=transformers",
    "scale.shards=3",
    "algorithm.updates_per_batch=2",
    "eval.every=2",
    "eval.n=2",
    "eval.k=[1]",
    "eval.test_problems=2",
    "eval.validation_problems=2",
    "eval.validation_n=2",
    "checkpoint.every=1",
    "checkpoint.keep=9",
)


def train(out, steps, *more):
    return call("train", "countdown", *SETTINGS, f"steps={steps}", "--out", out, *more)


def written(out):
    """What a run has computed: adapters, rollouts, and metrics but for times and for the ends of shorter runs."""
    metrics = [
        {name: value for name, value in untimed(line).items() if not name.startswith("eval/")}
        for line in RunDirectory(out).metrics_lines()
    ]
    files = sorted([*out.glob("checkpoints/*/adapter_model.safetensors"), *out.glob("rollouts/*")])
    return repr(metrics), {str(path.relative_to(out)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    out = tmp_path_factory.mktemp("plain") / "run"
    assert train(out, STEPS) == 0
    return written(out)


def test_two_workers_one_and_none_write_one_run(plain, tmp_path, capfd, monkeypatch):
    """Two workers, one of which is killed while it computes in the second step; resumed on none, and then on one."""
    out, handed_out, pids = tmp_path / "run", [], set()
    hand_out = Workers._hand_out

    def hand_out_and_kill(self, seat, step):
        hand_out(self, seat, step)
        handed_out.append(seat.index)
        pids.add(seat.remote.pid)
        if len(handed_out) == 2 * 3 + 2:  # three shards, two updates a step
            os.kill(seat.remote.pid, signal.SIGKILL)

    monkeypatch.setattr(Workers, "_hand_out", hand_out_and_kill)
    assert train(out, 2, "scale.trainers=2") == 0
    shown = " ".join(capfd.readouterr().out.split())
    killed = f"gradient worker {handed_out[7]} on this machine: its process"
    assert shown.count(killed) == 1
    assert "SIGKILL" in shown
    assert "of 3 is computed again; it is started anew" in shown
    assert set(handed_out) == {0, 1}
    assert len(handed_out) == 2 * 2 * 3 + 1
    assert train(out, 3, "--resume") == 0
    assert len(handed_out) == 2 * 2 * 3 + 1
    assert "scale.trainers is 0 from now on, it was 2" in capfd.readouterr().out
    assert train(out, STEPS, "scale.trainers=1", "--resume") == 0
    assert written(out) == plain
    assert len(pids) >= 3
    wait_for_end(pids)


def test_another_number_of_shards_is_another_run(plain, tmp_path, run):
    out = tmp_path / "run"
    assert train(out, 1) == 0
    code, _, err = run("train", "countdown", *SETTINGS, "steps=2", "scale.shards=2", "--out", out, "--resume")
    assert code == 2
    assert errors(err) == [
        "error: --resume: scale.shards is 2, the run has 3; put it back, or start a new run in another --out"
    ]
    assert train(tmp_path / "other", 1, "scale.shards=1") == 0
    adapter = "checkpoints/step-00001/adapter_model.safetensors"
    assert plain[1][adapter] == (out / adapter).read_bytes() != (tmp_path / "other" / adapter).read_bytes()
