"""What an evaluation says of a policy that is known exactly: a scripted engine, the real reward and meter."""

import math

import pytest

from doubleback.eval.evaluate import evaluate
from doubleback.eval.run import generate
from doubleback.rewards.compose.config import RewardConfig
from doubleback.rewards.compose.reward import load_reward
from doubleback.rewards.types import Completion, Problem, RunError, Score, Verdict
from doubleback.rl.config import SamplingConfig
from doubleback.rl.types import Group, Sampling

RIGHT = "<think> 3 * 5 = 15 : 15 + 7 = 22 yes </think> <answer> ( 3 * 5 ) + 7 </answer>"
DOUBLED_BACK = (
    "<think> 3 + 5 = 8 : 8 + 7 = 15 no back 3 * 5 = 15 : 15 + 7 = 22 yes </think> <answer> ( 3 * 5 ) + 7 </answer>"
)
WRONG = "<think> 3 + 5 = 9 : 9 + 7 = 16 no </think> <answer> ( 3 + 5 ) + 7 </answer>"
CUT = "<think> 3 + 5 = 8 : 8 + 7"
PROBLEMS = [Problem(f"countdown3:{i}", "3 5 7 -> 22", {"numbers": [3, 5, 7], "target": 22}) for i in range(2)]
SCRIPT = {"countdown3:0": [RIGHT, DOUBLED_BACK, WRONG, CUT], "countdown3:1": [WRONG, WRONG, WRONG, WRONG]}


class Scripted:
    """An engine that says what it is told."""

    def __init__(self):
        self.seeds = []

    def sample(self, problems, sampling, seeds, on_group=None):
        self.seeds.append(list(seeds))
        groups = [
            Group(problem, (1,), tuple(self._completion(text) for text in SCRIPT[problem.id])) for problem in problems
        ]
        for index, group in enumerate(groups):
            on_group(index, group)
        return groups

    def _completion(self, text):
        ids = tuple(range(len(text.split())))
        return Completion(text, ids, (0.0,) * len(ids), "length" if text == CUT else "stop", 3, "hash", 0)


@pytest.fixture(scope="module")
def result():
    sampling = SamplingConfig(group_size=4)
    return evaluate(
        Scripted(),
        PROBLEMS,
        load_reward(RewardConfig(), max_tokens=128),
        sampling,
        [1, 4],
        suite="test",
        step=3,
        seed=0,
    )


def test_pass_at_k_by_hand(result):
    # problem 0: 2 of 4 right, problem 1: none
    assert result.pass_at_k[1].value == pytest.approx((0.5 + 0.0) / 2, abs=1e-12)
    assert result.pass_at_k[4].value == pytest.approx((1.0 + 0.0) / 2, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("format_rate", (3 / 4 + 1) / 2),
        ("truncated_rate", (1 / 4 + 0) / 2),
        ("verified_backtrack", (1 / 4 + 0) / 2),
        ("arithmetic_error_rate", (1 / 4 + 1) / 2),
        ("false_check_rate", 0.0),
    ],
)
def test_measures_by_hand(result, name, value):
    assert result.measures[name].value == pytest.approx(value, abs=1e-12)


def test_summary_is_the_contract(result):
    summary = result.summary()
    assert {key: summary[key] for key in ("suite", "step", "adapter_hash", "num_problems", "n")} == {
        "suite": "test",
        "step": 3,
        "adapter_hash": "hash",
        "num_problems": 2,
        "n": 4,
    }
    assert set(summary["pass_at_k"]) == {"1", "4"}
    assert set(summary["pass_at_k"]["1"]) == {"value", "low", "high"}


def test_before_and_after_use_the_same_random_numbers():
    engine = Scripted()
    for step in (0, 60):
        evaluate(
            engine,
            PROBLEMS,
            load_reward(RewardConfig(), max_tokens=128),
            SamplingConfig(group_size=4),
            [1],
            suite="test",
            step=step,
            seed=0,
        )
    assert engine.seeds[0] == engine.seeds[1]
    assert len(set(engine.seeds[0])) == 2


class HalfJudged:
    """Finds the first sample right, and cannot judge the second."""

    def start(self, problem, completions):
        right, lost = Score(1.0, Verdict.CORRECT), Score(None, Verdict.TIMEOUT)
        return lambda: [right, lost, right, lost]

    def refuse_faults(self, judged):
        """All is let pass."""


def test_what_could_not_be_judged_enters_no_statistic_of_training_either():
    """All that was judged is right: pass@1 is 1, as `doubleback eval` says, and not the 0.5 of unjudged for wrong."""
    sampling = Sampling(group_size=4, temperature=1.0, max_tokens=8)
    found = evaluate(Scripted(), PROBLEMS, HalfJudged(), sampling, [1, 4], suite="validation", step=0, seed=0)
    assert found.pass_at_k[1].value == 1.0
    assert math.isnan(found.pass_at_k[4].value)


class Broken(HalfJudged):
    """Will not let half of them pass."""

    def refuse_faults(self, judged):
        raise RunError(f"{len(judged)} were judged")


def test_an_evaluation_with_too_many_faults_stops(tmp_path):
    sampling = Sampling(group_size=4, temperature=1.0, max_tokens=8)
    with pytest.raises(RunError, match="8 were judged"):
        generate(
            Scripted(),
            PROBLEMS,
            Broken(),
            sampling,
            tmp_path / "samples.jsonl",
            suite="test",
            seed=0,
            observe=lambda lines: None,
        )
    with pytest.raises(RunError, match="8 were judged"):
        evaluate(Scripted(), PROBLEMS, Broken(), sampling, [1], suite="validation", step=0, seed=0)
