"""What an evaluation says of a policy that is known exactly: a scripted engine, the real reward and meter."""

import pytest
from support.fakes import FakeEngine, FakeReward

from doubleback.eval.run import Request, generate, generate_into, in_order, num_kept
from doubleback.eval.summarise import headline, summary
from doubleback.recipes.tasks.countdown.task import MEASURES
from doubleback.rewards.compose.config import RewardConfig
from doubleback.rewards.compose.reward import load_reward
from doubleback.rewards.jsonl import complete_lines
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


MANY = [Problem(f"p{number}", "?") for number in range(5)]
RIGHT_SCORE, NO_SCORE = Score(1.0, Verdict.CORRECT), Score(None, Verdict.TIMEOUT)


class Dying(FakeEngine):
    """Ends with an error behind so many groups, which it finishes last first, as FakeEngine does."""

    def __init__(self, num_groups):
        super().__init__(
            lambda problem, seed, size: [Completion(f"{seed}", (1,), (0.0,), "stop", 0, "base", seed)] * size
        )
        self._left = num_groups

    def sample(self, problems, sampling, seeds, on_group=None):
        def counted(index, group):
            on_group(index, group)
            self._left -= 1
            if not self._left:
                raise RunError("died")

        return super().sample(problems, sampling, seeds, counted)


def judging(*scores, most=float("inf")):
    return FakeReward(lambda problem, completions: scores, most)


def test_what_is_finished_is_written_and_the_same_call_samples_the_rest_alone(tmp_path):
    path, asked, seen = tmp_path / "samples.jsonl", Request("test", MANY, Sampling(2, 1.0, 8), 0), []
    with pytest.raises(RunError, match="died"):
        generate_into(path, Dying(3), asked, judging(RIGHT_SCORE, RIGHT_SCORE), lambda lines: None)
    on_disk = path.read_bytes()
    assert [line["problem"] for line in complete_lines(path)] == ["p4", "p4", "p3", "p3", "p2", "p2"]
    path.write_bytes(on_disk[:-9])  # torn within the last sample: its problem is sampled again
    assert num_kept(path, asked) == 4
    engine = Dying(-1)
    generate_into(
        path, engine, asked, judging(RIGHT_SCORE, RIGHT_SCORE), lambda lines: seen.append(lines[0]["problem"])
    )
    assert [name for name, _ in engine.asked[0]] == ["p0", "p1", "p2"]
    assert seen == ["p3", "p4", "p2", "p1", "p0"]
    whole = tmp_path / "whole.jsonl"
    generate_into(whole, Dying(-1), asked, judging(RIGHT_SCORE, RIGHT_SCORE), lambda lines: None)
    assert path.read_bytes() != whole.read_bytes()
    assert in_order(path, asked) == in_order(whole, asked)
    assert path.read_bytes() == whole.read_bytes()


def test_faults_are_counted_over_what_is_on_disk_too_and_written_once_they_are_let_pass(tmp_path):
    path, asked = tmp_path / "samples.jsonl", Request("test", MANY, Sampling(1, 1.0, 8), 0)
    with pytest.raises(RunError, match="died"):
        generate_into(path, Dying(2), asked, judging(RIGHT_SCORE), lambda lines: None)
    refusing, letting_pass = judging(NO_SCORE, most=4), judging(NO_SCORE)
    for _ in range(2):
        with pytest.raises(RunError, match="5 were judged"):
            generate_into(path, Dying(-1), asked, refusing, lambda lines: None)
        assert [line["verdict"] for line in complete_lines(path)] == ["correct", "correct"]
    generate_into(path, Dying(-1), asked, letting_pass, lambda lines: None)
    assert [score.verdict for *_, score in letting_pass.judged[0]] == ["correct"] * 2 + ["timeout"] * 3
    assert [line["verdict"] for line in in_order(path, asked)] == ["timeout"] * 3 + ["correct"] * 2


def test_an_engine_that_draws_what_is_banned_stops_the_evaluation(tmp_path):
    """One of somebody else that never heard of banned tokens: its samples would pass for what they are not."""
    path, banned = tmp_path / "samples.jsonl", Sampling(1, 1.0, 8, banned_ids=(7, 1))
    with pytest.raises(RunError, match="problem p4: the engine drew token 1, which --ban forbids"):
        generate_into(path, Dying(-1), Request("test", MANY, banned, 0), judging(RIGHT_SCORE), lambda lines: None)
    assert complete_lines(path) == []


def test_what_judging_raises_ends_the_call_and_nothing_is_written_behind_it(tmp_path):
    path, asked = tmp_path / "samples.jsonl", Request("test", MANY, Sampling(1, 1.0, 8), 0)

    def broken(problem, completions):
        if problem.id == "p2":
            raise RunError("the keeper has ended")
        return [RIGHT_SCORE]

    with pytest.raises(RunError, match="the keeper has ended"):
        generate_into(path, Dying(-1), asked, FakeReward(broken), lambda lines: None)
    assert [line["problem"] for line in complete_lines(path)] == ["p4", "p3"]
