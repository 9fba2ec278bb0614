"""What a user meets: one clear line, exit code 2, nothing lost."""

import re
import shutil
import subprocess
import sys

import pytest
import yaml
from support.commands import SMALL_COUNTDOWN, errors
from support.faulty import Faulty

from doubleback.eval.show.console import Console
from doubleback.recipes import load_recipe, train

SMALL = [
    "engine.name=transformers",
    "steps=2",
    *SMALL_COUNTDOWN,
    "checkpoint.every=1",
    "eval.n=2",
    "eval.k=[1,2]",
    "eval.test_problems=4",
    "eval.validation_problems=2",
    "eval.validation_n=1",
    "sync.num_canaries=1",
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run of two steps, checkpoints at 1 and 2."""
    out = tmp_path_factory.mktemp("runs") / "finished"
    return train(load_recipe("countdown", SMALL), out, console=Console(quiet=True)).path


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def test_help_is_quick():
    """A fifth of a second on an idle machine, because nothing is imported that takes long."""
    program = (
        "import atexit, sys; from doubleback.recipes.commands.cli import main; "
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr)); sys.argv = ['doubleback', '--help']; main()"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    for command in ("list", "check", "train", "pretrain"):
        assert command in out.stdout
    modules = set(out.stderr.split())
    assert "doubleback.recipes.commands.cli" in modules
    assert modules & {"torch", "transformers", "numpy", "vllm", "peft", "datasets", "matplotlib"} == set()
    assert "doubleback.rewards.contract.trust" not in modules
    assert len(modules) < 500  # 326


def test_list_names_recipes_presets_rewards_and_bases(run):
    code, out, _ = run("list")
    assert code == 0
    for name in (
        "countdown",
        "countdown-random-reward",
        "countdown-no-backtracking",
        "countdown-optimal",
        "format",
        "gspo",
    ):
        assert name in out


@pytest.mark.slow
def test_check_grades_every_gold(run):
    code, out, _ = run("check", "countdown", "engine.name=transformers")
    found = " ".join(out.split())
    assert code == 0
    assert "1433 of 1433 graded correct" in found
    assert "trains attention 28,672 parameters" in found
    assert "trains experts 163,840 parameters (18.2% of the base) in 8 tensors on 32 matrices, rank 16" in found
    assert "sync merged: engine.name=transformers has merged weights alone" in found
    (rate,) = re.findall(r"base passes ([0-9.]+) \[[0-9.]+, [0-9.]+\] of 8 problems x 16", found)
    assert 0.1 < float(rate) < 0.7


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["optim.lrr=1"], "error: optim.lrr: there is no such key; did you mean lr?"),
        (["sampling.group_size=1"], "error: sampling.group_size=1: input should be greater than or equal to 2"),
        (["steps=many"], "error: steps='many': input should be a valid integer"),
        (
            ["reward.components={countdwn: 1}"],
            "error: reward.components.countdwn: there is no reward 'countdwn'; did you",
        ),
        (["model.path=./nowhere"], "error: model.path=./nowhere: there is no such folder"),
        (["model.max_length=1000"], "error: model.max_length=1000 exceeds the context of"),
        (["sampling.max_tokens=252"], "error: problem countdown3:"),
        (["algorithm.preset=gsbo"], "error: algorithm.preset='gsbo' is not a preset; did you mean gspo?"),
        (["algorithm.surrogate=cispo", "algorithm.dual_clip=3"], "error: algorithm.dual_clip=3.0 has no effect"),
        (["problems.level=difficulty"], "error: problems.level=difficulty: problem countdown3:"),
    ],
)
def test_bad_input_is_one_line(run, tmp_path, overrides, line):
    code, _, err = run("train", "countdown", *overrides, "--out", tmp_path / "run")
    assert code == 2
    assert len(errors(err)) == 1
    assert errors(err)[0].startswith(line)
    assert "Traceback" not in err


def test_unknown_recipe(run):
    code, _, err = run("train", "countdwn")
    said = "error: recipe 'countdwn' is no YAML file and not shipped; did you mean countdown?"
    assert (code, errors(err)) == (2, [said])


def test_broken_model_folder_is_named(run, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    code, _, err = run("train", "countdown", f"model.path={folder}", "--out", tmp_path / "run")
    assert code == 2
    assert errors(err)[0].startswith(f"error: model.path={folder}: the ")


@pytest.mark.slow
def test_a_run_is_not_overwritten(run, copy):
    before = (copy / "metrics.jsonl").read_bytes()
    code, _, err = run("train", "countdown", *SMALL, "--out", copy)
    assert code == 2
    assert "already holds a run; continue it with --resume" in errors(err)[0]
    assert (copy / "metrics.jsonl").read_bytes() == before


@pytest.mark.slow
def test_a_finished_run_can_be_shown_again(run, copy):
    code, out, _ = run("show", copy)
    assert code == 0
    assert f"run         {copy}: Countdown" in out
    assert "state       finished\nstep        2 of 2, of which 2 is saved\nnewest      reward " in out
    assert "pass@2" in out
    assert f"next        measure it: doubleback eval {copy} --suite SUITE" in out


@pytest.mark.slow
def test_resume_wants_the_same_recipe(run, copy):
    code, _, err = run("train", "countdown", *SMALL, "optim.lr=1e-5", "--out", copy, "--resume")
    assert code == 2
    assert errors(err)[0].startswith("error: --resume: optim.lr is 1e-05, the run has 0.001;")


@pytest.mark.slow
def test_a_rate_that_falls_over_all_steps_takes_no_more_of_them(run, copy):
    """The steps so far were made at the rates of a shorter run."""
    falling = yaml.safe_load((copy / "recipe.yaml").read_text())
    falling["optim"] |= {"schedule": "linear", "warmup_steps": 0}
    (copy / "recipe.yaml").write_text(yaml.safe_dump(falling))
    longer = [item.replace("steps=2", "steps=3") for item in SMALL]
    schedule = ["optim.schedule=linear", "optim.warmup_steps=0"]
    code, _, err = run("train", "countdown", *longer, *schedule, "--out", copy, "--resume")
    assert (code, len(errors(err))) == (2, 1)
    assert "steps is 3, the run has 2, and with optim.schedule=linear the result depends on it" in err


def test_resume_wants_a_run(run, tmp_path):
    (tmp_path / "empty").mkdir()
    code, _, err = run("train", "countdown", *SMALL, "--out", tmp_path / "empty", "--resume")
    assert code == 2
    assert "holds no run" in errors(err)[0]
    code, _, err = run("train", "countdown", "--resume")
    assert (code, errors(err)) == (2, ["error: --resume needs --out RUN: the run directory to continue"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["adapter_model.safetensors", "learner.pt", "manifest.json"])
def test_corrupt_checkpoint_is_named_and_the_one_before_serves(run, copy, name):
    damaged = copy / "checkpoints" / "step-00002" / name
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 0xFF
    damaged.write_bytes(content)
    before = (copy / "metrics.jsonl").read_bytes()
    code, _, err = run("train", "countdown", *SMALL, "--out", copy, "--resume")
    assert code == 2
    (line,) = errors(err)
    assert f"checkpoint {copy / 'checkpoints' / 'step-00002'} is corrupt: {name}" in line
    assert "delete that folder to resume from the one before" in line
    assert (copy / "metrics.jsonl").read_bytes() == before
    shutil.rmtree(damaged.parent)
    code, _, _ = run("train", "countdown", *SMALL, "--out", copy, "--resume")
    assert code == 0


@pytest.mark.slow
def test_full_disk_while_saving_leaves_the_last_checkpoint(run, copy, largest_file):
    good = {path.name: path.read_bytes() for path in (copy / "checkpoints" / "step-00002").iterdir()}
    longer = [item.replace("steps=2", "steps=3") for item in SMALL]
    largest_file(300_000)
    code, _, err = run("train", "countdown", *longer, "--out", copy, "--resume")
    assert code == 1
    (line,) = [line for line in err.splitlines() if line.startswith("stopped:")]
    assert "no space left to write" in line
    assert "--resume" in line
    assert {path.name: path.read_bytes() for path in (copy / "checkpoints" / "step-00002").iterdir()} == good
    assert [path.name for path in (copy / "checkpoints").iterdir() if path.name.endswith(".tmp")] == []
    largest_file(-1)  # no limit: there is room again
    code, _, _ = run("train", "countdown", *longer, "--out", copy, "--resume")
    assert code == 0
    assert (copy / "checkpoints" / "step-00003").is_dir()


def make_faulty(monkeypatch, fault, good_pushes):
    from doubleback.recipes.recipe import assembly

    create = assembly.create_engine
    monkeypatch.setattr(
        assembly, "create_engine", lambda *args, **kwargs: Faulty(create(*args, **kwargs), fault, good_pushes)
    )


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["serves the base", "no experts", "half"])
def test_an_adapter_that_cannot_arrive_is_refused_before_training(run, tmp_path, monkeypatch, fault):
    make_faulty(monkeypatch, fault, good_pushes=1)
    code, _, err = run("train", "countdown", *SMALL, "--out", tmp_path / "run")
    (line,) = [line for line in err.splitlines() if line.startswith("stopped:")]
    assert code == 1
    assert line.startswith(
        "stopped: preflight: trainer and engine disagree on a random adapter on attention, experts, delivered merged:"
    )
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


@pytest.mark.parametrize(("good_pushes", "what"), [(0, "the bare base"), (1, "a random adapter on attention, experts")])
def test_one_log_probability_that_is_no_number_stops_the_preflight(run, monkeypatch, good_pushes, what):
    make_faulty(monkeypatch, "nan", good_pushes)
    code, _, err = run("check", "countdown", *SMALL)
    (line,) = [line for line in err.splitlines() if line.startswith("stopped:")]
    assert code == 1
    assert line.startswith(f"stopped: preflight: trainer and engine disagree on {what}")
    assert "sampled tokens cannot be compared: not every log-probability is finite" in line


@pytest.mark.slow
def test_broken_sync_stops_the_run_and_is_named(run, tmp_path, monkeypatch):
    make_faulty(monkeypatch, "stale", good_pushes=4)  # two of the preflight, then those of steps 0 and 1
    code, _, err = run("train", "countdown", *SMALL, "--out", tmp_path / "run")
    (line,) = [line for line in err.splitlines() if line.startswith("stopped:")]
    assert code == 1
    assert line.startswith("stopped: step 2: the adapter did not reach the engine:")
    assert line.endswith("it serves the adapter of an earlier push (stale)")
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 2  # steps 0 and 1


def test_a_run_goes_on_with_more_steps_but_not_with_fewer(run, tmp_path):
    """Refused before anything is loaded or written: a model folder that is not there would be named otherwise."""
    nowhere = f"model.path={tmp_path / 'nowhere'}"
    stored = load_recipe("countdown", ["steps=5", nowhere]).model_dump(mode="json")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.yaml").write_text(yaml.safe_dump(stored))
    (tmp_path / "run" / "environment.json").write_text('{"packages": {}}')
    code, _, err = run("train", "countdown", "steps=3", nowhere, "--out", tmp_path / "run", "--resume")
    (line,) = errors(err)
    assert (code, "steps is 3, the run has 5" in line) == (2, True)
    _, _, err = run("train", "countdown", "steps=6", nowhere, "--out", tmp_path / "run", "--resume")
    assert "nowhere" in err
    assert "the run has" not in err


def test_a_base_to_pretrain_is_found_in_the_folder_of_its_task(run, tmp_path):
    for arguments, message in (
        (["countdwn"], "base 'countdwn' does not come with doubleback; did you mean countdown?"),
        (["countdown", "mix.optimum=1"], "mix.optimum"),
        (["countdown-optimal", "stps=1"], "stps: there is no such key; did you mean steps?"),
    ):
        code, _, err = run("pretrain", *arguments, "--out", tmp_path / "base")
        (line,) = errors(err)
        assert (code, line.startswith(f"error: {message}")) == (2, True), err
