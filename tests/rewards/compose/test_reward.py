"""A reward is made of components: weighed, gated, clipped, combined; what cannot be judged has no value."""

import pytest
from support.rewarding import section

from doubleback.rewards.builtin.random import random_reward
from doubleback.rewards.compose.component import Component, in_host
from doubleback.rewards.compose.config import RewardConfig
from doubleback.rewards.compose.reward import Reward, combine, load_reward
from doubleback.rewards.contract.functions import Scope
from doubleback.rewards.types import Completion, ConfigError, Problem, RunError, Score, Verdict
from doubleback.rewards.workers.pool import Facts

PROBLEM = Problem("countdown3:3,5,7->22", "3 5 7 -> 22", {"numbers": [3, 5, 7], "target": 22})
RIGHT = "<think> 3 * 5 = 15 : 15 + 7 = 22 yes </think> <answer> ( 3 * 5 ) + 7 </answer>"
WRONG = "<think> 3 + 5 = 8 : 8 + 7 = 15 no </think> <answer> ( 3 + 5 ) + 7 </answer>"
CUT = "<think> 3 + 5 = 8 : 8 + 7"


def completion(text, finish_reason="stop", seed=0, ids=(1, 2)):
    return Completion(text, ids, (-0.1,) * len(ids), finish_reason, policy_version=0, adapter_hash="", seed=seed)


def reward_of(functions, **settings):
    """A reward of plain functions, each a component of weight 1 unless `settings` say otherwise."""
    judge = None if "countdown" in functions else next(iter(functions))
    made = section(**{"components": dict.fromkeys(functions, 1.0), "judge": judge, **settings})
    parts = [
        Component(name, name, made.components[name], Facts(Scope.SAMPLE, ()), in_host(function))
        for name, function in functions.items()
    ]
    return Reward(made, parts)


def constant(*values):
    return lambda completions, **columns: list(values)


def test_correctness_plus_a_tenth_of_format():
    components = {"countdown": {"weight": 1.0}, "format": {"weight": 0.1}}
    reward = load_reward(RewardConfig(components=components), max_tokens=128)
    scores = reward(PROBLEM, [completion(RIGHT), completion(WRONG), completion(CUT, "length"), completion("nothing")])
    assert [score.value for score in scores] == pytest.approx([1.1, 0.1, 0.0, 0.0], abs=1e-12)
    assert [score.verdict for score in scores] == [
        Verdict.CORRECT,
        Verdict.WRONG,
        Verdict.TRUNCATED,
        Verdict.NO_ANSWER,
    ]
    assert dict(scores[0].parts) == {"countdown": 1.0, "format": 1.0}
    assert dict(scores[0].weighted) == {"countdown": 1.0, "format": 0.1}
    assert scores[0].extracted == "( 3 * 5 ) + 7"


def test_weight_zero_is_measured_but_not_rewarded():
    (score,) = load_reward(section(components={"countdown": 0.0, "format": 2.0}))(PROBLEM, [completion(RIGHT)])
    assert score.value == 2.0
    assert score.parts["countdown"] == 1.0
    assert score.verdict == Verdict.CORRECT


@pytest.mark.parametrize(
    ("settings", "values", "expected", "weighted"),
    [
        # 2 * 0.5 - 3 * 1 = -2
        ({"components": {"a": 2.0, "b": -3.0}}, {"a": 0.5, "b": 1.0}, -2.0, {"a": 1.0, "b": -3.0}),
        # None stays out: 2 * 0.5
        ({"components": {"a": 2.0, "b": 1.0}}, {"a": 0.5, "b": None}, 1.0, {"a": 1.0}),
        # Nothing that is rewarded applies.
        ({"components": {"a": 2.0, "b": 0.0}}, {"a": None, "b": 1.0}, None, {"b": 0.0}),
        # 7 is clipped to 1 before the weight, the sum 0.5 + 4 to 2 after it.
        (
            {"components": {"a": 0.5, "b": {"weight": 4, "clip": [-1, 1]}}, "clip": [-2, 2]},
            {"a": 1.0, "b": 7.0},
            2.0,
            {"a": 0.5, "b": 4.0},
        ),
        # The gate reads the raw value of the other component, whatever its weight.
        (
            {"components": {"a": 0.0, "b": {"weight": 0.2, "only_if": {"component": "a"}}}},
            {"a": 1.0, "b": 1.0},
            0.2,
            {"a": 0.0, "b": 0.2},
        ),
        (
            {"components": {"a": 0.0, "b": {"weight": 0.2, "only_if": {"component": "a"}}}},
            {"a": 0.99, "b": 1.0},
            0.0,
            {"a": 0.0, "b": 0.0},
        ),
        (
            {"components": {"a": 1.0, "b": {"only_if": {"component": "a", "at_least": 0.5}}}},
            {"a": 0.5, "b": 1.0},
            1.5,
            {"a": 0.5, "b": 1.0},
        ),
        (
            {"components": {"a": 1.0, "b": {"only_if": {"component": "a"}}}},
            {"a": None, "b": 1.0},
            0.0,
            {"b": 0.0},
        ),
        # 2 * 0.5 * 3 = 3; a weight of 0 does not make a product 0, a closed gate does.
        (
            {"components": {"a": 2.0, "b": 3.0, "c": 0.0}, "combine": "product"},
            {"a": 0.5, "b": 1.0, "c": 9.0},
            3.0,
            None,
        ),
        (
            {"components": {"a": 1.0, "b": {"only_if": {"component": "a"}}}, "combine": "product"},
            {"a": 0.9, "b": 1.0},
            0.0,
            None,
        ),
    ],
)
def test_combination_by_hand(settings, values, expected, weighted):
    total, parts = combine(values, section(judge="a", **settings))
    assert total == (expected if expected is None else pytest.approx(expected, abs=1e-12))
    assert weighted is None or parts == pytest.approx(weighted, abs=1e-12)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "1.0", [1.0]])
