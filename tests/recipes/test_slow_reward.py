"""A reward that takes its time is waited for, through the command line and vLLM."""

import json

import pytest

SLOW = """
import time

def slow(completions, completion_ids, **columns):
    time.sleep(0.2 if completion_ids[0] else 0)  # not for the golds, of which there are many
    return [0.0]
"""
SMALL = [
    *("steps=1", "rollout.prompts_per_step=2", "sampling.group_size=2", "sampling.max_tokens=48", "eval.n=1"),
    *(
        "eval.k=[1]",
        "eval.test_problems=64",
        "eval.validation_problems=2",
        "eval.validation_n=1",
        "sync.num_canaries=2",
    ),
    *("reward.components.overlong.args.buffer=16", "reward.components.slow.weight=0"),
]
PATIENCE = {"timeout_seconds": 1, "load_seconds": 5, "first_call_seconds": 0.5, "stall_seconds": 0.5}
"""7 s without an answer; an evaluation's scores take 13."""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_queue_that_is_worked_off_ends_no_run(run, tmp_path):
    (tmp_path / "mine.py").write_text(SLOW)
    overrides = [f"reward.components.slow.function={tmp_path / 'mine.py'}:slow"]
    overrides += [f"reward.{key}={seconds}" for key, seconds in PATIENCE.items()]
    code, _, err = run("train", "countdown", *SMALL, *overrides, "--out", tmp_path / "run")
    assert code == 0, err
    last = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert (last["step"], last["verdict/timeout"], last["reward/part/slow"]) == (1, 0.0, 0.0)
