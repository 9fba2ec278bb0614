"""What an evaluation says of a policy that is known exactly: a scripted engine, the real reward and meter."""

import pytest
from support.fakes import FakeEngine, FakeReward

from doubleback.eval.run import Request, generate, generate_into
from doubleback.eval.summarise import headline, summary
from doubleback.recipes.tasks.countdown.task import MEASURES
from doubleback.rewards.compose.config import RewardConfig
from doubleback.rewards.compose.reward import load_reward
from doubleback.rewards.sample_lines import with_columns
from doubleback.rewards.types import Completion, Problem, RunError, Score, Verdict
from doubleback.rl.run.samples import sample_lines
from doubleback.rl.types import Sampling

RIGHT = "<think> 3 * 5 = 15 : 15 + 7 = 22 yes </think> <answer> ( 3 * 5 ) + 7 </answer>"
DOUBLED_BACK = (
    "<think> 3 + 5 = 8 : 8 + 7 = 15 no back 3 * 5 = 15 : 15 + 7 = 22 yes </think> <answer> ( 3 * 5 ) + 7 </answer>"
)
WRONG = "<think> 3 + 5 = 9 : 9 + 7 = 16 no </think> <answer> ( 3 + 5 ) + 7 </answer>"
CUT = "<think> 3 + 5 = 8 : 8 + 7"
PROBLEMS = [Problem(f"countdown3:{i}", "3 5 7 -> 22", {"numbers": [3, 5, 7], "target": 22}) for i in range(2)]
SCRIPT = {"countdown3:0": [RIGHT, DOUBLED_BACK, WRONG, CUT], "countdown3:1": [WRONG, WRONG, WRONG, WRONG]}


def scripted():
    """An engine that says what it is told."""
    return FakeEngine(lambda problem, seed, num_samples: map(completion, SCRIPT[problem.id]))


def completion(text):
    ids = tuple(range(len(text.split())))
    return Completion(text, ids, (0.0,) * len(ids), "length" if text == CUT else "stop", 3, "hash", 0)


COMPONENTS = {"countdown": {"weight": 1.0}, "format": {"weight": 0.1}}
REWARD = load_reward(RewardConfig(components=COMPONENTS), max_tokens=128)


def request(seed=0):
    return Request("test", PROBLEMS, Sampling(group_size=4, temperature=1.0, max_tokens=128), seed)


@pytest.fixture(scope="module")
def found():
    groups = generate(scripted(), request(), REWARD)
    lines = [line for group in groups for line in sample_lines(group)]
    return summary(with_columns(lines, PROBLEMS), {"suite": "test"}, measures=MEASURES)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pass@1", (2 / 4 + 0) / 2),
        ("pass@4", (1 + 0) / 2),
        ("format_rate", (3 / 4 + 1) / 2),
        ("cut_off_rate", (1 / 4 + 0) / 2),
        ("verified_backtrack", (1 / 4 + 0) / 2),
        ("arithmetic_error_rate", (1 / 4 + 1) / 2),
        ("false_check_rate", 0.0),
    ],
)
def test_measures_by_hand(found, name, value):
    assert headline(found, [1, 4])[f"eval/test/{name}"] == pytest.approx(value, abs=1e-12)


def test_before_and_after_use_the_same_random_numbers():
    engine = scripted()
    for _ in range(2):
        generate(engine, request(), REWARD)
    generate(engine, request(seed=1), REWARD)
    first, second, other = ([seed for _, seed in asked] for asked in engine.asked)
    assert first == second
    assert len(set(first)) == 2
    assert not set(first) & set(other)


def test_an_evaluation_with_too_many_faults_stops_and_the_same_command_stops_again(tmp_path):
    """A reward that judges nothing, and does not let that pass."""
    broken = FakeReward(lambda problem, completions: [Score(None, Verdict.TIMEOUT)] * len(completions), most=0)
    for _ in range(2):
        with pytest.raises(RunError, match="8 were judged"):
            generate_into(tmp_path / "samples.jsonl", scripted(), request(), broken, lambda lines: None)
    with pytest.raises(RunError, match="8 were judged"):
        generate(scripted(), request(), broken)