def test_a_component_without_a_finite_value_leaves_the_completion_unjudged(value):
    reward = reward_of({"fine": constant(1.0, 1.0), "odd": constant(1.0, value)})
    good, bad = reward(PROBLEM, [completion(RIGHT), completion(RIGHT)])
    assert (good.value, good.verdict) == (2.0, Verdict.CORRECT)
    assert (bad.value, bad.verdict) == (None, Verdict.GRADER_ERROR)
    assert bad.detail.startswith("odd: returned ")
    assert dict(bad.parts) == {"fine": 1.0}


def test_none_does_not_apply():
    reward = reward_of({"fine": constant(1.0, 1.0), "some": constant(None, 0.5)})
    without, with_it = reward(PROBLEM, [completion(RIGHT), completion(RIGHT)])
    assert (without.value, with_it.value) == (1.0, 1.5)
    (score, _) = reward_of({"judge": constant(None, 1.0)})(PROBLEM, [completion(RIGHT)] * 2)
    assert (score.value, score.verdict, score.detail) == (None, Verdict.GRADER_ERROR, "judge: does not apply here")


def test_wrong_number_of_values_leaves_the_group_unjudged_and_names_the_reward():
    reward = reward_of({"short": constant(1.0)})
    for score in reward(PROBLEM, [completion(RIGHT), completion(WRONG)]):
        assert (score.verdict, score.detail) == (
            Verdict.GRADER_ERROR,
            "short: returned 1 values for 2 completions",
        )


def test_the_judge_is_the_one_that_is_named_or_the_only_one_that_can_be_meant():
    rewards = {"random": constant(1.0), "countdown": constant(Score(0.0, Verdict.NO_ANSWER, detail="none"))}
    (score,) = reward_of(rewards)(PROBLEM, [completion(WRONG)])
    assert (score.value, score.verdict) == (1.0, Verdict.NO_ANSWER)
    assert reward_of(rewards, judge="random")(PROBLEM, [completion(WRONG)])[0].verdict == Verdict.CORRECT
    assert section(components={"a": {"function": "math"}, "b": 1.0}).judge_name == "a"
    assert section(components={"mine": 1.0}).judge_name == "mine"


def test_functions_get_what_trl_gives_them():
    seen = {}

    def spy(prompts, completions, completion_ids, numbers, target, **columns):
        seen.update(prompts=prompts, completions=completions, ids=completion_ids, numbers=numbers, target=target)
        return [0.0] * len(completions)

    reward_of({"spy": spy})(PROBLEM, [completion(RIGHT), completion(WRONG)])
    assert seen == {
        "prompts": ["3 5 7 -> 22"] * 2,
        "completions": [RIGHT, WRONG],
        "ids": [[1, 2]] * 2,
        "numbers": [[3, 5, 7]] * 2,
        "target": [22] * 2,
    }


def test_overlong_gets_the_limit_of_the_recipe():
    settings = {"countdown": 1.0, "overlong": {"args": {"buffer": 4}}}
    (score,) = load_reward(section(components=settings), max_tokens=10)(PROBLEM, [completion(RIGHT, ids=(0,) * 8)])
    assert score.value == pytest.approx(1.0 - 0.5, abs=1e-12)  # 8 tokens: 2 of the last 4


