"""`kind: sample`: what is sampled and kept, that an interrupted run ends in the same bytes, and what is refused."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
from support.commands import call, errors
from support.processes import wait_until

from doubleback.eval.show.console import Console
from doubleback.recipes import Run, load_recipe, train
from doubleback.recipes.recipe.imitation.harvest import HarvestOptions, harvest
from doubleback.rewards.jsonl import complete_lines
from doubleback.rewards.types import ConfigError, RunError
from doubleback.rl.run.manifest import file_hash

FEW = ["harvest.problems=12", "sampling.group_size=4", "sync.num_canaries=2"]
SMALL = [*FEW, "engine.name=transformers"]
FILES = ("samples.jsonl", "kept.jsonl", "kept.json", "recipe.yaml", "inputs.json", "problems.jsonl")


def sampled(out, *overrides, resume=False):
    recipe = load_recipe("countdown-sample", [*SMALL, *overrides])
    return train(recipe, out, resume=resume, console=Console(quiet=True))


def written(run, names=FILES):
    return {name: (run.path / name).read_bytes() for name in names}


def copy_of(run, tmp_path):
    return Run(shutil.copytree(run.path, tmp_path / "run"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return sampled(tmp_path_factory.mktemp("sampled") / "run")


@pytest.mark.slow
def test_what_is_kept_is_what_the_rule_keeps_of_all_samples_and_says_where_it_is_from(whole):
    lines = complete_lines(whole.path / "samples.jsonl")
    assert [line["sample"] for line in lines] == [0, 1, 2, 3] * 12
    found = harvest(lines, HarvestOptions(per_problem=2, order="shortest"))
    rows = whole.kept().to_pylist()
    assert [(row["problem"], row["sample"]) for row in rows] == [(it["problem"], it["sample"]) for it in found.lines]
    assert {row["verdict"] for row in rows} == {"correct"}
    origin = {(row["model"], row["recipe"], row["adapter_hash"]) for row in rows}
    assert origin == {("bundled:countdown", file_hash(whole.path / "recipe.yaml"), lines[0]["adapter_hash"])}
    assert rows[0]["seed"] == next(line["seed"] for line in lines if line["completion"] == rows[0]["completion"])
    counts = json.loads((whole.path / "kept.json").read_text())
    assert counts["dropped"] == found.dropped
    assert counts["kept"] + sum(counts["dropped"].values()) == counts["samples"] == 48
    assert counts["tokens"] == sum(line["tokens"] for line in lines)


@pytest.mark.slow
def test_a_run_that_was_cut_off_ends_in_the_same_bytes(whole, tmp_path):
    """It was killed in a line of samples.jsonl, after others had been written in another order."""
    run = copy_of(whole, tmp_path)
    path = run.path / "samples.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[8:12], *lines[:4], *lines[20:22], lines[22][:30]]))
    (run.path / "kept.jsonl").unlink()
    (run.path / "kept.json").unlink()
    sampled(run.path, resume=True)
    assert written(run) == written(whole)


@pytest.mark.slow
def test_a_finished_run_takes_another_rule_without_sampling(whole, tmp_path, monkeypatch):
    run = copy_of(whole, tmp_path)
    samples = (run.path / "samples.jsonl").read_bytes()
    monkeypatch.setattr("doubleback.recipes.commands.samples.draw.assemble", None)
    sampled(run.path, "harvest.per_problem=1", resume=True)
    kept = [row["problem"] for row in run.kept().to_pylist()]
    assert len(kept) == len(set(kept)) < len(whole.kept())
    assert (run.path / "samples.jsonl").read_bytes() == samples


@pytest.mark.slow
def test_what_was_kept_is_learned_from(whole, tmp_path):
    small = ["steps=1", "rollout.prompts_per_step=2", "eval.n=1", "eval.k=[1]", "eval.test_problems=1"]
    small += ["eval.validation_problems=1", "eval.validation_n=1", "engine.name=transformers", "sync.num_canaries=1"]
    recipe = load_recipe("countdown-sft", [*small, f"demonstrations.source={whole.path}"])
    learned = train(recipe, tmp_path / "run", console=Console(quiet=True)).rollouts(1).to_pylist()
    kept = {row["completion"] for row in whole.kept().to_pylist()}
    assert {row["completion"] for row in learned} <= kept
    (whole.path / "later").touch()  # what lies in the run's folder may grow: its completions count
    more = recipe.model_copy(update={"steps": 2})
    train(more, tmp_path / "run", resume=True, console=Console(quiet=True))
    (whole.path / "later").unlink()


@pytest.mark.slow
def test_an_adapter_is_sampled_from_and_another_in_its_place_is_refused(whole, tmp_path):
    small = ["steps=1", "rollout.prompts_per_step=2", "sampling.group_size=2", "eval.n=1", "eval.k=[1]"]
    small += ["eval.test_problems=1", "eval.validation_problems=1", "eval.validation_n=1", "sync.num_canaries=1"]
    trained = train(
        load_recipe("countdown", [*small, "engine.name=transformers"]), tmp_path / "rl", console=Console(quiet=True)
    )
    init = f"lora.init={trained.path}"
    run = sampled(tmp_path / "run", init, "harvest.problems=2")
    started = json.loads((run.path / "init.json").read_text())
    (adapter_hash,) = {line["adapter_hash"] for line in complete_lines(run.path / "samples.jsonl")}
    assert adapter_hash == started["hash"] != complete_lines(whole.path / "samples.jsonl")[0]["adapter_hash"]
    (run.path / "samples.jsonl").write_text("")
    (run.path / "init.json").write_text(json.dumps({**started, "hash": "0" * 64}))
    with pytest.raises(ConfigError, match="is no longer the adapter that the run started from"):
        sampled(run.path, init, "harvest.problems=2", resume=True)


@pytest.mark.slow
def test_a_harvest_of_nothing_stops_and_keeps_the_samples(tmp_path):
    with pytest.raises(RunError, match=r"no sample is worth imitating \(8 cut off|wrong"):
        sampled(tmp_path / "run", "harvest.problems=2", "sampling.max_tokens=2")
    assert len(complete_lines(tmp_path / "run" / "samples.jsonl")) == 8
    assert json.loads((tmp_path / "run" / "kept.json").read_text())["kept"] == 0


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("kind=rl steps=1", "harvest is of kind=sample, and kind=rl; set the second, or leave the first out"),
        ("steps=3", "steps=3: kind=sample trains no step; set it to 0, or leave it out"),
        ("trainer=trl", "trainer=trl is of training, and kind=sample learns nothing; leave it out"),
        ("algorithm.preset=grpo", "algorithm is of training, and kind=sample learns nothing; leave it out"),
        ("rollout.ahead=true", "rollout.ahead=true is of training, and kind=sample learns nothing; leave it out"),
        ("demonstrations.source=a.jsonl", "demonstrations.source=a.jsonl is of kind=sft, and kind=sample; set the s"),
        ("harvest.per_problem=0", "harvest.per_problem"),
        ("harvest.order=longest", "harvest.order"),
    ],
)
def test_what_has_no_meaning_is_refused_in_a_line(overrides, message):
    with pytest.raises(ConfigError) as caught:
        load_recipe("countdown-sample", overrides.split())
    (line,) = str(caught.value).splitlines()
    assert message in line


def test_a_kind_that_trains_wants_a_step():
    with pytest.raises(ConfigError, match="steps=0 leaves kind=rl nothing to do; set it to 1 or more"):
        load_recipe("countdown", ["steps=0"])


def test_a_run_that_kept_nothing_is_no_source(tmp_path):
    (tmp_path / "recipe.yaml").touch()
    with pytest.raises(ConfigError, match=r"demonstrations\.source=.* is a run without kept\.jsonl"):
        train(load_recipe("countdown-sft", [f"demonstrations.source={tmp_path}"]), tmp_path / "run")
    with pytest.raises(ConfigError, match=r"has no kept\.jsonl"):
        Run(tmp_path).kept()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_and_resumed_on_the_command_line_equals_uninterrupted(tmp_path, capfd):
    """kill -9 while vLLM samples the second of two blocks; `show` says how to go on."""

    def command(out, *more):
        overrides = ["harvest.problems=300", "sampling.group_size=4", "sync.num_canaries=2"]
        return ["train", "countdown-sample", *overrides, "--out", out, *more]

    out, other = tmp_path / "run", tmp_path / "other"
    process = subprocess.Popen(
        [sys.executable, "-m", "doubleback.recipes", *map(str, command(out))],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ},
    )
    samples = out / "samples.jsonl"
    try:
        wait_until(lambda: samples.exists() and samples.read_bytes().count(b"\n") > 100, process)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL
    assert len(complete_lines(samples)) < 1200
    assert call(*command(out)) == 2
    assert "already holds a run; continue it with --resume" in errors(capfd.readouterr().err)[0]
    assert call("show", out) == 0
    assert "--resume" in capfd.readouterr().out
    assert call(*command(out, "--resume")) == 0
    assert call(*command(other)) == 0
    names = [name for name in FILES if name != "inputs.json"]
    assert written(Run(out), names) == written(Run(other), names)
    assert call("show", out) == 0
    assert "kept" in capfd.readouterr().out
