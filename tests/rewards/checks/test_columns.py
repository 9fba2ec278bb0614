"""Every column of anybody's rows that we read is of its type, or the row is bad."""

import pytest

from doubleback.rewards.checks.columns import checked_columns
from doubleback.rewards.types import ConfigError


def test_what_is_well_typed_is_kept_and_questions_become_text():
    row = {
        "question": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}],
        "prompt": "Say: 2 + 2?",
        "completion_ids": [1, 2],
        "tokens": 2.0,
        "truncated": 0,
        "style": "boxed",
        "finish_reason": None,
        "numbers": {"mine": True},
    }
    assert checked_columns(row) == row | {"question": "2 + 2?"}
    assert checked_columns({"question": 7})["question"] == "7"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"completion_ids": 5}, "completion_ids=5 is not a list of whole numbers"),
        ({"token_ids": "abc"}, "token_ids='abc' is not a list of whole numbers"),
        ({"token_ids": [1, True]}, "token_ids=[1, True] is not a list of whole numbers"),
        ({"tokens": float("nan")}, "tokens=nan is not a number of tokens"),
        ({"tokens": -1}, "tokens=-1 is not a number of tokens"),
        ({"tokens": "31"}, "tokens='31' is not a number of tokens"),
        ({"truncated": "perhaps"}, "truncated='perhaps' is not true or false"),
        ({"problem": {"a": 1}}, "problem={'a': 1} is not text or a whole number"),
        ({"sample": [1]}, "sample=[1] is not text or a whole number"),
        ({"verdict": 1}, "verdict=1 is not text"),
        ({"style": ["boxed"]}, "style=['boxed']; "),
        ({"style": "box"}, "style='box'; did you mean boxed?"),
        ({"question": ["a"]}, "question=['a'] is neither text nor chat messages"),
        ({"question": [{"role": "user", "content": 5}]}, "question=[{'role': 'user', 'content': 5}] is neither"),
        ({"prompt": 5}, "prompt=5 is neither text nor chat messages"),
    ],
)
def test_another_type_is_named_with_its_column(row, message):
    with pytest.raises(ConfigError) as caught:
        checked_columns({"completion": "4", **row})
    assert str(caught.value).startswith(message)


def test_a_long_value_is_cut():
    with pytest.raises(ConfigError) as caught:
        checked_columns({"token_ids": "a" * 10_000})
    assert len(str(caught.value)) < 300
