"""A recipe on TRL's own trainer: every key is mapped, refused or known to have no effect; and it runs."""

import json
import math

import pytest
from commands import errors

from doubleback.recipes.loading import load_recipe
from doubleback.recipes.trl_mapping import LOSSES, MAPPED, ONLY, OURS_ALONE, SCALES, arguments
from doubleback.rewards.types import ConfigError
from doubleback.rl.algorithm import AlgorithmConfig
from doubleback.rl.config import OptimConfig, ProblemsConfig, SamplingConfig

SECTIONS = {
    "algorithm": AlgorithmConfig,
    "optim": OptimConfig,
    "sampling": SamplingConfig,
    "problems": ProblemsConfig,
}
SMALL = ["steps=2", "optim.prompts_per_step=2", "sampling.group_size=4", "sampling.max_tokens=32", "eval.n=2"]
SMALL += ["eval.k=[1]", "eval.test_problems=4", "eval.validation_problems=2", "eval.validation_n=1"]
SMALL += ["reward.components.overlong.args.buffer=16", "engine.name=transformers"]


def test_every_key_is_accounted_for_once():
    keys = {f"{section}.{key}" for section, model in SECTIONS.items() for key in model.model_fields}
    assert sorted([*MAPPED, *ONLY, *OURS_ALONE]) == sorted(keys)


CHANGES = {
    "algorithm.clip_low": (0.1, "epsilon", 0.1),
    "algorithm.clip_high": (0.3, "epsilon_high", 0.3),
    "algorithm.dual_clip": (3.0, "delta", 3.0),
    "algorithm.kl_coef": (0.05, "beta", 0.05),
    "algorithm.mask_truncated": ("true", "mask_truncated_completions", True),
    "algorithm.updates_per_batch": (2, "num_iterations", 2),  # and max_steps: TRL counts updates
    "algorithm.ratio": ("sequence", "importance_sampling_level", "sequence"),
    "algorithm.advantage": ("standardise", "scale_rewards", "group"),
    "algorithm.normaliser": ("token", "loss_type", "dapo"),
    "optim.lr": (5e-4, "learning_rate", 5e-4),
    "optim.beta1": (0.8, "adam_beta1", 0.8),
    "optim.beta2": (0.95, "adam_beta2", 0.95),
    "optim.weight_decay": (0.1, "weight_decay", 0.1),
    "optim.max_grad_norm": (0.5, "max_grad_norm", 0.5),
    "optim.warmup_steps": (7, "warmup_steps", 7),
    "optim.prompts_per_step": (3, "gradient_accumulation_steps", 3),
    "optim.gradient_checkpointing": ("true", "gradient_checkpointing", True),
    "sampling.temperature": (0.7, "temperature", 0.7),
    "sampling.max_tokens": (77, "max_completion_length", 77),
    "sampling.group_size": (4, "num_generations", 4),
}


@pytest.mark.parametrize("key", CHANGES)
def test_a_key_arrives_under_trls_name(key):
    value, theirs, expected = CHANGES[key]
    plain, changed = arguments(load_recipe("countdown")), arguments(load_recipe("countdown", [f"{key}={value}"]))
    assert changed[theirs] == expected != plain[theirs]
    beside = {"sampling.group_size": "per_device_train_batch_size", "algorithm.updates_per_batch": "max_steps"}
    allowed = {theirs, beside.get(key, theirs)}
    assert {name for name in plain if plain[name] != changed[name]} == allowed


