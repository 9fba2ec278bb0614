"""What is done with a run that was trained: evaluated, graded again, merged; and what does not belong to it."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from support.commands import errors
from support.faulty import Faulty
from support.paths import FEW_COUNTDOWN, ROOT

from doubleback.eval.show.console import Console
from doubleback.recipes import Run, load_recipe, train
from doubleback.recipes.commands.stages.show import show_outcome
from doubleback.rewards.jsonl import complete_lines


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of three steps, at a rate that moves the policy."""
    out = tmp_path_factory.mktemp("runs") / "trained"
    small = [
        "engine.name=transformers",
        f"task.name={FEW_COUNTDOWN}",
        "steps=3",
        "rollout.prompts_per_step=4",
        "sampling.max_tokens=48",
        "reward.components.overlong.args.buffer=16",
    ]
    small += ["eval.n=2", "eval.k=[1]", "eval.test_problems=2", "eval.validation_problems=2", "optim.lr=1e-2"]
    return train(load_recipe("countdown", small), out, console=Console(quiet=True)).path


@pytest.mark.slow
def test_a_run_and_its_adapter_are_measured_alike_and_apart_from_the_base(run, trained, tmp_path):
    checkpoint = trained / "checkpoints" / "step-00003"
    options = ["--suite", "countdown", "--limit", "6", "--n", "4", "--max-tokens", "48", "--engine", "transformers"]
    for name, policy in (
        ("run", [trained]),
        ("adapter", ["bundled:countdown", "--adapter", checkpoint]),
        ("base", ["bundled:countdown"]),
    ):
        code, _, err = run("eval", *policy, *options, "--out", tmp_path / name)
        assert code == 0, err
    samples = {name: (tmp_path / name / "samples.jsonl").read_bytes() for name in ("run", "adapter", "base")}
    assert samples["run"] == samples["adapter"]
    assert samples["run"] != samples["base"]
    found = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (
        found["adapter_sha256"] == hashlib.sha256((checkpoint / "adapter_model.safetensors").read_bytes()).hexdigest()
    )
    code, text, _ = run("compare", tmp_path / "base", tmp_path / "run")
    assert code == 0
    assert "B - A" in text


@pytest.mark.slow
def test_the_balance_of_experts_is_told_before_after_and_along_the_run(run, trained):
    code, text, err = run("show", trained)
    assert code == 0, err
    assert "experts: 2 layers" in text
    assert "largest violation (MaxVio), mean over layers" in text
    steps = complete_lines(trained / "metrics.jsonl")
    found = [0 < line.get("experts/max_violation", 0) <= line.get("experts/worst_violation", 0) <= 3 for line in steps]
    assert found == [False, True, True, True]  # before the first step nothing was rolled out
    for step in (0, 3):
        summary = json.loads((trained / "eval" / f"test-step-{step:05}.json").read_text())
        shares = [layer["largest_share"] for layer in summary["experts"]]
        assert len(shares) == 2
        assert all(2 / 8 <= share <= 1 for share in shares)


@pytest.mark.slow
def test_a_run_is_verified_and_whatever_is_not_as_it_was_written_is_named(run, trained, tmp_path):
    code, text, err = run("verify", trained)
    assert code == 0, err
    counted = "1 checkpoints, 4 lines of metrics, samples of 3 steps and 4 evaluations"
    assert text.replace("\n", "").endswith(counted)
    damaged = shutil.copytree(trained, tmp_path / "damaged")
    weights = damaged / "checkpoints" / "step-00003" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    shutil.copy(damaged / "rollouts" / "step-00001.jsonl.gz", damaged / "rollouts" / "step-00002.jsonl.gz")
    cut = damaged / "eval" / "validation-step-00000.jsonl.gz"
    cut.write_bytes(cut.read_bytes()[:-30])
    summary = damaged / "eval" / "test-step-00003.json"
    summary.write_text(summary.read_text().replace('"num_problems": 2', '"num_problems": 3'))
    metrics = damaged / "metrics.jsonl"
    metrics.write_bytes(metrics.read_bytes().replace(b'"step": 1,', b'"step": 7,', 1)[:-1])
    code, _, err = run("verify", damaged)
    named = "\n".join(errors(err))
    assert code == 2
    for part in (
        "step-00003 is corrupt: adapter_model.safetensors is not what was saved",
        "step-00002.jsonl.gz has a sample of step 1",
        "validation-step-00000.jsonl.gz cannot be read",
        "metrics.jsonl ends in the middle of a line",
        "metrics.jsonl:2 is of step 7, not 1",
        "test-step-00003.json: num_problems is not that of test-step-00003.jsonl.gz",
    ):
        assert part in named
    code, _, err = run("verify", tmp_path)
    assert (code, len(errors(err))) == (2, 1)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["eval", "adapter", "merge"])
