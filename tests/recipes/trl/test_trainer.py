"""A recipe on TRL's own trainer: every key is mapped, refused or known to have no effect; and it runs."""

import json

import pytest
from pydantic import BaseModel
from safetensors.torch import load_file
from support.commands import SMALL_COUNTDOWN, errors
from support.fakes import FakeReward
from support.paths import ROOT
from support.rollouts import make_completion, make_group, make_score

from doubleback.recipes.models.bundled import bundled_path
from doubleback.recipes.recipe.loading import load_recipe
from doubleback.recipes.recipe.schema import Recipe
from doubleback.recipes.trl.mapping import GIVEN, IDLE, LOSSES, MAPPED, ONLY, SCALES, arguments, largest_divisor
from doubleback.recipes.trl.trainer import TrlReward
from doubleback.rewards.jsonl import complete_lines
from doubleback.rewards.sample_lines import read_problems
from doubleback.rewards.types import ConfigError, Problem
from doubleback.rl.learner.batching import assign, make_batch
from doubleback.rl.learner.learner import Learner
from doubleback.rl.policy import lora
from doubleback.rl.policy.base import load_base, load_tokenizer
from doubleback.rl.seeds import sample_seed, sample_seeds
from doubleback.rl.types import ModelSource

PROMPT = 16
"""Tokens of the longest prompt."""
SMALL = [*SMALL_COUNTDOWN, "steps=2", "engine.name=transformers", "eval.n=2", "eval.k=[1]", "eval.test_problems=4"]
SMALL += ["eval.validation_problems=2", "eval.validation_n=1"]


def keys(model, prefix=""):
    """Every key of the schema below `model`, with its path."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from keys(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def test_every_key_of_a_recipe_is_accounted_for_once():
    known = [*MAPPED, *ONLY, *GIVEN, *IDLE]
    assert len(known) == len(set(known))
    for key in keys(Recipe):
        assert len([it for it in known if key == it or key.startswith(f"{it}.")]) == 1, key
    assert all(any(key == it or key.startswith(f"{it}.") for key in keys(Recipe)) for it in known)


def test_every_key_that_trl_sees_is_documented():
    text = (ROOT / "docs" / "trl.md").read_text()
    missing = [key for key in (*MAPPED, *ONLY, *GIVEN, *IDLE) if f"`{key}`" not in text]
    assert not missing


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
    "optim.max_grad_norm": (0.5, "max_grad_norm", 0.5),
    "rollout.prompts_per_step": (8, "gradient_accumulation_steps", 4),
    "optim.microbatch_tokens": (1000, "per_device_train_batch_size", 4),  # 5 would fit, but not divide 256
    "optim.gradient_checkpointing": ("true", "gradient_checkpointing", True),
    "sampling.temperature": (0.7, "temperature", 0.7),
    "sampling.max_tokens": (190, "max_completion_length", 190),
    "sampling.group_size": (4, "num_generations", 4),
    "seed": (5, "seed", 5),
    "steps": (7, "max_steps", 7),
}


@pytest.mark.parametrize("key", CHANGES)
def test_a_key_arrives_under_trls_name(key):
    value, theirs, expected = CHANGES[key]
    plain = arguments(load_recipe("countdown"), PROMPT)
    changed = arguments(load_recipe("countdown", [f"{key}={value}"]), PROMPT)
    assert changed[theirs] == expected != plain[theirs]
    beside = {
        "sampling.group_size": "gradient_accumulation_steps",
        "algorithm.updates_per_batch": "max_steps",
        "optim.microbatch_tokens": "gradient_accumulation_steps",
    }
    allowed = {theirs, beside.get(key, theirs)}
    assert {name for name in plain if plain[name] != changed[name]} == allowed


def test_names_are_trls_own(tmp_path):
    from trl import GRPOConfig

    options = arguments(load_recipe("countdown"), PROMPT)
    made = GRPOConfig(output_dir=str(tmp_path), use_cpu=True, **options)
    assert {name: getattr(made, name) for name in options if name != "report_to"} == {
        name: value for name, value in options.items() if name != "report_to"
    } | {"save_strategy": made.save_strategy}
    assert set(LOSSES.values()) <= {"grpo", "dr_grpo", "dapo", "bnpo", "cispo", "sapo"}
    assert set(SCALES.values()) == {"none", "group", "batch"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "algorithm.routing_replay=true",
            "algorithm.routing_replay=True: trainer=trl has no such thing; set",
        ),
        ("rollout.max_rounds=3", "rollout.max_rounds=3: trainer=trl has no such thing"),
        ("algorithm.advantage=maxrl", "algorithm.advantage=maxrl: trainer=trl knows centre, standardise"),
        (
            "algorithm.advantage=mine.py:best",
            "algorithm.advantage=mine.py:best: trainer=trl knows centre, standardise, batch_scaled_by_rewards",
        ),
        (
            "algorithm.surrogate=mine.py:soft",
            "algorithm.surrogate=mine.py:soft with algorithm.normaliser=constant: trainer=trl knows clipped with",
        ),
        ("algorithm.surrogate=sapo", "algorithm.surrogate=sapo with algorithm.normaliser=constant: trainer=trl knows"),
        ("problems.max_pass_rate=0.9", "problems.max_pass_rate=0.9: trainer=trl has no such thing"),
        ("rollout.ahead=true", "rollout.ahead=True: trainer=trl generates in the same process; set rollout.ahead"),
        ("algorithm.kl_coef=0.1 algorithm.kl_in=reward", "algorithm.kl_in=reward with algorithm.kl_estimator=k3"),
        ("algorithm.kl_coef=0.1 algorithm.kl_estimator=k2", "algorithm.kl_in=loss with algorithm.kl_estimator=k2"),
        ("algorithm.importance_floor=1.5", "algorithm.importance_floor=1.5 with algorithm.importance_cap=2.0"),
        ("algorithm.importance_cap=0.9", "algorithm.importance_floor=None with algorithm.importance_cap=0.9"),
    ],
)
def test_what_trl_cannot_honour_is_named(override, message):
    with pytest.raises(ConfigError) as caught:
        arguments(load_recipe("countdown", [*override.split()]), PROMPT)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("override", ["algorithm.kl_in=reward", "algorithm.kl_estimator=k2", "optim.lr=1e-4"])
def test_what_has_no_effect_is_not_refused(override):
    plain = arguments(load_recipe("countdown"), PROMPT)
    assert arguments(load_recipe("countdown", [override]), PROMPT) == plain


@pytest.mark.parametrize(
    ("number", "most", "expected"), [(256, 5, 4), (256, 300, 256), (15, 4, 3), (7, 6, 1), (8, 0, 1)]
)
def test_largest_divisor(number, most, expected):
    assert largest_divisor(number, most) == expected


def test_cispo_is_bounded_where_ours_is():
    """TRL clips CISPO's ratio at epsilon_high itself, ours at 1 + clip_high; it has no lower bound."""
    keys = ["algorithm.preset=cispo", "algorithm.clip_high=0.2"]
    assert arguments(load_recipe("countdown", keys), PROMPT)["epsilon_high"] == pytest.approx(1.2)
    with pytest.raises(ConfigError, match=r"algorithm\.clip_low=0\.2 with algorithm\.surrogate=cispo"):
        arguments(load_recipe("countdown", [*keys, "algorithm.clip_low=0.2"]), PROMPT)


