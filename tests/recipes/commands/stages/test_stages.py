"""A recipe of stages, run: what each is given, that it goes on inside any of them to the same bits, what is shown."""

import gzip
import json
import shutil
import signal
import subprocess
import sys

import pytest
import yaml
from support.commands import call, errors, untimed
from support.paths import FEW_COUNTDOWN
from support.processes import wait_until

from doubleback.eval.show.console import Console
from doubleback.recipes import Run, compare, load_recipe, train
from doubleback.recipes.recipe.policy import find_policy
from doubleback.rewards.contract.trust import approve
from doubleback.rewards.types import ConfigError
from doubleback.rl.engines.config import EngineConfig

pytestmark = pytest.mark.slow

ROAD = {
    "description": "three stages",
    "model": {"path": "bundled:countdown"},
    "task": {"name": FEW_COUNTDOWN},
    "engine": {"name": "transformers"},
    "reward": {"components": {"countdown": 1.0, "format": 0.2}},
    "lora": {"rank": 4, "expert_rank": 4},
    "rollout": {"prompts_per_step": 4},
    "sampling": {"group_size": 4, "max_tokens": 24},
    "checkpoint": {"every": 1},
    "sync": {"num_canaries": 1},
    "eval": {"n": 2, "k": [1], "test_problems": 4, "validation_problems": 1, "validation_n": 1},
    "optim": {"lr": 1e-3},
    "stages": {
        "cold-start": {"kind": "sft", "steps": 3},
        "reasoning": {"steps": 3},
        "imitation": {
            "from": "base",
            "kind": "sft",
            "steps": 3,
            "demonstrations": {"source": {"stage": "reasoning", "per_problem": 1, "order": "shortest"}},
        },
        "student": {"from": "base", "kind": "distil", "steps": 1, "distil": {"teacher": {"stage": "imitation"}}},
    },
}
FOLDERS = ("01-cold-start", "02-reasoning", "03-imitation", "04-student")


class CutOffError(Exception):
    """What ends a run in the place of a crash."""


