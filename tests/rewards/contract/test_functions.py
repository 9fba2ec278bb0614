"""One signature, TRL's, and a richer form of it; whatever a function returns is checked."""

import asyncio
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from doubleback.rewards.contract.call import Samples, as_score, call, call_now, failure
from doubleback.rewards.contract.functions import Scope, per_group, per_sample, required_columns, scope_of
from doubleback.rewards.types import Score, Verdict

SAMPLES = Samples(("p", "p", "q"), ("one", "three", "four"), {"answer": ["1", "3", "4"]})


@per_sample
def initial(completion: str, answer: str, bonus: float = 0.0) -> Score:
    return Score(len(completion) + bonus, Verdict.CORRECT, extracted=answer)


@per_sample
async def patient(completion, prompt):
    await asyncio.sleep(0)
    return None if prompt == "q" else len(completion)


@per_group
def rank(completions, answer):
    assert len(completions) == len(answer)
    longest = max(map(len, completions))
    return [len(text) / longest for text in completions]


@per_group
async def patient_rank(completions):
    await asyncio.sleep(0)
    return [float(len(completions))] * len(completions)


def values(results):
    return [None if score is None else score.value for score in results]


def test_a_decorated_function_still_has_the_signature_of_trl():
    assert initial(prompts=["p", "q"], completions=["ab", "c"], answer=["1", "2"], other=[0, 0]) == [2.0, 1.0]
    messages = [[{"role": "assistant", "content": "abc"}]]
    assert initial(messages, answer=["1"]) == [3.0]
    assert asyncio.run(patient(prompts=["p", "q"], completions=["ab", "c"])) == [2.0, None]
    # One call for each run of equal prompts: "three" is the longest of p, "four" of q.
    assert rank(prompts=["p", "p", "q"], completions=["one", "three", "four"], answer=["1", "3", "4"]) == [
        0.6,
        1.0,
        1.0,
    ]
    assert asyncio.run(patient_rank(prompts=["p", "p", "q"], completions=["a", "b", "c"])) == [2.0, 2.0, 1.0]
    assert (initial.__name__, rank.__name__) == ("initial", "rank")


def test_both_forms_are_called_with_what_they_name():
    scores = call_now(initial, SAMPLES)
    assert values(scores) == [3.0, 5.0, 4.0]
    assert scores[1].extracted == "3"
    assert values(call_now(initial.bind({"bonus": 1.0}), SAMPLES)) == [4.0, 6.0, 5.0]

    def plain(completions, answer):
        return [float(answer == text[:1]) for text, answer in zip(completions, answer, strict=True)]

    assert values(call_now(plain, SAMPLES)) == [0.0, 0.0, 0.0]
    assert values(asyncio.run(call(patient, SAMPLES, is_messages=False))) == [3.0, 5.0, None]
    with pytest.raises(ValueError, match="patient is async"):
        call_now(patient, Samples(("p",), ("x",)))


def test_scopes_and_columns_are_known_without_a_call():
    assert (scope_of(initial), scope_of(rank), scope_of(len)) == (Scope.SAMPLE, Scope.GROUP, Scope.SAMPLE)
    assert required_columns(initial) == ("answer",)
    assert required_columns(patient) == ()
    assert required_columns(lambda completions, completion_ids, solution, weight=1.0, **rest: []) == (
        "completion_ids",
        "solution",
    )


def test_conversational_functions_get_messages_as_trl_gives_them():
    seen = {}

    def spy(prompts, completions, **columns):
        seen.update(prompts=prompts, completions=completions)
        return [1.0] * len(completions)

    call_now(spy, Samples(("p",), ("x",)), is_messages=True)
    assert seen["prompts"] == [[{"role": "user", "content": "p"}]]
    assert seen["completions"] == [[{"role": "assistant", "content": "x"}]]


def test_what_trl_offers_to_a_function_is_offered_here():
    def logs(completions, trainer_state, log_metric, log_extra, **columns):
        log_metric("step", trainer_state.global_step)
        log_extra("note", [f"about {text}" for text in completions])
        return [0.5] * len(completions)

    first, *_ = call_now(logs, SAMPLES, step=7)
    assert dict(first.parts) == {"step": 7.0}
    assert first.detail == "note='about one'"


@pytest.mark.parametrize(
    ("item", "value", "verdict", "detail"),
    [
        (1, 1.0, "correct", ""),
        (0.99, 0.99, "wrong", ""),
        (True, 1.0, "correct", ""),
        (np.float32(0.5), 0.5, "wrong", ""),
        (np.int64(2), 2.0, "correct", ""),
        (float("nan"), None, "grader_error", "returned nan"),
        (-math.inf, None, "grader_error", "returned -inf"),
        ("1", None, "grader_error", "returned '1', not a number"),
        (b"1", None, "grader_error", "returned b'1', not a number"),
        ([1.0], None, "grader_error", "returned [1.0], not a number"),
        (object, None, "grader_error", "returned <class 'object'>, not a number"),
        (Score(None, Verdict.TIMEOUT), None, "timeout", ""),
        (Score(1.0, Verdict.GRADER_ERROR), None, "grader_error", ""),
        (Score(None, Verdict.WRONG), None, "grader_error", "returned None"),
        (Score(math.nan, Verdict.CORRECT), None, "grader_error", "returned nan"),
        (Score(0.0, "no_answer"), 0.0, "no_answer", ""),
    ],
)
def test_whatever_is_returned_becomes_a_checked_score(item, value, verdict, detail):
    score = as_score(item)
    assert (score.value, score.verdict, score.detail) == (value, verdict, detail)


def test_none_stays_none():
    assert as_score(None) is None


@pytest.mark.parametrize(
    ("returned", "detail"),
    [
        ([1.0], "returned 1 values for 3 completions"),
        ([1.0] * 4, "returned 4 values for 3 completions"),
        (1.0, "returned 1 values for 3 completions"),
        ("abc", "returned 1 values for 3 completions"),
        (None, "returned 1 values for 3 completions"),
    ],
)
def test_the_wrong_number_of_values_is_an_error_of_the_whole_call(returned, detail):
    scores = call_now(lambda completions, **columns: returned, SAMPLES)
    assert [(score.verdict, score.detail) for score in scores] == [("grader_error", detail)] * 3


@pytest.mark.parametrize("returned", [np.array([1.0, 0.0, 1.0]), (1.0, 0.0, 1.0), iter([1.0, 0.0, 1.0])])
def test_any_iterable_of_numbers_will_do(returned):
    assert values(call_now(lambda completions, **columns: returned, SAMPLES)) == [1.0, 0.0, 1.0]


def test_a_failure_names_the_error_on_one_line():
    (score,) = failure(KeyError("a\nb"), 1)
    assert score.detail == "raised KeyError: 'a\\nb'"


def breaks(completions, **columns):
    return [json.loads(text) for text in completions]


@per_sample
async def breaks_late(completion: str) -> float:
    return float(json.loads(completion))


@pytest.mark.parametrize("function", [breaks, breaks_late])
def test_a_failure_names_the_line_of_the_reward(function):
    """Not that of the library in which it ended, nor one of ours."""
    with pytest.raises(ValueError, match="Expecting value") as caught:
        asyncio.run(call(function, SAMPLES, is_messages=False))
    (score,) = failure(caught.value, 1)[:1]
    name, line = re.fullmatch(r"raised JSONDecodeError: .* \((.*):(\d+)\)", score.detail).groups()
    assert name == __file__
    assert "json.loads(" in Path(name).read_text().splitlines()[int(line) - 1]
