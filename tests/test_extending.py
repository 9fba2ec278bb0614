"""What a user adds from outside the package, each by one file: one test for each thing. The pages' own code is run."""

import json
import re
import shlex
from statistics import fmean

import pytest
import torch
from support.gradients import BARE_GRADIENT, deviation, gradients
from support.models.families import make_family_model
from support.paths import ROOT
from support.rollouts import EOS, SAMPLING, make_completion, make_group

from doubleback.recipes import Run, load_recipe
from doubleback.recipes.tasks.task import find_task
from doubleback.rewards.types import Problem
from doubleback.rl.config import OptimConfig
from doubleback.rl.engines.config import EngineConfig
from doubleback.rl.engines.create import create_engine
from doubleback.rl.learner.learner import Learner
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.objective.tables import IMPORTANCE, KL_ESTIMATORS, Importance, KlEstimator
from doubleback.rl.policy import families
from doubleback.rl.policy.base import base_tensors, load_base, load_tokenizer
from doubleback.rl.types import ModelSource, Sampling


def blocks(page, language):
    """The code blocks of a page of docs/ in a language."""
    text = (ROOT / "docs" / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def shows_what_it_prints(run, page):
    """Run every command of the page; each line shown below one is a line of its output."""
    shown = [
        pair for block in blocks(page, "console") for pair in re.findall(r"^\$ doubleback (.*)\n([^$]*)", block, re.M)
    ]
    for command, expected in shown:
        _, out, err = run(*shlex.split(command))
        printed = " ".join((out + err).split())
        assert [line for line in expected.splitlines() if " ".join(line.split()) not in printed] == [], printed
    return len(shown)


@pytest.mark.slow
def test_an_engine(run, tmp_path, monkeypatch, tiny_model_folder):
    """The page's own, made from its file: in this process and in one of its own it samples what it wraps."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_engines.py").write_text(blocks("engines.md", "python")[0])
    assert shows_what_it_prints(run, "engines.md") == 2
    source, sampling = ModelSource(str(tiny_model_folder), "float32", 256), Sampling(2, 1.0, 8)
    tensors, tokenizer = base_tensors(load_base(source)), load_tokenizer(source.path)
    sampled = []
    for name, is_apart in (
        ("transformers", False),
        ("my_engines.py:Counting", False),
        ("my_engines.py:Counting", True),
    ):
        engine = create_engine(EngineConfig(name=name).setup(source), tensors, tokenizer, is_apart=is_apart)
        sampled.append(engine.sample([Problem("p", "3 5 7 -> 22")], sampling, [11]))
        engine.close()
    assert sampled[0] == sampled[1] == sampled[2]


@pytest.mark.slow
def test_a_model_family(run, tmp_path, monkeypatch):
    """AFMoE calls its router otherwise: refused by name without the page's row, sampled and compared with it."""
    monkeypatch.setattr(families, "FAMILIES", dict(families.FAMILIES))
    make_family_model("afmoe", tmp_path)
    small = ["sampling.group_size=2", "sampling.max_tokens=32", "reward.components.overlong.args.buffer=16"]
    command = ["check", "countdown", f"model.path={tmp_path}", "engine.name=transformers", "lora.rank=4", *small]
    code, _, err = run(*command)
    assert code == 2
    assert "no router under the name 'mlp.gate' in this afmoe model; see rl/policy/families.py" in err
    exec(blocks("models.md", "python")[0])
    code, out, _ = run(*command)
    assert code == 0
    gaps = re.findall(r"max (\S+) nats", " ".join(out.split()))
    assert len(gaps) == 2
    assert max(map(float, gaps)) < 5e-5


@pytest.mark.slow
def test_a_task(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_tasks.py").write_text(blocks("tasks.md", "python")[0])
    (tmp_path / "larger.yaml").write_text(blocks("tasks.md", "yaml")[0])
    assert shows_what_it_prints(run, "tasks.md") == 2
    measure = find_task("my_tasks.py:Larger").measures["names_both"]
    assert [measure.of({"question": "3 2"}, text) for text in ("2 is below 3", "3", "32")] == [True, False, False]


@pytest.fixture
def page(tmp_path, monkeypatch):
    """The files of docs/extending.md in the folder that the test works in, and the page's commands."""
    monkeypatch.chdir(tmp_path)
    names = ("mine_recipe.yaml", "mine_suite.yaml", "mine_prompt.yaml", "mine_data.yaml")
    (tmp_path / "mine.py").write_text(blocks("extending.md", "python")[0])
    for name, text in zip(names, blocks("extending.md", "yaml"), strict=True):
        (tmp_path / name).write_text(text)
    return [
        shlex.split(line)
        for block in blocks("extending.md", "console")
        for line in re.findall(r"doubleback (.*)", block)
    ]


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_reward(run, page, tmp_path):
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"completion": "x" * n}) + "\n" for n in (5, 119, 120)))
    code, _, err = run("score", "rows.jsonl", "--reward", "mine.py:brief")
    assert code == 0, err
    assert [row["score"] for row in lines(tmp_path / "rows.scored.jsonl")] == [1.0, 1.0, 0.0]