@pytest.fixture(scope="module")
def road(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "road.yaml"
    path.write_text(yaml.safe_dump(ROAD, sort_keys=False), encoding="utf-8")
    approve([FEW_COUNTDOWN])
    return str(path)


def walked(road, out, cut_at=None, **options):
    """Train; the callback's call number `cut_at`, from 1, ends it: each stage has four, steps 0 to 3."""
    calls = []

    def observe(step, metrics):
        calls.append(step)
        if len(calls) == cut_at:
            raise CutOffError

    return train(load_recipe(road), out, callbacks=[observe], console=Console(quiet=True), **options), calls


@pytest.fixture(scope="module")
def whole(road, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "run"
    run, calls = walked(road, out)
    assert (run.path, calls) == (out / FOLDERS[-1], [*([0, 1, 2, 3] * 3), 0, 1])
    return out


def files(out):
    """What a stage is, to the byte, but for what tells the time."""
    found = {}
    for folder in FOLDERS:
        for path in sorted((out / folder).rglob("*")):
            name = str(path.relative_to(out))
            if path.name == "metrics.jsonl":
                found[name] = [untimed(json.loads(line)) for line in path.read_text().splitlines()]
            elif (
                path.name.endswith((".jsonl.gz", ".safetensors", "demonstrations.jsonl")) or path.parent.name == "eval"
            ):
                found[name] = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return found


def measured_at(run, step):
    """Estimates of the test problems at a step; what was measured there is named apart."""
    found = Run(run).evaluations()[f"test-step-{step:05d}"]
    return {name: value for name, value in found.items() if name != "step"}


def test_each_stage_starts_from_what_the_last_one_left(whole):
    cold, reasoning, imitation, student = (whole / name for name in FOLDERS)
    assert measured_at(reasoning, 0) == measured_at(cold, 3) != measured_at(cold, 0)
    assert measured_at(imitation, 0)["pass_at_k"] == measured_at(cold, 0)["pass_at_k"]
    assert json.loads((reasoning / "init.json").read_text())["adapter"] == str(cold / "checkpoints" / "step-00003")
    assert not (imitation / "init.json").exists()
    harvested = [json.loads(line) for line in (imitation / "demonstrations.jsonl").read_text().splitlines()]
    sampled = {(row["problem"], row["completion"]) for row in Run(reasoning).rollouts().to_pylist()}
    learned = {row["completion"] for row in Run(imitation).rollouts().to_pylist()}
    assert {(row["problem"], row["completion"]) for row in harvested} <= sampled
    assert learned == {row["completion"] for row in harvested}
    assert len({row["problem"] for row in harvested}) == len(harvested)
    assert yaml.safe_load((student / "recipe.yaml").read_text())["distil"]["teacher"] == str(imitation)
    assert Run(student).metrics().to_pylist()[1]["learner/kl_teacher"] != 0  # as of the base itself it would be


def started(command, out, stage):
    """The command in a process of its own, once it has recorded step 1 of the stage."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    metrics = out / stage / "metrics.jsonl"
    wait_until(lambda: metrics.exists() and len(metrics.read_text().splitlines()) > 1, process)
    return process


def test_it_goes_on_inside_any_stage_to_the_same_bits(road, whole, tmp_path, capsys):
    """Cut off in the first, where the last step is measured and not saved; told to stop in the second, with the command
    that goes on; killed in the third.
    """
    out = tmp_path / "run"
    with pytest.raises(CutOffError):
        walked(road, out, cut_at=4)
    doubleback = [sys.executable, "-m", "doubleback.recipes"]
    process = started([*doubleback, "train", road, "--trust", "--out", str(out), "--resume"], out, FOLDERS[1])
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM, err
    (line,) = [line for line in err.splitlines() if line.startswith("interrupted")]
    assert line.startswith("interrupted; stage reasoning: step ")
    assert line.endswith(f"go on with: python -m doubleback.recipes train {road} --trust --out {out} --resume")
    untouched = (out / FOLDERS[0] / "metrics.jsonl").stat().st_mtime_ns
    process = started([*doubleback, *line.split("doubleback.recipes ")[1].split()], out, FOLDERS[2])
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert call("show", out) == 0
    shown = capsys.readouterr().out
    assert "stages      2 of 4 are finished" in shown
    assert f"next        doubleback train {out / 'stages.yaml'} --trust --out {out} --resume" in shown
    assert call("train", out / "stages.yaml", "--out", out, "--resume") == 0
    assert files(out) == files(whole)
    assert (out / FOLDERS[0] / "metrics.jsonl").stat().st_mtime_ns == untouched
    rows = (out / "stages.md").read_text().splitlines()
    named = [line.split("|")[1].strip() for line in rows if line.startswith("|")]
    stages = ["cold-start", "reasoning", "imitation", "student"]
    assert named == ["stage", "---", "base", *stages, "stage", "---", *stages, "all"]
    _, calls = walked(road, out, resume=True)
    assert calls == []


def test_the_tables_say_what_the_runs_hold(road, whole, capsys):
    assert call("show", whole) == 0
    shown = capsys.readouterr().out
    assert "state       finished" in shown
    for folder in FOLDERS[:3]:
        assert f"{measured_at(whole / folder, 3)['pass_at_k']['1']['value']:.3f}" in shown
    tokens = sum(line["rollout/tokens"] for line in Run(whole / FOLDERS[1]).metrics().to_pylist()[1:])
    assert f"{tokens:,.0f}" in shown
    assert Run(whole).path == whole / FOLDERS[-1]
    policy = find_policy(str(whole), adapter=None, endpoint=None, engine=EngineConfig(), dtype="float32")
    assert policy.adapter == whole / FOLDERS[-1] / "checkpoints" / "step-00001"


def test_stages_are_compared_on_the_problems_that_they_share(whole):
    found = compare(whole / FOLDERS[0], whole / FOLDERS[2])
    assert (found.num_problems, found.pass_at_1.difference.value) == (
        4,
        pytest.approx(
            measured_at(whole / FOLDERS[2], 3)["pass_at_k"]["1"]["value"]
            - measured_at(whole / FOLDERS[0], 3)["pass_at_k"]["1"]["value"]
        ),
    )


def test_another_road_and_an_ordinary_run_do_not_go_into_its_folder(run, road, whole, tmp_path):
    out = shutil.copytree(whole, tmp_path / "run")
    before = files(out)
    for given, said in (
        ([road], f"--out {out} already holds a run; continue it with --resume"),
        ([road, "--resume", "stages.cold-start.steps=9"], "stage cold-start: --resume: steps is 9, the run has 3, and"),
        ([road, "--resume", "optim.lr=0.5"], "stage cold-start: --resume: optim.lr is 0.5, the run has 0.001"),
        (["countdown"], f"--out {out} already holds a recipe of stages; choose another folder"),
    ):
        code, _, err = run("train", *given, "--out", out)
        assert code == 2
        assert said in errors(err)[0]
    assert files(out) == before


def test_no_stage_runs_before_all_have_their_problems(road, tmp_path):
    lost = {"stages.imitation.task.name": "math", "stages.imitation.task.train": str(tmp_path / "lost.jsonl")}
    wanting = load_recipe(road, {**lost, "stages.imitation.task.test": str(tmp_path / "lost.jsonl")})
    with pytest.raises(ConfigError, match=r"stage imitation: .*lost\.jsonl: there is no such file"):
        train(wanting, tmp_path / "run", console=Console(quiet=True))
    assert not (tmp_path / "run").exists()


def test_check_goes_through_every_stage(run, road):
    code, out, err = run("check", road, "sampling.max_tokens=4", "sampling.group_size=2")
    assert code == 0, err
    for number, said in enumerate(
        (
            "cold-start: kind sft, from base",
            "reasoning: kind rl, from cold-start",
            "imitation: kind sft, from base, demonstrations of reasoning",
            "student: kind distil, from base, distil of imitation",
        ),
        start=1,
    ):
        assert f"stage {number} of 4  {said}" in out
    assert out.count("engine = trainer, adapter") == 4
