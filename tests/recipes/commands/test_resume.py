"""kill -9 at any moment, resume: the same run, to the last bit. Real vLLM, real processes."""

import json
import os
import random
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support.processes import wait_until
from support.remote.runs import (
    MARK,
    STEPS,
    command,
    evaluations,
    final_adapter,
    kill_in_step,
    processes_of,
    rollouts,
    run_apart,
    run_to_the_end,
    untimed_metrics,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    out = tmp_path_factory.mktemp("uninterrupted") / "run"
    run_to_the_end(out)
    return out


@pytest.mark.timeout(900)
@pytest.mark.parametrize("attempt", [0, 1, 2])
def test_killed_and_resumed_equals_uninterrupted(attempt, uninterrupted, tmp_path):
    rng = random.Random(attempt)
    step, delay = rng.randrange(1, STEPS - 1), rng.uniform(0, 0.2)
    out = tmp_path / "run"
    kill_in_step(out, step, delay)
    environment = json.loads((out / "environment.json").read_text())
    assert environment["sizes"] == {"microbatch_tokens": 8192, "kv_cache_mib": 256}
    # On a machine with less memory the run would have had smaller ones. They hold all of these small steps as well.
    kept = {"microbatch_tokens": 8000, "kv_cache_mib": 200}
    (out / "environment.json").write_text(json.dumps({**environment, "sizes": kept}))
    run_to_the_end(out, "--resume")
    assert json.loads((out / "environment.json").read_text())["sizes"] == kept
    assert untimed_metrics(out) == untimed_metrics(uninterrupted)
    assert rollouts(out) == rollouts(uninterrupted)
    assert evaluations(out) == evaluations(uninterrupted)
    assert final_adapter(out) == final_adapter(uninterrupted)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("number", "step"), [(signal.SIGINT, 2), (signal.SIGTERM, 4)])
