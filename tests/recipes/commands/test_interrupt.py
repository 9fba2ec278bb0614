"""Every command says at Ctrl-C what was kept and how to go on, and exits 130."""

import json
import signal
import subprocess
import sys

import pytest
from support.processes import wait_until

pytestmark = pytest.mark.slow

AGAIN = "run the same command again"


@pytest.fixture
def commands(tmp_path):
    """Command -> its words, the file that shows that it is at work, and its last line."""
    rows = [{"completion": "x", "answer": "1"} for _ in range(100)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (tmp_path / "slow.py").write_text(
        "import time\n\n\ndef reward(completions, **columns):\n    time.sleep(600)\n", encoding="utf-8"
    )
    scored, evaluated, base = (tmp_path / name for name in ("rows.scored.jsonl", "eval", "base"))
    evaluating = ["eval", "bundled:countdown", "--suite", "countdown", "--n", "64", "--out", str(evaluated)]
    slow = [f"--reward={tmp_path / 'slow.py'}:reward", "--timeout=600"]
    return {
        "eval": (
            evaluating,
            evaluated / "samples.jsonl",
            f"go on with: python -m doubleback.recipes {' '.join(evaluating)}",
        ),
        "score": (
            ["score", str(tmp_path / "rows.jsonl"), *slow],
            scored.with_name(f".{scored.name}.owner"),
            f"no scores were written; {AGAIN}",
        ),
        "pretrain": (
            ["pretrain", "countdown", "--out", str(base)],
            base.with_name(".base.owner"),
            f"nothing of the base was kept; {AGAIN}",
        ),
    }


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["eval", "score", "pretrain"])
def test_a_command_says_what_was_kept_and_how_to_go_on(name, commands):
    words, sign, last = commands[name]
    process = subprocess.Popen(
        [sys.executable, "-m", "doubleback.recipes", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background ignores it
    )
    wait_until(sign.exists, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130, err
    assert f"interrupted; {last}" in err.splitlines(), err
    assert "Traceback" not in err


@pytest.mark.timeout(300)
def test_check_stops_while_it_reads():
    process = subprocess.Popen(
        [sys.executable, "-m", "doubleback.recipes", "check", "countdown", "engine.name=transformers"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    # The title of its first table; a slow machine says before it how far the golds are.
    assert "data" in (line.strip() for line in process.stdout)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130, err
    assert f"interrupted; nothing was written; {AGAIN}" in err.splitlines(), err
