"""The point of it all: a short run learns, through real vLLM, and what it learns is to double back."""

import json
import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_twenty_steps_of_countdown_learn_to_double_back(tmp_path):
    out = tmp_path / "run"
    overrides = ["steps=20", "eval.every=20", "eval.test_problems=100", "eval.validation_n=1"]
    subprocess.run(
        [sys.executable, "-m", "doubleback.recipes", "train", "countdown", *overrides, "--out", str(out)],
        check=True,
        capture_output=True,
    )
    before, after = (json.loads((out / "eval" / f"test-step-{step:05d}.json").read_text()) for step in (0, 20))
    for name in ("pass_at_k", "verified_backtrack"):
        first, second = (item[name]["1"] if name == "pass_at_k" else item[name] for item in (before, after))
        assert second["low"] > first["high"]
    assert after["format_rate"]["value"] > 0.95
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert max(line["sync/max_abs"] for line in lines) < 5e-5
    assert max(line["gap/mean_abs"] for line in lines[1:]) < 1e-5
