"""`make gpu-check`: what it says of each check, its deadlines, and all of it without a GPU."""

import json
import os
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location

import pytest
from support.paths import ROOT

NO_GPU = "needs an NVIDIA GPU"


@pytest.fixture(scope="module")
def check():
    spec = spec_from_file_location("gpu_check", ROOT / "scripts" / "gpu_check.py")
    module = module_from_spec(spec)
    sys.modules["gpu_check"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


TESTS = """
import os, signal
import pytest

def test_it_measures_what_it_is(record_property):
    record_property("gap", "1e-6")

def test_it_is_wrong():
    assert 1 == 2, "one is not two"

@pytest.mark.skip(reason="needs 2 NVIDIA GPUs")
def test_it_is_not_there():
    pass

def test_it_kills_the_process():
    os.kill(os.getpid(), signal.SIGKILL)

def test_it_is_never_reached():
    pass
"""


def test_each_test_is_a_row_with_what_it_measured_or_why_not(check, tmp_path):
    (tmp_path / "test_rows.py").write_text(TESTS, encoding="utf-8")
    part = check.Part("rows", 600, tests=(str(tmp_path / "test_rows.py"),))
    measured, failed, skipped, killed, left = check.rows_of(part, 600, check.environment(None), tmp_path)
    assert (measured.name, measured.outcome, measured.figures) == (
        "it measures what it is",
        "measured",
        {"gap": "1e-6"},
    )
    assert (failed.name, failed.outcome) == ("it is wrong", "failed")
    assert "one is not two" in failed.reason
    assert (skipped.outcome, skipped.reason) == ("skipped", "needs 2 NVIDIA GPUs")
    assert (killed.name, killed.outcome) == ("it kills the process", "failed")
    assert killed.reason.startswith("exit code -9")
    assert left.reason.startswith("not begun: exit code -9")


@pytest.mark.parametrize(
    ("program", "seconds", "reason"),
    [
        ("import signal; signal.pause()", 1, "was not done after 1 s"),
        ("raise SystemExit('no driver')", 600, "exit code 1: no driver"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 600, "exit code -9: it said nothing"),
        ("pass", 600, "it ended well and reported nothing"),
    ],
)
def test_a_part_that_hangs_fails_or_says_nothing_is_a_row_with_its_reason(check, tmp_path, program, seconds, reason):
    (row,) = check.rows_of(check.Part("a part", seconds, program=("-c", program)), 600, {**os.environ}, tmp_path)
    assert (row.name, row.outcome, row.reason) == ("a part", "failed", reason)


def test_a_program_that_fails_after_its_first_row_keeps_it(check, tmp_path):
    program = 'print(\'{"trainer": "trl", "step_s": 1.23456}\', flush=True); raise SystemExit("out of memory")'
    row, failed = check.rows_of(check.Part("steps, all", 600, program=("-c", program)), 600, {**os.environ}, tmp_path)
    assert (row.name, row.outcome, row.figures) == ("steps, trl", "measured", {"step_s": 1.235})
    assert (failed.outcome, failed.reason) == ("failed", "exit code 1: out of memory")


def test_what_comes_after_the_ten_minutes_has_failed(check, tmp_path):
    rows = list(check.check(check.WITH_GPU, 0, {}, tmp_path))
    assert [row.outcome for row in rows] == ["failed"] * len(check.WITH_GPU)
    assert "the 0 s for all parts were over before it" in rows[-1].reason


@pytest.mark.slow
def test_without_a_gpu_it_fails_and_says_so_unless_it_is_a_dry_run(tmp_path):
    command = [sys.executable, ROOT / "scripts/gpu_check.py", "--out", tmp_path]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    (row,) = json.loads((tmp_path / "check.json").read_text())["rows"]
    assert (row["outcome"], row["reason"]) == ("failed", NO_GPU)


@pytest.mark.slow
def test_all_of_it_without_a_gpu(check, tmp_path):
    """The same code on tiny models where it needs none; every test of a GPU is there, with the reason."""
    command = [sys.executable, ROOT / "scripts/gpu_check.py", "--dry-run", "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    result = json.loads((tmp_path / "check.json").read_text())
    outcomes = {row["name"]: row for row in result["rows"]}
    assert done.returncode == 0, done.stdout
    assert result["is_dry_run"]
    assert {row["reason"] for row in result["rows"] if row["outcome"] == "skipped"} == {NO_GPU}
    skipped = [name for name, row in outcomes.items() if row["outcome"] == "skipped"]
    assert sum(name.startswith("an adapter on experts arrives as it is") for name in skipped) == 7
    assert len(skipped) >= 16
    for trainer in ("doubleback", "trl"):
        figures = outcomes[f"steps, {trainer}"]["figures"]
        assert figures["update_tokens_per_s"] > 0
        assert figures["step_s"] > 0
    table = (tmp_path / "table.md").read_text()
    assert all(f"| {name} |" in table for name in outcomes)