def test_a_checkpoint_that_is_not_what_was_saved_is_neither_measured_nor_merged(run, trained, tmp_path, command):
    """Another adapter put in its place, as one of another run would be: it fits, and is not the run's."""
    changed = shutil.copytree(trained, tmp_path / "changed")
    checkpoint = changed / "checkpoints" / "step-00003"
    weights = checkpoint / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    options = ["--suite", "countdown", "--limit", "2", "--engine", "transformers", "--out", tmp_path / "out"]
    given = {
        "eval": ["eval", changed, *options],
        "adapter": ["eval", "bundled:countdown", "--adapter", checkpoint, *options],
        "merge": ["merge", changed, "--out", tmp_path / "out"],
    }
    code, _, err = run(*given[command])
    assert code == 2
    line = f"error: checkpoint {checkpoint} is corrupt: adapter_model.safetensors is not what was saved"
    assert errors(err)[0].startswith(line)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_run_is_measured_as_it_was_trained_unless_others_are_asked_for(run, trained, tmp_path):
    folder = Path(shutil.copytree(trained, tmp_path / "run"))
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8"))
    recipe["task"]["prompt"] = "{question} <think>"
    recipe["sampling"] |= {"temperature": 0.7, "stop": ["</think>"]}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    options = ["--suite", "countdown", "--limit", "2", "--n", "2", "--engine", "transformers"]
    asked = ["--prompt", "plain", "--temperature", "1", "--max-tokens", "8"]
    keys = ("prompt", "temperature", "max_tokens", "stop")
    for name, others, expected, says in (
        ("own", [], ("{question} <think>", 0.7, 48, ["</think>"]), "the run's own; --prompt names another"),
        ("asked", asked, ("plain", 1.0, 8, ["</think>"]), "as asked for"),
    ):
        code, text, err = run("eval", folder, *options, *others, "--out", tmp_path / name)
        assert code == 0, err
        found = json.loads((tmp_path / name / "summary.json").read_text(encoding="utf-8"))
        assert tuple(found[key] for key in keys) == expected
        assert says in text
        assert f"up to {expected[2]} tokens, to '</think>', temperature {expected[1]:g}; as the run sampled" in text
        prompts = [line["prompt"] for line in complete_lines(tmp_path / name / "problems.jsonl")]
        assert [prompt.endswith("<think>") for prompt in prompts] == [name == "own"] * 2


def test_the_page_of_runs_names_every_file_of_a_run(trained):
    show_outcome(trained, Console())  # draws its pictures, as the end of `doubleback train` does
    page = (ROOT / "docs" / "runs.md").read_text()
    named = set(re.findall(r"^\| `([\w.]+)/?` \|", page, re.MULTILINE))
    sometimes = {"scored", "tiny", "init.json", ".owner"}
    assert {path.name for path in trained.iterdir()} | sometimes == named


@pytest.mark.slow
def test_a_run_can_be_graded_again_with_the_columns_that_it_kept(run, trained, tmp_path):
    """By its own judge nothing turns; by the form alone what does is counted from the parts that the run wrote."""
    known = {row["id"]: row["columns"] for row in Run(trained).problems().to_pylist()}
    rollouts = [line for path in sorted((trained / "rollouts").iterdir()) for line in complete_lines(path)]
    assert len(rollouts) == 3 * 4 * 16
    assert not {"prompt", "numbers", "target"} & set(rollouts[0])
    assert all({"numbers", "target"} <= known[line["problem"]].keys() for line in rollouts)
    code, text, err = run("score", trained, "--reward", "countdown", "--out", tmp_path / "again.jsonl")
    assert code == 0, err
    assert f"0 of {len(rollouts)} verdicts changed" in text
    code, text, err = run("score", trained, "--reward", "format", "--out", tmp_path / "form.jsonl")
    assert code == 0, err
    keeps_form = [line["parts"]["format"] == 1.0 for line in rollouts]
    again = complete_lines(tmp_path / "form.jsonl")
    assert [line["score"] == 1.0 for line in again] == keeps_form
    pairs = zip(rollouts, again, strict=True)
    num_changed = sum(before["verdict"] != after["verdict"] for before, after in pairs)
    assert f"{num_changed} of {len(rollouts)} verdicts changed" in text
    assert num_changed > 0


