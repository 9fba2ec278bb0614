"""A sample's line beside the columns of its problem: neither speaks for the other."""

import pytest

from doubleback.rewards.sample_lines import OF_SAMPLES, is_truncated, num_tokens, with_columns
from doubleback.rewards.types import Problem


@pytest.mark.parametrize("value", [5, "abc", [1, 2, 3], {"a": 1}, True])
def test_a_column_says_nothing_of_a_sample_whatever_it_is_called(value):
    columns = dict.fromkeys((*OF_SAMPLES, "tokens", "completion", "prompt", "finish_reason", "numbers"), value)
    line = {"problem": "p", "completion": "7", "tokens": 2, "finish_reason": "length"}
    (merged,) = with_columns([line], [Problem("p", "7 is", columns)])
    assert merged == {**line, "prompt": "7 is", "numbers": value}
    assert num_tokens(merged) == 2
    assert is_truncated(merged) is True


def test_what_a_line_says_itself_stays():
    line = {"problem": "p", "completion": "7", "token_ids": [1], "gap": 0.5}
    (merged,) = with_columns([line], [Problem("p", "7 is", {"gap": 9, "token_ids": 5, "target": 7})])
    assert merged == {**line, "prompt": "7 is", "target": 7}