def test_a_signal_saves_and_the_command_that_is_told_goes_on_as_if_nothing_had_been(
    number, step, uninterrupted, tmp_path
):
    """At step 4 validation is due; where it is dropped, the resumed run makes up for it."""
    out = tmp_path / "run"
    # A shell that starts tests in the background has them ignore SIGINT.
    process = subprocess.Popen(
        [*command(out), "checkpoint.every=8"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout.readline() == f"folder  {out}\n"
    metrics = out / "metrics.jsonl"
    wait_until(lambda: metrics.exists() and len(metrics.read_text().splitlines()) >= step, process)
    process.send_signal(number)
    _, err = process.communicate()
    assert process.returncode == 128 + number, err
    (line,) = [line for line in err.splitlines() if line.startswith("interrupted")]
    (saved,) = (Path(out) / "checkpoints").iterdir()
    told = f"interrupted; step {int(saved.name.removeprefix('step-'))} of {STEPS} is saved; go on with: "
    assert line.startswith(told)
    again = shlex.split(line.removeprefix(told))
    assert again[:4] == ["python", "-m", "doubleback.recipes", "train"]
    done = subprocess.run([sys.executable, *again[1:]], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert untimed_metrics(out) == untimed_metrics(uninterrupted)
    assert rollouts(out) == rollouts(uninterrupted)
    assert evaluations(out) == evaluations(uninterrupted)
    assert final_adapter(out) == final_adapter(uninterrupted)


@pytest.mark.timeout(900)
def test_a_run_that_samples_ahead_resumes_exactly_and_leaves_no_process(tmp_path):
    ahead = ["rollout.ahead=true", "rollout.max_lag=3", "engine.processes=2", "checkpoint.every=3"]
    run_apart(tmp_path / "whole", *ahead)
    lags = [line["rollout/lag"] for line in untimed_metrics(tmp_path / "whole")[1:]]
    assert lags == [0, 1, 2, 0, 1, 2, 0, 1]  # steps 3 and 6 are saved: nothing is sampled ahead of them
    out = tmp_path / "run"
    kill_in_step(out, 5, 0.0, *ahead)
    wait_until(lambda: processes_of(out) == [])
    run_apart(out, *ahead, "--resume")
    assert untimed_metrics(out) == untimed_metrics(tmp_path / "whole")
    assert rollouts(out) == rollouts(tmp_path / "whole")
    assert final_adapter(out) == final_adapter(tmp_path / "whole")


HANGING = """
import sys, time
from doubleback.recipes.commands.cli import main
from doubleback.rl.run.journal import Journal
from vllm.v1.worker.cpu_model_runner import CPUModelRunner
record, execute, recorded = Journal.record, CPUModelRunner.execute_model, []
def recording(self, report):
    record(self, report)
    recorded.append(report.step)
def hanging(self, *args, **kwargs):
    if len(recorded) == 2:
        time.sleep(3600)
    return execute(self, *args, **kwargs)
Journal.record, CPUModelRunner.execute_model = recording, hanging
sys.argv[0] = "doubleback"
main()
"""
"""The program, with a vLLM that hangs in its forward pass after the second step."""


@pytest.mark.timeout(900)
def test_a_vllm_in_this_process_that_hangs_ends_the_run_with_a_line_and_the_run_goes_on(uninterrupted, tmp_path):
    out = tmp_path / "run"
    patience = ["engine.stall_seconds=5"]
    arguments = [*command(out)[3:], *patience]
    done = subprocess.run(
        [sys.executable, "-c", HANGING, *arguments], capture_output=True, text=True, env={**os.environ, MARK: str(out)}
    )
    said = "stopped: vLLM hangs: a step of sampling has neither returned nor computed for 5 s (engine.stall_seconds); "
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("stopped:")]
    assert "Traceback" not in done.stderr
    assert (done.returncode, line) == (1, f"{said}go on with: doubleback {shlex.join([*arguments, '--resume'])}")
    assert processes_of(out) == []
    run_apart(out, "--resume")
    assert untimed_metrics(out) == untimed_metrics(uninterrupted)
    assert final_adapter(out) == final_adapter(uninterrupted)


@pytest.mark.timeout(900)
def test_a_run_keeps_its_files_and_its_recipe(uninterrupted):
    names = {path.name for path in uninterrupted.iterdir()}
    assert {"recipe.yaml", "environment.json", "metrics.jsonl", "rollouts", "checkpoints", "eval"} <= names
    assert "learning_curve.png" in names
    assert [line["step"] for line in untimed_metrics(uninterrupted)] == list(range(STEPS + 1))
    assert sorted(path.name for path in (uninterrupted / "checkpoints").iterdir()) == ["step-00006", "step-00008"]
    lines = [json.loads(line) for line in rollouts(uninterrupted)["step-00003.jsonl.gz"].splitlines()]
    assert len(lines) == 16
    assert {line["policy_version"] for line in lines} == {2}
    assert len({line["adapter_hash"] for line in lines}) == 1


STATEFUL = [
    "engine.name=transformers",
    "algorithm.preset=dapo",
    "rollout.max_rounds=3",
    "algorithm.entropy_coef=0.02",
    "algorithm.entropy_target=2.0",
    "algorithm.kl_coef=0.01",
    "algorithm.kl_in=reward",
    "problems.min_pass_rate=0.1",
    "problems.max_pass_rate=0.9",
]


@pytest.mark.timeout(900)
def test_everything_that_has_a_state_resumes_exactly(tmp_path):
    """Rounds that depend on rewards move the position among the problems; the entropy's weight and pass rates move."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run_to_the_end(whole, *STATEFUL, "steps=5")
    run_to_the_end(cut, *STATEFUL, "steps=3")
    run_to_the_end(cut, *STATEFUL, "steps=5", "--resume")
    lines, expected = (
        [{k: v for k, v in line.items() if not k.startswith("eval/")} for line in untimed_metrics(out)]
        for out in (cut, whole)
    )
    assert lines == expected
    assert rollouts(cut) == rollouts(whole)
    names = ("adapter_model.safetensors", "problems.json")
    one, other = ([(out / "checkpoints" / "step-00005" / name).read_bytes() for name in names] for out in (cut, whole))
    assert one == other
    assert max(line["rollout/rounds"] for line in lines[1:]) > 1
    assert len({line["learner/entropy_coef"] for line in lines[1:]}) > 2
    assert all(line["reward/kl_penalty"] is not None for line in lines[1:])
    assert yaml.safe_load((cut / "recipe.yaml").read_text())["algorithm"]["clip_high"] == 0.28