@pytest.mark.slow
def test_a_merged_run_samples_what_the_run_samples(run, trained, tmp_path):
    """In float32 the merged weights are the sums that an engine is given, so that not one bit differs."""
    code, out, err = run("merge", trained, "--out", tmp_path / "merged", "--dtype", "float32")
    assert code == 0, err
    assert "rounding 0.0e+00 at most on a weight" in out
    options = ["--suite", "countdown", "--limit", "4", "--n", "2", "--max-tokens", "32", "--engine", "transformers"]
    sampled = []
    for name, policy in (("run", trained), ("merged", tmp_path / "merged")):
        assert run("eval", policy, *options, "--out", tmp_path / f"eval-{name}")[0] == 0
        lines = (tmp_path / f"eval-{name}" / "samples.jsonl").read_text().splitlines()
        sampled.append([json.loads(line)["completion"] for line in lines])
    assert len(sampled[0]) == 8
    assert sampled[0] == sampled[1]
    code, _, err = run("merge", trained, "--out", tmp_path / "merged")
    assert (code, errors(err)) == (2, [f"error: --out {tmp_path / 'merged'} exists already; choose another folder"])


@pytest.mark.slow
def test_what_is_pushed_of_a_run_is_measured_as_the_run_is(run, trained, tmp_path):
    code, _, err = run("push", trained, "ann/backtracker", "--out", tmp_path / "pushed")
    assert code == 0, err
    options = ["--suite", "countdown", "--limit", "4", "--n", "2", "--max-tokens", "32", "--engine", "transformers"]
    pushed = ["bundled:countdown", "--adapter", tmp_path / "pushed"]
    for name, policy in (("run", [trained]), ("pushed", pushed)):
        assert run("eval", *policy, *options, "--out", tmp_path / f"eval-{name}")[0] == 0
    first, second = ((tmp_path / f"eval-{name}" / "samples.jsonl").read_bytes() for name in ("run", "pushed"))
    assert first == second
    found = json.loads((trained / "eval" / "test-step-00003.json").read_text())
    rate = found["pass_at_k"]["1"]
    card = (tmp_path / "pushed" / "README.md").read_text()
    assert f"| {rate['value']:.3f} [{rate['low']:.3f}, {rate['high']:.3f}] |" in card
    inputs = json.loads((trained / "inputs.json").read_text())
    assert all(digest in card for value in inputs.values() for digest in re.findall(r"[0-9a-f]{64}", value))


def test_an_adapter_that_does_not_reach_the_engine_is_not_measured(run, trained, tmp_path, monkeypatch):
    from doubleback.rl.engines import create as engine_module

    create = engine_module.create_engine
    monkeypatch.setattr(engine_module, "create_engine", lambda *a, **b: Faulty(create(*a, **b), "serves the base"))
    options = ["--suite", "countdown", "--limit", "6", "--max-tokens", "48", "--engine", "transformers"]
    code, _, err = run("eval", trained, *options, "--out", tmp_path / "out")
    assert code == 1
    assert "it serves the bare base, without any adapter" in err
    assert not (tmp_path / "out").exists()


def test_an_adapter_of_another_model_is_named(run, trained, text_model, questions, tmp_path):
    checkpoint = trained / "checkpoints" / "step-00003"
    options = ["--suite", "gsm8k", "--data", questions, "--engine", "transformers", "--adapter", checkpoint]
    code, _, err = run("eval", text_model["plain"], *options, "--out", tmp_path / "out")
    assert code == 2
    assert errors(err)[0].startswith(f"error: the adapter in {checkpoint} cannot be attached to this model")