@pytest.mark.slow
def test_a_step_is_a_batch_however_often_it_is_learned(run, tmp_path):
    folder = tmp_path / "run"
    code, _, err = run("train", "countdown", "trainer=trl", *SMALL, "algorithm.updates_per_batch=2", "--out", folder)
    assert code == 0, err
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1, 2]
    assert all(line["rollout/num_completions"] == 8 for line in lines[1:])
    assert len(list((folder / "rollouts").iterdir())) == 2


def test_a_problem_that_stands_twice_in_a_step_has_two_seeds():
    recipe = load_recipe("countdown", [*SMALL, "rollout.prompts_per_step=3"])
    problems = [Problem(name, "1 2 3 -> 6") for name in ("a", "b", "a", "a")]
    tokenizer = load_tokenizer(str(bundled_path("bundled:countdown")))
    reward = TrlReward(recipe, FakeReward(lambda problem, completions: [make_score(1.0)]), problems, tokenizer)
    reward(completion_ids=[[5], [5], [5]], number=[0, 1, 2])
    assert [group.completions[0].seed for group in reward.groups] == sample_seeds(0, "step 1", ["a", "b", "a"])
    reward(completion_ids=[[5]], number=[3])
    assert reward.groups[0].completions[0].seed == sample_seed(0, "step 2", "a")


@pytest.mark.slow
def test_the_random_reward_differs_within_a_group(run, tmp_path):
    """It goes by each sample's seed: one seed for all would be a control without any signal."""
    folder, keys = tmp_path / "run", [key for key in SMALL if "overlong" not in key]
    code, _, err = run("train", "countdown-random-reward", "trainer=trl", *keys, "--out", folder)
    assert code == 0, err
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert all(line["rollout/zero_variance"] < 1 and line["learner/grad_norm"] > 0 for line in lines[1:])


@pytest.mark.slow
def test_refused_before_anything_is_written(run, tmp_path):
    keys = ["trainer=trl", "algorithm.routing_replay=true", "sampling.stop=[x]"]
    code, _, err = run("train", "countdown", *keys, "--out", tmp_path / "run")
    assert code == 2
    assert len(errors(err)) == 2
    assert not (tmp_path / "run").exists()
    code, _, checked = run("check", "countdown", *keys)
    assert (code, errors(checked)) == (2, errors(err))


LEFT_OUT = {"gap/mean_abs", "gap/max_abs", "gap/k3", "gap/experts_differ", "learner/importance_capped"} | {
    f"experts/{name}"
    for name in ("max_violation", "worst_violation", "mean_violation", "entropy", "unused", "largest_share")
}
"""Metrics that need the sampler's log-probabilities and experts, which TRL does not hand out."""


