"""A reward is a weighted sum of functions with TRL's signature; what cannot be judged has no value."""

import pytest

from doubleback.rewards.compose import JUDGES, RewardConfig, WeightedReward, load_reward
from doubleback.rewards.noise import random_reward
from doubleback.rewards.types import Completion, ConfigError, Problem, Verdict

PROBLEM = Problem("countdown3:3,5,7->22", "3 5 7 -> 22", {"numbers": [3, 5, 7], "target": 22})
RIGHT = "<think> 3 * 5 = 15 : 15 + 7 = 22 yes </think> <answer> ( 3 * 5 ) + 7 </answer>"
WRONG = "<think> 3 + 5 = 8 : 8 + 7 = 15 no </think> <answer> ( 3 + 5 ) + 7 </answer>"
CUT = "<think> 3 + 5 = 8 : 8 + 7"


def completion(text, finish_reason="stop", seed=0):
    return Completion(text, (1, 2), (-0.1, -0.2), finish_reason, policy_version=0, adapter_hash="", seed=seed)


def test_default_is_correctness_plus_a_tenth_of_format():
    reward = load_reward(RewardConfig(), max_tokens=128)
    scores = reward(PROBLEM, [completion(RIGHT), completion(WRONG), completion(CUT, "length"), completion("nothing")])
    assert [score.value for score in scores] == pytest.approx([1.1, 0.1, 0.0, 0.0], abs=1e-12)
    assert [score.verdict for score in scores] == [
        Verdict.CORRECT,
        Verdict.WRONG,
        Verdict.TRUNCATED,
        Verdict.NO_ANSWER,
    ]
    assert dict(scores[0].parts) == {"countdown": 1.0, "format": 1.0}
    assert scores[0].extracted == "( 3 * 5 ) + 7"


def test_weight_zero_is_measured_but_not_rewarded():
    reward = load_reward(RewardConfig(weights={"countdown": 0.0, "format": 2.0}), max_tokens=128)
    (score,) = reward(PROBLEM, [completion(RIGHT)])
    assert score.value == 2.0
    assert score.parts["countdown"] == 1.0
    assert score.verdict == Verdict.CORRECT


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_a_component_without_a_finite_value_leaves_the_completion_unjudged(value):
    reward = WeightedReward(
        JUDGES["countdown"], (("odd", lambda completions, **columns: [1.0, value], 1.0), ("fine", _ones, 1.0))
    )
    good, bad = reward(PROBLEM, [completion(RIGHT), completion(RIGHT)])
    assert (good.value, good.verdict) == (2.0, Verdict.CORRECT)
    assert (bad.value, bad.verdict) == (None, Verdict.GRADER_ERROR)
    assert "odd" in bad.detail


def test_wrong_number_of_values_names_the_reward_and_the_problem():
    reward = WeightedReward(JUDGES["countdown"], (("short", lambda completions, **columns: [1.0], 1.0),))
    with pytest.raises(ConfigError, match="reward short returned 1 values for 2 completions of countdown3:3,5,7->22"):
        reward(PROBLEM, [completion(RIGHT), completion(WRONG)])


def test_functions_get_what_trl_gives_them():
    seen = {}

    def spy(prompts, completions, completion_ids, numbers, target, **columns):
        seen.update(prompts=prompts, completions=completions, ids=completion_ids, numbers=numbers, target=target)
        return [0.0] * len(completions)

    WeightedReward(JUDGES["countdown"], (("spy", spy, 1.0),))(PROBLEM, [completion(RIGHT), completion(WRONG)])
    assert seen == {
        "prompts": ["3 5 7 -> 22"] * 2,
        "completions": [RIGHT, WRONG],
        "ids": [[1, 2]] * 2,
        "numbers": [[3, 5, 7]] * 2,
        "target": [22] * 2,
    }


def test_random_reward_is_even_and_ignores_the_text():
    values = random_reward(completions=["a"] * 4000, sample_seeds=list(range(4000)))
    assert values == random_reward(completions=["b"] * 4000, sample_seeds=list(range(4000)))
    assert set(values) == {0.0, 1.0}
    assert sum(values) / 4000 == pytest.approx(0.5, abs=0.03)


def _ones(completions, **columns):
    return [1.0] * len(completions)
