"""What one completion of a group is, however much of it is there."""

from dataclasses import replace

import pytest
from support.rollouts import make_completion, make_group

from doubleback.rl.types import Group, Routes

COMPLETIONS = [make_completion([5, 2]), make_completion([6, 7, 2]), make_completion([8, 2])]


def test_rows_hold_what_belongs_to_one_completion():
    routes = tuple(Routes(bytes([index]), (1, 1, 1), 4) for index in range(3))
    group = replace(
        make_group([1, 20], COMPLETIONS, [1.0, None, 0.5]),
        penalties=(0.25, 0.5, -0.125),
        advantages=(0.3, None, -0.3),
        routes=routes,
    )
    rows = group.rows()
    assert [row.completion for row in rows] == COMPLETIONS
    assert [row.score for row in rows] == list(group.scores)
    assert [row.reward for row in rows] == [0.75, None, 0.625]
    assert [row.advantage for row in rows] == [0.3, None, -0.3]
    assert [row.routes for row in rows] == list(routes)


def test_rows_of_a_group_that_was_only_sampled():
    group = make_group([1, 20], COMPLETIONS, [1.0, 0.0, 0.5])
    (row, *_) = group.rows()
    assert (row.penalty, row.advantage, row.routes, row.reward) == (0.0, None, None, 1.0)
    (row, *_) = Group(group.problem, group.prompt_ids, tuple(COMPLETIONS)).rows()
    with pytest.raises(ValueError, match="has not been scored"):
        row.score  # noqa: B018


def test_a_group_with_too_few_values_is_refused():
    with pytest.raises(ValueError, match="zip"):
        replace(make_group([1, 20], COMPLETIONS, [1.0, 0.0, 0.5]), penalties=(0.1,)).rows()