def test_names_are_trls_own(tmp_path):
    from trl import GRPOConfig

    options = arguments(load_recipe("countdown"))
    made = GRPOConfig(output_dir=str(tmp_path), use_cpu=True, **options)
    assert {name: getattr(made, name) for name in options if name not in ("optim", "report_to")} == {
        name: value for name, value in options.items() if name not in ("optim", "report_to")
    } | {"save_strategy": made.save_strategy, "lr_scheduler_type": made.lr_scheduler_type}
    assert set(LOSSES.values()) <= {"grpo", "dr_grpo", "dapo", "bnpo", "cispo", "sapo"}
    assert set(SCALES.values()) == {"none", "group", "batch"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "algorithm.routing_replay=true",
            "algorithm.routing_replay=True: trainer=trl has no such thing; set",
        ),
        ("algorithm.max_rounds=3", "algorithm.max_rounds=3: trainer=trl has no such thing"),
        ("algorithm.advantage=maxrl", "algorithm.advantage=maxrl: trainer=trl knows centre, standardise"),
        ("algorithm.surrogate=sapo", "algorithm.surrogate=sapo with algorithm.normaliser=constant: trainer=trl knows"),
        ("problems.max_pass_rate=0.9", "problems.max_pass_rate=0.9: trainer=trl has no such thing"),
    ],
)
def test_what_trl_cannot_honour_is_named(override, message):
    with pytest.raises(ConfigError) as caught:
        arguments(load_recipe("countdown", [override]))
    assert str(caught.value).startswith(message)


def test_cispo_is_bounded_where_ours_is():
    """TRL clips CISPO's ratio at epsilon_high itself, ours at 1 + clip_high; it has no lower bound."""
    keys = ["algorithm.preset=cispo", "algorithm.clip_high=0.2"]
    assert arguments(load_recipe("countdown", keys))["epsilon_high"] == pytest.approx(1.2)
    with pytest.raises(ConfigError, match=r"algorithm\.clip_low=0\.2 with algorithm\.surrogate=cispo"):
        arguments(load_recipe("countdown", [*keys, "algorithm.clip_low=0.2"]))


@pytest.mark.slow
def test_a_step_is_a_batch_however_often_it_is_learned(run, tmp_path):
    folder = tmp_path / "run"
    code, _, err = run("train", "countdown", "trainer=trl", *SMALL, "algorithm.updates_per_batch=2", "--out", folder)
    assert code == 0, err
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1, 2]
    assert all(line["rollout/num_completions"] == 8 for line in lines[1:])
    assert len(list((folder / "rollouts").iterdir())) == 2


@pytest.mark.slow
def test_the_random_reward_differs_within_a_group(run, tmp_path):
    """It goes by each sample's seed: one seed for all would be a control without any signal."""
    folder, keys = tmp_path / "run", [key for key in SMALL if "overlong" not in key]
    code, _, err = run("train", "countdown-random-reward", "trainer=trl", *keys, "--out", folder)
    assert code == 0, err
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert all(line["rollout/zero_variance"] < 1 and line["learner/grad_norm"] > 0 for line in lines[1:])


def test_refused_before_anything_is_written(run, tmp_path):
    keys = ["trainer=trl", "algorithm.routing_replay=true", "sampling.stop=[x]"]
    code, _, err = run("train", "countdown", *keys, "--out", tmp_path / "run")
    assert code == 2
    assert len(errors(err)) == 2
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_run_on_trl_is_a_run(run, tmp_path):
    folder = tmp_path / "run"
    code, out, err = run("train", "countdown", "trainer=trl", *SMALL, "--out", folder)
    assert code == 0, err
    assert "pass@1" in out
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1, 2]
    for name in ("reward/mean", "learner/loss", "learner/grad_norm", "rollout/mean_tokens", "seconds/step"):
        assert all(math.isfinite(line[name]) for line in lines[1:])
    assert all(line["rollout/num_completions"] == 8 for line in lines[1:])
    assert len(list((folder / "rollouts").iterdir())) == 2
    code, out, err = run("eval", folder, "--suite", "countdown", "--limit", 4, "--n", 2, "--engine", "transformers")
    assert code == 0, err
    code, _, err = run("train", "countdown", "trainer=trl", *SMALL, "--out", folder, "--resume")
    assert code == 2
    assert "--resume: trainer=trl cannot continue exactly" in err
