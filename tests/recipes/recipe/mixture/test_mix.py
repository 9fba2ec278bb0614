"""Two tasks in one run on a tiny model: each with its own prompt, reward, length and measures; resumed exactly."""

import json

import pytest
from support.commands import untimed
from support.paths import FEW_COUNTDOWN

from doubleback.eval.show.console import Console
from doubleback.recipes import Run, load_recipe, train
from doubleback.recipes.commands.modes import for_suite
from doubleback.recipes.recipe.mixture.strands import strands
from doubleback.recipes.recipe.policy import Policy, engine_settings
from doubleback.rewards.jsonl import complete_lines

SETTINGS = {
    "tiny": True,
    "steps": 2,
    "engine.name": "transformers",
    "model.max_length": 512,
    "task.train_problems": 24,
    "task.validation_problems": 4,
    "task.test_problems": 4,
    "problems.level": None,
    "rollout.prompts_per_step": 6,
    "sampling.group_size": 2,
    "sampling.max_tokens": 24,
    "reward.components": {"math": 1.0, "format": 0.1},
    "sync.num_canaries": 2,
    "checkpoint.every": 1,
    "eval.n": 2,
    "eval.k": [1],
    "eval.validation_n": 1,
    "eval.test_problems": 2,
    "eval.validation_problems": 2,
}
MIXED = {"task": {"name": FEW_COUNTDOWN}, "reward": {"components": {"countdown": 1.0}}, "max_tokens": 9, "weight": 0.5}


def trained_into(out, **how):
    recipe = load_recipe("chain-sum", {**SETTINGS, "mix": {"numbers": {**MIXED}}})
    return train(recipe, out, console=Console(quiet=True), **how)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return trained_into(tmp_path_factory.mktemp("runs") / "whole").path


@pytest.mark.slow
def test_a_step_holds_both_tasks_by_weight_each_with_its_reward_and_length(trained):
    rows = complete_lines(trained / "rollouts" / "step-00001.jsonl.gz")
    found = {name: [row for row in rows if row["problem"].startswith(f"{name}/")] for name in ("chain_sum", "numbers")}
    assert [len(of_one) for of_one in found.values()] == [8, 4]  # weights 1 and 1/2 of six problems, two samples each
    assert {tuple(row["parts"]) for row in found["chain_sum"]} == {("math", "format")}
    assert {tuple(row["parts"]) for row in found["numbers"]} == {("countdown",)}
    assert max(row["tokens"] for row in found["numbers"]) <= 9 < max(row["tokens"] for row in found["chain_sum"]) <= 24
    line = complete_lines(trained / "metrics.jsonl")[1]
    assert line["strand/numbers/mean_tokens"] == sum(row["tokens"] for row in found["numbers"]) / 4
    assert "strand/numbers/part/math" not in line


@pytest.mark.slow
def test_each_task_is_measured_by_its_own_measures(trained):
    evaluations = Run(trained).evaluations()
    assert next(iter(evaluations["test-numbers-step-00002"]["measures"])) == "verified_backtrack"
    assert "verified_backtrack" not in evaluations["test-chain_sum-step-00002"]
    assert evaluations["test-step-00002"]["num_problems"] == 4
    assert "thinking" not in json.dumps(complete_lines(trained / "problems.jsonl"))


@pytest.mark.slow
def test_a_resumed_mixture_is_the_uninterrupted_one(trained, tmp_path):
    def interrupt(step, metrics):
        if step == 1:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        trained_into(tmp_path / "cut", callbacks=[interrupt])
    trained_into(tmp_path / "cut", resume=True)
    lines = [list(map(untimed, complete_lines(run / "metrics.jsonl"))) for run in (tmp_path / "cut", trained)]
    assert lines[0] == lines[1]
    last = [complete_lines(run / "rollouts" / "step-00002.jsonl.gz") for run in (tmp_path / "cut", trained)]
    assert last[0] == last[1]


def test_a_suite_is_put_as_the_task_of_the_run_that_it_is_of():
    beside = {"task": {"name": "countdown", "prompt": "{question} ="}, "reward": MIXED["reward"], "max_tokens": 9}
    recipe = load_recipe("chain-sum", {"mix": {"numbers": beside}})
    policy = Policy("base", None, "float32", engine_settings("vllm", "auto"), None, recipe=recipe)
    measured = for_suite(policy, "countdown").recipe
    assert (measured.task.prompt, measured.sampling.max_tokens) == ("{question} =", 9)
    for own_or_none in ("chain_sum", "knights", None):
        assert for_suite(policy, own_or_none) is policy


def test_a_task_beside_may_start_from_a_data_set_of_the_table():
    reward = {"components": {"math": 1.0}}
    recipe = load_recipe("countdown", {"mix.words": {"data": "gsm8k", "task": {"prompt": "r1_zero"}, "reward": reward}})
    task = strands(recipe)[1].recipe.task
    assert (task.name, task.prompt, task.question) == ("math", "r1_zero", "question")
