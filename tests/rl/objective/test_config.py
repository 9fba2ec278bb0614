"""Presets and the checks between keys of `algorithm`: nothing contradicts itself in silence."""

import pytest

from doubleback.rl.config import ProblemsConfig
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.objective.presets import PRESETS


def finding(**settings):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is what each test is about
        AlgorithmConfig(**settings)
    return str(caught.value.errors()[0]["ctx"]["error"])


def test_without_a_preset_the_defaults_stand():
    """What shipped recipes have run with; a change here changes every run."""
    assert AlgorithmConfig().model_dump() == {
        "preset": None,
        "advantage": "centre",
        "normaliser": "constant",
        "surrogate": "clipped",
        "ratio": "token",
        "old_logprobs": "trainer",
        "clip_low": 0.2,
        "clip_high": 0.28,
        "dual_clip": None,
        "sapo_positive": 1.0,
        "sapo_negative": 1.05,
        "importance": "token_truncate",
        "importance_floor": None,
        "importance_cap": 2.0,
        "kl_coef": 0.0,
        "kl_estimator": "k3",
        "kl_in": "loss",
        "kl_times_ratio": False,
        "entropy_coef": 0.0,
        "entropy_target": None,
        "entropy_delta": 0.005,
        "entropy_max": 1.0,
        "mask_truncated": False,
        "drop_zero_variance": True,
        "routing_replay": False,
        "updates_per_batch": 1,
        "teacher_discount": 0.0,
    }


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_sets_its_keys_and_no_others(name):
    settings = PRESETS[name].settings
    assert AlgorithmConfig(preset=name).model_dump() == AlgorithmConfig().model_dump() | {"preset": name} | settings


def test_presets_differ():
    assert len({str(sorted(preset.settings.items())) for preset in PRESETS.values()}) == len(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_a_resolved_preset_means_the_same_again(name):
    """recipe.yaml holds the preset's name and every key."""
    resolved = AlgorithmConfig(preset=name)
    assert AlgorithmConfig(**resolved.model_dump()) == resolved


def test_explicit_keys_win_over_the_preset():
    config = AlgorithmConfig(preset="gspo", clip_high=0.001)
    assert (config.clip_low, config.clip_high, config.ratio) == (3e-4, 0.001, "sequence")


def test_unknown_preset_suggests_the_nearest():
    assert finding(preset="gsbo") == "algorithm.preset='gsbo' is not a preset; did you mean gspo?"


CONTRADICTIONS = [
    ({"surrogate": "cispo", "dual_clip": 3.0}, ["dual_clip=3.0", "surrogate=cispo", "leave it at null"]),
    ({"preset": "sapo", "dual_clip": 3.0}, ["dual_clip=3.0", "surrogate=sapo"]),
    ({"dual_clip": 1.1}, ["dual_clip=1.1", "1 + algorithm.clip_high=1.28", "raise the first"]),
    ({"surrogate": "cispo", "ratio": "sequence_token"}, ["surrogate=cispo", "ratio=sequence_token", "name that"]),
    ({"surrogate": "sapo", "clip_high": 0.3}, ["clip_high=0.3", "surrogate=sapo", "leave it at 0.28"]),
    ({"sapo_negative": 2.0}, ["sapo_negative=2.0", "surrogate=clipped", "set surrogate to sapo"]),
    ({"importance_cap": None, "importance": "token_mask"}, ["importance=token_mask", "importance_cap=null"]),
    ({"importance_cap": None, "importance_floor": 0.5}, ["importance_floor=0.5", "importance_cap=null"]),
    ({"old_logprobs": "sampler", "importance_cap": 3.0}, ["importance_cap=3.0", "old_logprobs=sampler", "to trainer"]),
    ({"importance_floor": 3.0}, ["importance_floor=3.0", "importance_cap=2.0", "lower the first"]),
    ({"kl_coef": 0.1, "kl_estimator": "k1"}, ["kl_estimator=k1", "kl_in=loss", "kl_times_ratio=false", "k2 or k3"]),
    ({"kl_in": "reward", "kl_times_ratio": True}, ["kl_times_ratio=true", "kl_in=reward"]),
    ({"preset": "maxrl", "kl_in": "reward", "kl_coef": 0.1}, ["advantage=maxrl", "kl_in=reward", "kl_coef=0.1"]),
    ({"entropy_delta": 0.1}, ["entropy_delta=0.1", "entropy_target=null", "leave it at 0.005"]),
    ({"entropy_coef": 2.0, "entropy_target": 0.5}, ["entropy_coef=2.0", "entropy_max=1.0"]),
]


@pytest.mark.parametrize(("settings", "parts"), CONTRADICTIONS, ids=lambda item: str(item)[:60])
def test_contradictions_are_refused_in_one_line(settings, parts):
    line = finding(**settings)
    assert "\n" not in line
    assert [part for part in parts if part not in line] == []


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"min_pass_rate": 0.8, "max_pass_rate": 0.2}, ["min_pass_rate=0.8", "max_pass_rate=0.2", "lower the first"]),
        ({"rest_epochs": 5}, ["rest_epochs=5", "max_pass_rate=1.0", "leave it at 2"]),
        ({"promote_at": 0.5}, ["promote_at=0.5", "level=null", "set level to a column"]),
        ({"memory": 0.1}, ["memory=0.1", "max_pass_rate=1.0"]),
    ],
    ids=str,
)
def test_contradictions_of_the_problems_are_refused_in_one_line(settings, parts):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        ProblemsConfig(**settings)
    line = str(caught.value.errors()[0]["ctx"]["error"])
    assert "\n" not in line
    assert [part for part in parts if part not in line] == []


def test_all_contradictions_come_at_once():
    assert len(finding(dual_clip=1.0, entropy_delta=0.1, importance_floor=9.0).splitlines()) == 3
