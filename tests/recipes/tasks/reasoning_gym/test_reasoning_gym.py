"""Problems from a child process that speaks the bridge's protocol: a stand-in, and reasoning-gym where it is there."""

import importlib.util
import json
import sys

import pytest

from doubleback.recipes.tasks.reasoning_gym import generation
from doubleback.recipes.tasks.reasoning_gym.names import EXECUTED, SHORT
from doubleback.recipes.tasks.reasoning_gym.task import NOT_SHORT, TWICE, ReasoningGym
from doubleback.recipes.tasks.task import split_of
from doubleback.rewards.checks.golds import unscorable
from doubleback.rewards.compose.config import RewardConfig
from doubleback.rewards.compose.reward import load_reward
from doubleback.rewards.settings import validated
from doubleback.rewards.types import ConfigError

STAND_IN = """
import json, sys
asked = json.load(sys.stdin)
num = 0
for level in asked["levels"] or [0]:
    for i in range(asked["size"]):
        number = asked["seed"] + i + 100 * level
        print(json.dumps({"question": f"What is {number} + 1?", "answer": str(number + 1), "level": level}))
        num += 1
print(json.dumps({"num_items": num}))
"""


@pytest.fixture
def child(monkeypatch):
    """Puts a script in the place of the generating process."""

    def use(code):
        monkeypatch.setattr(generation, "CHILD", (sys.executable, "-c", code))

    use(STAND_IN)
    return use


def make(**keys):
    return validated(ReasoningGym, {"name": "reasoning_gym", "dataset": "gcd", **keys})


def test_problems_golds_and_levels(child):
    task = make(size=50, seed=3, levels=[0, 2])
    splits = task.splits()
    assert len(splits.everything) == 100
    first = next(problem for problem in splits.everything if problem.prompt == "What is 3 + 1?")
    assert first.columns == {"question": "What is 3 + 1?", "answer": "4", "level": 0}
    assert task.gold(first) == "<think> </think> <answer> 4 </answer>"
    assert {problem.columns["level"] for problem in splits.everything} == {0, 2}
    assert task.splits() == splits


def test_near_seeds_share_items_and_none_changes_its_split(child):
    of_seeds = [make(size=60, seed=seed).splits() for seed in (0, 10)]
    ids = [{problem.id for problem in splits.everything} for splits in of_seeds]
    assert len(ids[0] & ids[1]) == 50
    trained, tested = {p.id for p in of_seeds[0].train}, {p.id for p in of_seeds[1].test}
    assert tested
    assert not trained & tested
    for problem in of_seeds[0].validation:
        assert split_of(problem.prompt) == "validation"


def test_what_has_no_short_answer_or_was_asked_before_is_left_out_and_counted(child):
    odd = [("a", "x" * 61), ("b", "one\ntwo"), ("c", " "), ("d", 5), ("What is 1 + 1?", "2"), ("What is 1 + 1?", "3")]
    rows = [{"question": question, "answer": answer, "level": 0} for question, answer in odd]
    rows += [{"question": f"What is {i} + 1?", "answer": f"{i + 1}", "level": 0} for i in range(2, 60)]
    child(f"for row in {[json.dumps(row) for row in rows]!r}: print(row)\nprint('{{\"num_items\": {len(rows)}}}')")
    splits = make().splits()
    assert len(splits.everything) == 59
    assert {reason: len(lines) for reason, lines in splits.skipped.items()} == {NOT_SHORT: 4, TWICE: 1}
    assert splits.skipped[TWICE] == ["item 5 of gcd"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "import time; time.sleep(60)",
            r"task\.dataset=gcd: .* did not end within task\.timeout_seconds=0\.5; lower task",
        ),
        ('print(\'{"error": "No module", "missing": "bfi"}\')', r"needs the package reasoning-gym.*\(No module\): pip"),
        (
            'print(\'{"error": "TypeError: max_nmbers"}\')',
            r"task\.dataset=gcd with task\.config .*: TypeError: max_nmbers",
        ),
        (
            "import os; os._exit(3)",
            r"task\.dataset=gcd: the generator ended with 3 after 0 items: nothing on its error",
        ),
        ("import sys; sys.exit('no memory')", r"ended with 1 after 0 items: no memory"),
        ('print(\'{"question": "a"}\'); print(\'{"num_items": 2}\')', r"ended with 0 after 1 items"),
        ('print(\'{"answer": "a"}\'); print(\'{"num_items": 1}\')', r"gave an item without a question"),
        ("print('[' * 100_000); print('{\"num_items\": 1}')", r"gave an item without a question"),
        ("print('{\"num_items\": 0}')", r"ended with 0 after 0 items"),
    ],
)
def test_a_process_that_gives_nothing_is_named(child, code, message):
    child(code)
    with pytest.raises(ConfigError, match=message):
        make(timeout_seconds=0.5 if "sleep" in code else 60.0).splits()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        *(({"dataset": name}, f"task.dataset={name} is left to none: judging its answers takes") for name in EXECUTED),
        ({"dataset": "codeio"}, "gives other problems each time"),
        ({"dataset": "gdc"}, "did you mean gcd?"),
        ({"dataset": "jugs"}, "has no items with one short answer"),
        ({"config": {"seed": 1}}, "task.config has seed; write task.seed instead"),
        ({"levels": [1, 1]}, "names a level twice"),
        ({"size": 5}, "greater than or equal to 10"),
    ],
)
def test_what_cannot_be_had_is_refused_before_anything_runs(monkeypatch, keys, message):
    monkeypatch.setattr(generation, "CHILD", ("false",))
    with pytest.raises(ConfigError) as refused:
        make(**keys)
    assert message in str(refused.value)


def test_nine_are_refused_because_their_scorers_execute_text():
    assert len(EXECUTED) == 9
    assert not SHORT & (EXECUTED.keys() | {"codeio"})


def test_too_few_items_for_three_splits_are_refused(child):
    child('print(\'{"question": "a", "answer": "1", "level": 0}\'); print(\'{"num_items": 1}\')')
    with pytest.raises(
        ConfigError, match=r"task\.size=500: of gcd no problem is left for .* and 0 are left out; raise it"
    ):
        make().splits()


@pytest.mark.skipif(importlib.util.find_spec("reasoning_gym") is None, reason="needs doubleback[gym]")
def test_the_package_itself_gives_the_same_problems_again_and_our_grader_takes_its_answers():
    task = make(dataset="chain_sum", size=100, levels=[0, 1], config={"allow_negation": True})
    splits = task.splits()
    assert task.splits() == splits
    assert len(splits.everything) > 150
    with load_reward(RewardConfig.model_validate({"components": {"math": 1.0}}), 64) as reward:
        golds = {problem.id: task.gold(problem) for problem in splits.everything}
        assert unscorable(splits.everything, golds, reward) == []