@pytest.mark.slow
def test_a_recipe_with_a_metric(run, page, tmp_path):
    """The function is measured on every completion, and rewards nothing."""
    code, _, err = run(*page[0])
    assert code == 0, err
    metrics = lines(tmp_path / "runs/mine/metrics.jsonl")
    assert [line["step"] for line in metrics] == [0, 1, 2]
    rows = Run("runs/mine").rollouts(1).to_pylist()
    brief = [float(len(row["completion"]) < 120) for row in rows]
    assert [row["parts"]["brief"] for row in rows] == brief
    assert [row["score"] for row in rows] == [row["parts"]["countdown"] for row in rows]
    assert metrics[1]["reward/part/brief"] == pytest.approx(fmean(brief), abs=1e-12)


def test_a_suite_with_a_prompt(run, page, tmp_path):
    code, out, err = run(*page[1])
    assert code == 0, err
    assert "mine_suite: 3 problems x 1, prompt mine_prompt.yaml" in out
    problems = lines(tmp_path / "runs/suite/problems.jsonl")
    assert len(problems) == len(lines(tmp_path / "runs/suite/samples.jsonl")) == 3
    for problem in problems:
        assert len(problem["columns"]["numbers"]) == 4
        assert problem["prompt"].startswith("1 2 3 -> 6 <think> 1 + 2 = 3 : 3 + 3 = 6 yes </think>")
        assert problem["prompt"].endswith(f"-> {problem['columns']['target']}")


