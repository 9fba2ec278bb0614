"""A Python function is a reward as it is: a closure, one of a script; it runs in a worker like any other."""

import os
import threading

import pytest

from doubleback.rewards import Completion, ConfigError, Problem, Score, Verdict, load_reward, per_group, per_sample
from doubleback.rewards.compose.config import RewardConfig
from doubleback.rewards.settings import validated

PROBLEM = Problem("p", "How long?", {"answer": "3"})


def completions(*texts):
    return [Completion(text, (1,), (-0.1,), "stop", 0, "", 0) for text in texts]


def test_a_closure_is_called_in_a_worker_with_what_it_closes_over():
    host, wanted = os.getpid(), {"ab": 1.0}

    def exact(completions, answer, **columns):
        assert os.getpid() != host
        assert answer == ["3"]
        return [wanted.get(text, 0.0) for text in completions]

    with load_reward({"components": {"exact": exact}}) as reward:
        scores = reward(PROBLEM, completions("ab", "abc"))
    assert [score.value for score in scores] == [1.0, 0.0]
    assert [score.verdict for score in scores] == [Verdict.CORRECT, Verdict.WRONG]


def test_decorated_functions_keep_their_scope_and_take_arguments():
    @per_sample
    def at_most(completion: str, limit: int) -> Score:
        return Score(float(len(completion) <= limit), Verdict.CORRECT)

    @per_group
    def shortest(completions: list[str]) -> list[float]:
        least = min(map(len, completions))
        return [float(len(text) == least) for text in completions]

    components = {
        "at_most": {"function": at_most, "args": {"limit": 2}},
        "shortest": {"function": shortest, "weight": 2},
    }
    with load_reward({"components": components, "judge": "at_most"}) as reward:
        assert reward.needs_group
        scores = reward(PROBLEM, completions("ab", "abc", "xy"))
    assert [score.value for score in scores] == [3.0, 0.0, 3.0]


def test_an_error_in_the_function_is_a_verdict():
    def broken(completions, **columns):
        raise KeyError("no such thing")

    with load_reward({"components": {"broken": broken}}) as reward:
        (score,) = reward(PROBLEM, completions("a"))
    assert (score.value, score.verdict) == (None, Verdict.GRADER_ERROR)
    assert "no such thing" in score.detail


def test_what_cannot_be_sent_is_one_line():
    lock = threading.Lock()

    def locked(completions, **columns):
        with lock:
            return [0.0] * len(completions)

    with pytest.raises(
        ConfigError, match=r"reward\.components\.locked: the function cannot be sent to a worker: .*lock"
    ):
        load_reward({"components": {"locked": locked}})


def test_the_section_on_disk_names_the_function_and_cannot_pass_for_it():
    def mine(completions, **columns):
        return [1.0] * len(completions)

    section = validated(RewardConfig, {"components": {"mine": mine}})
    stored = section.model_dump(mode="json")
    name = stored["components"]["mine"]["function"]
    assert name.startswith("python:")
    assert name.endswith("mine")
    with pytest.raises(ConfigError, match=r"reward\.components\.mine\.function=python:.* give it again in Python"):
        load_reward(stored)


def test_a_section_with_a_wrong_key_is_one_line():
    with pytest.raises(ConfigError, match=r"reward\.component: there is no such key; did you mean components\?"):
        load_reward({"component": {}})
