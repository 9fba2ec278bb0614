"""Groups are scored while the engine works on others, and come back whole and in order."""

import pytest
from support.rollouts import make_completion, make_group, make_score

from doubleback.rewards.types import RunError
from doubleback.rl.rollout.scoring import Scoring


class Recorded:
    """A reward that notes when it is started and when it is waited for; values are numbers of tokens."""

    def __init__(self):
        self.events = []

    def start(self, problem, completions):
        self.events.append(("start", problem.id))

        def finish():
            self.events.append(("finish", problem.id))
            return [make_score(float(len(completion.token_ids))) for completion in completions]

        return finish

    def refuse_faults(self, judged):
        self.judged = judged
        if len(judged) > 4:
            raise RunError("too many")


def groups(*prompts):
    return [
        make_group((prompt,), [make_completion([1] * 2), make_completion([1] * 3)], [0.0, 0.0]) for prompt in prompts
    ]


def test_scores_are_started_as_groups_arrive_and_waited_for_at_the_end():
    reward, sampled = Recorded(), groups(5, 6)
    scoring = Scoring(reward)
    for index, group in reversed(list(enumerate(sampled))):
        scoring.start(index, group)
    assert reward.events == [("start", "6"), ("start", "5")]
    scored = scoring.finish(sampled)
    assert [group.problem.id for group in scored] == ["5", "6"]
    assert [[score.value for score in group.scores] for group in scored] == [[2.0, 3.0]] * 2
    assert [score.value for score in sampled[0].scores] == [0.0, 0.0]
    assert [(problem.id, len(completion.token_ids)) for problem, completion, _ in reward.judged] == [
        ("5", 2),
        ("5", 3),
        ("6", 2),
        ("6", 3),
    ]


def test_a_problem_that_stands_twice_in_a_step_keeps_its_scores_apart():
    reward, (first,) = Recorded(), groups(5)
    second = make_group((5,), [make_completion([1] * 7)], [0.0])  # the same problem
    scoring = Scoring(reward)
    for index, group in enumerate((first, second)):
        scoring.start(index, group)
    scored = scoring.finish([first, second])
    assert [[score.value for score in group.scores] for group in scored] == [[2.0, 3.0], [7.0]]


def test_too_many_faults_stop_the_step():
    scoring, sampled = Scoring(Recorded()), groups(5, 6, 7)
    for index, group in enumerate(sampled):
        scoring.start(index, group)
    with pytest.raises(RunError, match="too many"):
        scoring.finish(sampled)
