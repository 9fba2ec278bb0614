"""Groups are scored while the engine works on others, and come back whole and in order."""

import pytest
from support.fakes import FakeReward
from support.rollouts import make_completion, make_group, make_score

from doubleback.rewards.types import RunError
from doubleback.rl.rollout.scoring import Scoring


def lengths(problem, completions):
    """The number of its tokens is the score of each."""
    return [make_score(float(len(completion.token_ids))) for completion in completions]


def groups(*prompts):
    return [
        make_group((prompt,), [make_completion([1] * 2), make_completion([1] * 3)], [0.0, 0.0]) for prompt in prompts
    ]


def test_scores_are_started_as_groups_arrive_and_waited_for_at_the_end():
    reward, sampled = FakeReward(lengths, most=4), groups(5, 6)
    scoring = Scoring(reward)
    for index, group in reversed(list(enumerate(sampled))):
        scoring.start(index, group)
    assert reward.events == [("start", "6"), ("start", "5")]
    scored = scoring.finish(sampled)
    assert [group.problem.id for group in scored] == ["5", "6"]
    assert [[score.value for score in group.scores] for group in scored] == [[2.0, 3.0]] * 2
    assert [score.value for score in sampled[0].scores] == [0.0, 0.0]
    assert [(problem.id, len(completion.token_ids)) for problem, completion, _ in reward.judged[0]] == [
        ("5", 2),
        ("5", 3),
        ("6", 2),
        ("6", 3),
    ]


def test_a_problem_that_stands_twice_in_a_step_keeps_its_scores_apart():
    reward, (first,) = FakeReward(lengths, most=4), groups(5)
    second = make_group((5,), [make_completion([1] * 7)], [0.0])  # the same problem
    scoring = Scoring(reward)
    for index, group in enumerate((first, second)):
        scoring.start(index, group)
    scored = scoring.finish([first, second])
    assert [[score.value for score in group.scores] for group in scored] == [[2.0, 3.0], [7.0]]


def test_too_many_faults_stop_the_step():
    scoring, sampled = Scoring(FakeReward(lengths, most=4)), groups(5, 6, 7)
    for index, group in enumerate(sampled):
        scoring.start(index, group)
    with pytest.raises(RunError, match="6 were judged"):
        scoring.finish(sampled)