@pytest.mark.slow
def test_a_run_on_trl_is_a_run(run, tmp_path):
    folders = {trainer: tmp_path / trainer for trainer in ("trl", "doubleback")}
    keys = [*SMALL, "steps=3", "checkpoint.every=1", "checkpoint.keep=2"]
    for trainer, folder in folders.items():
        code, out, err = run("train", "countdown", f"trainer={trainer}", *keys, "--out", folder)
        assert code == 0, err
        assert "pass@1" in out
    written = [{str(path.relative_to(folder)) for path in folder.rglob("*")} for folder in folders.values()]
    assert written[1] - written[0] == {"timeline.png"}  # TRL hands out no times of who waited for whom
    assert written[0] <= written[1]
    lines, ours = (
        [json.loads(it) for it in (folder / "metrics.jsonl").read_text().splitlines()] for folder in folders.values()
    )
    assert [line["step"] for line in lines] == [0, 1, 2, 3]
    assert [set(line) for line in lines] == [set(ours[0]), *(set(line) - LEFT_OUT for line in ours[1:])]
    # The rates, the problems and, before anything is learned, the evaluations and the receipt are ours.
    assert [line["learner/lr"] for line in lines[1:]] == pytest.approx([line["learner/lr"] for line in ours[1:]])
    assert lines[0] == ours[0]
    for step in (1, 2, 3):
        samples = [complete_lines(folder / "rollouts" / f"step-0000{step}.jsonl.gz") for folder in folders.values()]
        assert [row["problem"] for row in samples[0]] == [row["problem"] for row in samples[1]]
    places = [(folder / "checkpoints" / "step-00003" / "problems.json").read_text() for folder in folders.values()]
    assert places[0] == places[1]
    for line in lines[1:]:
        phases = [line[f"seconds/{phase}"] for phase in ("rollout", "reward", "update", "sync")]
        assert min(phases) > 0
        assert sum(phases) <= line["seconds/step"]
        assert line["learner/grad_norm"] > 0
        assert 0 < line["sync/mean_abs"] < 1e-5 < line["sync/moved"]
    folder = folders["trl"]
    code, out, err = run("eval", folder, "--suite", "countdown", "--limit", 4, "--n", 2, "--engine", "transformers")
    assert code == 0, err
    code, _, err = run("train", "countdown", "trainer=trl", *keys, "--out", folder, "--resume")
    assert code == 2
    assert "--resume: trainer=trl cannot continue exactly" in err


GRPO = ["algorithm.preset=grpo", "optim.microbatch_tokens=200", "optim.warmup_steps=0"]
DAPO = ["algorithm.preset=dapo", "rollout.max_rounds=1", "algorithm.mask_truncated=true"]
TWICE = ["algorithm.updates_per_batch=2", "optim.weight_decay=0.1"]


@pytest.mark.slow
@pytest.mark.parametrize("keys", [[], GRPO, DAPO, TWICE], ids=["recipe", "grpo", "dapo", "twice"])
def test_a_step_on_trl_is_ours(run, tmp_path, keys):
    """Our learner on what TRL sampled arrives where TRL arrived: loss, gradient norm, and every tensor."""
    keys = [*SMALL, *keys, "steps=1", "algorithm.importance_cap=null"]
    code, _, err = run("train", "countdown", "trainer=trl", *keys, "--out", tmp_path / "run")
    assert code == 0, err
    recipe = load_recipe("countdown", keys)
    model = ModelSource(bundled_path(recipe.model.path), "float32", 256)
    tokenizer, learner = load_tokenizer(model.path), make_learner(model, recipe)
    rows = complete_lines(tmp_path / "run" / "rollouts" / "step-00001.jsonl.gz")
    known = read_problems(tmp_path / "run")
    groups = [
        make_group(
            tokenizer(known[part[0]["problem"]].prompt)["input_ids"],
            [make_completion(row["token_ids"], finish_reason=row["finish_reason"]) for row in part],
            [row["score"] for row in part],
        )
        for part in (rows[:4], rows[4:])
    ]
    before = learner.adapter().tensors
    metrics = learner.update(make_batch(assign(groups, recipe.algorithm), recipe.algorithm, recipe.sampling))
    line = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[1])
    assert line["learner/grad_norm"] == pytest.approx(metrics["learner/grad_norm"], rel=1e-4)
    assert line["learner/loss"] == pytest.approx(metrics["learner/loss"], rel=1e-4, abs=1e-6)
    theirs = load_file(tmp_path / "run" / "checkpoints" / "step-00001" / "adapter_model.safetensors")
    for name, tensor in learner.adapter().tensors.items():
        moved = (tensor - before[name]).abs().mean()
        assert (tensor - theirs[name]).abs().mean() <= 1e-3 * moved, name
    assert sum(float((tensor - before[name]).abs().sum()) for name, tensor in learner.adapter().tensors.items()) > 0


def make_learner(model, recipe):
    return Learner(
        lora.attach(load_base(model), recipe.lora, recipe.seed),
        recipe.algorithm,
        recipe.optim,
        recipe.sampling.sampling(),
    )