def test_a_data_set(page, tmp_path):
    """Its fields make questions, golds and levels; the row without an answer is left out and named."""
    rows = [{"story": f"Ann has {n} pens.", "asked": "Two more?", "solution": {"result": n + 2}, "grade": f"{n % 3}th"}
            for n in range(20)]  # fmt: skip
    broken = {**rows[0], "story": "Bo has none.", "solution": {"result": None}}
    (tmp_path / "mine_rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, broken]))
    _, recipe, *overrides = page[2]
    splits = load_recipe(recipe, overrides).task.splits()
    problems = {problem.prompt: problem.columns for problem in splits.everything}
    assert len(problems) == 20
    assert len(splits.validation) == 2
    assert (problems["Ann has 7 pens. Two more?"]["answer"], problems["Ann has 7 pens. Two more?"]["level"]) == (9, 1)
    ((reason, (line,)),) = splits.skipped.items()
    assert (reason, line.split(": ")[0]) == ("task.drop_unscorable=true", "mine_rows.jsonl:21")


def learned(make_policy, **algorithm):
    """One step on one problem with four completions of 2, 3, 4 and 5 tokens. Its batch, metrics and gradients."""
    completions = [make_completion([*range(5, 4 + length), EOS]) for length in (2, 3, 4, 5)]
    settings = AlgorithmConfig(**{"importance_cap": None} | algorithm)
    learner = Learner(make_policy(dtype="float64"), settings, OptimConfig(**BARE_GRADIENT, lr=1e-2), SAMPLING)
    batch = learner.batch([make_group([1, 20, 21], completions, [1.0, 0.0, 0.0, 0.5])])
    return batch, learner.update(batch), gradients(learner)


def test_an_advantage(make_policy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(blocks("algorithms.md", "python")[0])
    batch, metrics, _ = learned(make_policy, advantage="mine.py:best_of")
    assert batch.groups[0].advantages == (2.0, -1.0, -1.0, -1.0)
    # Ratio 1, and each token weighs 1 / (4 completions * 12 tokens): -(2 * 2 - 3 - 4 - 5) / 48
    assert metrics["learner/loss"] == pytest.approx(8 / 48, rel=1e-6)
    assert metrics["learner/grad_norm"] > 0


def test_functions_that_do_not_fit_are_refused_before_anything_is_written(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("def flat(advantages_B1): ...")
    code, _, err = run("train", "countdown", "algorithm.surrogate=mine.py:flat", "--out", "run")
    assert code == 2
    assert "algorithm.surrogate=mine.py:flat takes neither ratio_BT nor logprobs_BT" in " ".join(err.split())
    assert not (tmp_path / "run").exists()


def test_a_surrogate(make_policy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(blocks("algorithms.md", "python")[0])
    _, metrics, squared = learned(make_policy, advantage="mine.py:best_of", surrogate="mine.py:squared", clip_high=0.5)
    assert metrics["learner/loss"] == pytest.approx(8 / 48, rel=1e-6)
    # At ratio 1 the square has twice the slope of the ratio, which is what the clipped surrogate has there.
    _, _, clipped = learned(make_policy, advantage="mine.py:best_of")
    assert deviation(squared, {name: 2 * tensor for name, tensor in clipped.items()}) < 1e-6
    assert max(float(tensor.abs().max()) for tensor in squared.values()) > 1e-3
    # Bounded at 1 + clip_high = 1.5, with an advantage of 2.
    settings = AlgorithmConfig(surrogate="mine.py:squared", clip_high=0.5)
    tensors = {"ratio_BT": torch.tensor([[1.2, 9.0]]), "advantages_B1": torch.tensor([[2.0]])}
    loss_BT = settings.functions.surrogate(**tensors, mask_BT=torch.ones(1, 2))
    assert loss_BT.tolist() == [pytest.approx([-2 * 1.2**2, -2 * 1.5**2], rel=1e-6)]


# With `centre` the four advantages are 0.625, -0.375, -0.375 and 0.125 over 2, 3, 4 and 5 tokens, which sums to -0.75.
CENTRED_LOSS = 0.75 / 48


def test_a_kl_estimator_is_a_row(make_policy, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("def one(logprobs_BT, other_logprobs_BT): return 0 * logprobs_BT + 1")
    row = KlEstimator(function=f"{tmp_path / 'mine.py'}:one", paper="none", has_gradient=False)
    monkeypatch.setitem(KL_ESTIMATORS, "one", row)
    with pytest.raises(ValueError, match="kl_estimator=one has no gradient of its own"):
        AlgorithmConfig(kl_estimator="one")
    _, metrics, _ = learned(make_policy, kl_estimator="one", kl_coef=0.5, kl_times_ratio=True)
    assert metrics["learner/loss"] == pytest.approx(CENTRED_LOSS + 0.5 * 14 / 48, rel=1e-6)


def test_an_importance_estimator_is_a_row(make_policy, tmp_path, monkeypatch):
    code = """
def half(old_logprobs_BT, sampler_logprobs_BT, mask_BT): return 0 * old_logprobs_BT.detach() + 0.5
def doubled(ratio, floor, cap): return 2 * ratio.clamp(max=cap)
"""
    (tmp_path / "mine.py").write_text(code)
    place = tmp_path / "mine.py"
    row = Importance(ratio=f"{place}:half", function=f"{place}:doubled", paper="none", reads=("importance_cap",))
    monkeypatch.setitem(IMPORTANCE, "mine", row)
    with pytest.raises(ValueError, match=r"importance_floor=0\.1 has no effect with algorithm\.importance=mine"):
        AlgorithmConfig(importance="mine", importance_floor=0.1)
    _, metrics, _ = learned(make_policy, importance="mine", importance_cap=0.25)
    assert metrics["learner/loss"] == pytest.approx(0.5 * CENTRED_LOSS, rel=1e-6)
    assert metrics["learner/importance_capped"] == 1.0
