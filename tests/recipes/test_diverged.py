"""A run whose rate is far too high, through the command line: one line says so, and what was healthy stays."""

import re

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SMALL = ["rollout.prompts_per_step=2", "sampling.group_size=4", "sampling.max_tokens=32", "eval.n=1", "eval.k=[1]"]
SMALL += ["eval.test_problems=2", "eval.validation_problems=2", "eval.validation_n=1", "sync.num_canaries=2"]
SMALL += ["reward.components.overlong.args.buffer=16", "checkpoint.every=1", "checkpoint.keep=1"]


def lines_of(err):
    return [line for line in err.splitlines() if line.startswith("stopped:")]


def test_the_healthy_checkpoint_stays_where_the_rate_destroys_the_adapter(run, tmp_path):
    """In real vLLM. The rate is raised behind the run's back: a healthy step must have been saved before."""
    folder = tmp_path / "run"
    command = ["train", "countdown", *SMALL, "optim.warmup_steps=0", "--out", folder]
    code, _, err = run(*command, "steps=1", "optim.lr=1e-3")
    assert code == 0, err
    saved = {path.name: path.read_bytes() for path in (folder / "checkpoints" / "step-00001").iterdir()}
    recipe = folder / "recipe.yaml"
    recipe.write_text(re.sub(r"(?m)^  lr: .*$", "  lr: 1.0e+12", recipe.read_text()))
    code, _, err = run(*command, "steps=4", "optim.lr=1e12", "--resume")
    assert code == 1
    assert "Traceback" not in err
    [line] = lines_of(" ".join(err.split()).replace("stopped:", "\nstopped:"))
    assert re.search(
        r"step [2-4]: .* not finite; .*earlier checkpoints are kept: start anew with a lower optim\.lr", line
    )
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["step-00001"]
    assert {path.name: path.read_bytes() for path in (folder / "checkpoints" / "step-00001").iterdir()} == saved


def test_trl_stops_too(run, tmp_path):
    folder = tmp_path / "run"
    keys = [
        "trainer=trl",
        "engine.name=transformers",
        "optim.lr=1e12",
        "lora.alpha=1e12",
        "optim.warmup_steps=0",
        "steps=4",
    ]
    code, _, err = run("train", "countdown", *SMALL, *keys, "--out", folder)
    assert code == 1
    assert "Traceback" not in err
    assert "not finite" in " ".join(err.split())
    assert list((folder / "checkpoints").iterdir()) == []