def test_too_many_faults_stop_the_step_and_show_the_worst():
    problem = PROBLEM
    good = [(problem, completion(RIGHT), Score(1.0, Verdict.CORRECT))] * 19
    slow = (problem, completion("a" * 500), Score(None, Verdict.TIMEOUT, detail="took more than 2 s", seconds=2.0))
    error = (problem, completion("b"), Score(None, Verdict.GRADER_ERROR, detail="raised KeyError"))
    reward = reward_of({"any": constant(1.0)})
    reward.refuse_faults([*good, slow])  # 1 of 20 is 5 %, and not above it
    with pytest.raises(RunError) as caught:
        reward.refuse_faults([*good, error, slow])
    first, *examples = str(caught.value).splitlines()
    assert first.startswith("2 of 21 completions of a step could not be judged (1 grader_error, 1 timeout), more than")
    assert [line.split(";")[0].strip() for line in examples] == [
        "problem countdown3:3,5,7->22: timeout, took more than 2 s",
        "problem countdown3:3,5,7->22: grader_error, raised KeyError",
    ]
    assert len(examples[0]) < 350
    reward_of({"any": constant(1.0)}, max_faults=0.5).refuse_faults([*good, error, slow])


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (
            {"components": {"a": 1.0, "b": 1.0}},
            "reward.judge is not set; name the component that tells right from wrong",
        ),
        (
            {"judge": "format", "components": {"formats": 1.0}},
            "reward.judge='format' is none of reward.components; did",
        ),
        (
            {"components": {"a": {"only_if": {"component": "a"}}}},
            "reward.components.a.only_if.component='a' is no other",
        ),
        (
            {"components": {"a": {"clip": [2, 1]}}},
            "reward.components.a.clip=[2.0, 1.0] must be [low, high] with low <=",
        ),
        ({"components": {}}, "components={}: dictionary should have at least 1 item"),
        ({"components": {"a": {"wieght": 1.0}}}, "components.a.wieght: there is no such key"),
        ({"combine": "max", "components": {"a": 1.0}}, "combine='max': input should be 'sum' or 'product'"),
    ],
)
def test_a_section_that_cannot_be_meant_is_refused(settings, line):
    with pytest.raises(ConfigError) as caught:
        section(**settings)
    assert str(caught.value).startswith(line)


@pytest.mark.parametrize(
    ("components", "line"),
    [
        ({"mth": 1.0}, "reward.components.mth: there is no reward 'mth'; did you mean math?"),
        (
            {"math": {"args": {"stile": "boxed"}}},
            "reward.components.math: MathCorrect has no parameter 'stile'; did you mean style?",
        ),
        ({"math": {"args": {"style": "box"}}}, "math: there is no answer style 'box'; did you mean boxed?"),
        ({"overlong": 1.0}, "reward.components.overlong: SoftOverlong needs 'max_tokens', which is not set"),
        ({"mine": {"function": "nothing.py:f"}}, "reward.components.mine: there is no file nothing.py"),
    ],
)
def test_a_reward_that_cannot_be_loaded_is_named(components, line):
    with pytest.raises(ConfigError) as caught:
        load_reward(section(components=components))
    assert str(caught.value).startswith(line)


def test_a_missing_column_is_named_before_anything_is_scored():
    reward = load_reward(section(components={"countdown": 1.0, "format": 1.0}))
    reward.require_columns([PROBLEM])
    with pytest.raises(ConfigError, match=r"reward\.components\.countdown needs a column 'target' in every row"):
        reward.require_columns([PROBLEM, Problem("p", "?", {"numbers": [1]})])


def test_random_reward_is_even_and_ignores_the_text():
    values = random_reward(completions=["a"] * 4000, sample_seeds=list(range(4000)))
    assert values == random_reward(completions=["b"] * 4000, sample_seeds=list(range(4000)))
    assert set(values) == {0.0, 1.0}
    assert sum(values) / 4000 == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    "settings",
    [
        {"components": {"a": 1e12, "b": 1e12}},
        {"components": {"a": 1e12, "b": 1e12}, "combine": "product"},
        {"components": {"a": 1e12, "b": -1e12}, "combine": "sum"},
    ],
)
def test_components_that_come_to_no_finite_reward_leave_the_completion_unjudged(settings):
    functions = {"a": constant(1e300), "b": constant(1e300)}
    (score,) = reward_of(functions, **settings)(PROBLEM, [completion(RIGHT)])
    assert (score.value, score.verdict) == (None, Verdict.GRADER_ERROR)
    assert score.detail in ("the components come to nan", "the components come to inf")
