"""Chains in words: hand-worked problems, splits that cannot leak, levels for the curriculum, and a run for real."""

import json

import pytest

from doubleback.recipes.recipe.loading import load_recipe
from doubleback.recipes.recipe.problems import asked, scorable
from doubleback.recipes.tasks.chain_sum.task import (
    ChainSum,
    has_wrong_step,
    identity,
    make_problem,
    steps,
    steps_shown,
    words,
)
from doubleback.recipes.tasks.task import split_of
from doubleback.rewards.compose.reward import load_reward
from doubleback.rewards.types import ConfigError

SMALL = ChainSum(name="chain_sum", levels=[2, 3], train_problems=20, validation_problems=5, test_problems=5)
TINY = [
    "tiny=true",
    "engine.name=transformers",
    "steps=2",
    "rollout.prompts_per_step=2",
    "sampling.group_size=2",
]
TINY += ["sampling.max_tokens=8", "reward.components.overlong.args.buffer=4", "task.train_problems=4", "eval.n=1"]
TINY += [
    "task.validation_problems=1",
    "task.test_problems=1",
    "eval.k=[1]",
    "eval.validation_n=1",
    "sync.num_canaries=1",
]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "zero"),
        (7, "seven"),
        (12, "twelve"),
        (19, "nineteen"),
        (20, "twenty"),
        (21, "twenty-one"),
        (99, "ninety-nine"),
    ],
)
def test_numbers_in_words(number, text):
    assert words(number) == text


def test_a_problem_by_hand():
    """7 + 12 = 19, 19 - 3 = 16."""
    problem = make_problem((7, 12, -3))
    assert (problem.id, problem.prompt) == ("chain_sum:7+12-3", "What is seven plus twelve minus three?")
    columns = {"question": problem.prompt, "answer": 16, "level": 3, "chain": [7, 12, -3]}
    assert problem.columns == columns
    assert list(steps((7, 12, -3))) == [(7, "+", 12, 19), (19, "-", 3, 16)]
    gold = "<think> 7 + 12 = 19, 19 - 3 = 16 </think> <answer> 16 </answer>"
    assert SMALL.gold(problem) == gold


@pytest.mark.parametrize(
    ("text", "shown", "is_wrong"),
    [
        ("7 + 12 = 19, 19 - 3 = 16", 1.0, False),
        ("7+12=19 and then it is 16", 0.5, False),
        ("19 - 3 = 16 since 7 + 12 = 19", 0.5, False),  # the first step is found, the second stood before it
        ("7 + 12 = 18, 18 - 3 = 15", 0.0, True),
        ("7 + 12 = 19, 19 - 3 = 17", 0.5, True),
        ("7 + 12 = 199999999", 0.0, False),
        ("sixteen", 0.0, False),
    ],
)
def test_measures_by_hand(text, shown, is_wrong):
    assert steps_shown((7, 12, -3), text) == shown
    assert has_wrong_step(text) is is_wrong


def test_a_result_may_be_negative():
    """4 - 21 = -17."""
    problem = make_problem((4, -21))
    assert problem.columns["answer"] == -17
    assert problem.prompt == "What is four minus twenty-one?"
    assert SMALL.gold(problem) == "<think> 4 - 21 = -17 </think> <answer> -17 </answer>"


def test_sizes_are_as_asked_and_depend_on_the_seed_alone():
    splits = SMALL.splits()
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [40, 10, 10]
    assert [problem.columns["level"] for problem in splits.validation] == [2] * 5 + [3] * 5
    assert SMALL.splits() == splits
    assert SMALL.model_copy(update={"seed": 1}).splits() != splits
    assert len({problem.id for problem in splits.everything}) == 60


def test_no_seed_and_no_size_puts_a_training_chain_into_the_test():
    trained, tested = set(), set()
    for seed, size in ((0, 20), (1, 300), (2, 600)):
        task = ChainSum(name="c", levels=[2], seed=seed, train_problems=size, test_problems=size // 10)
        splits = task.splits()
        trained |= {problem.id for problem in splits.train}
        tested |= {problem.id for problem in (*splits.validation, *splits.test)}
    assert len(trained) > 600
    assert not trained & tested


def test_the_split_of_a_chain_never_changes():
    chains = ((7, 12, -3), (1, -3), (1, 5), (1, -7), (3, 4))
    assert [split_of(identity(made)) for made in chains] == ["train", "validation", "validation", "test", "test"]
    shares = [split_of(identity((a, b))) for a in range(1, 41) for b in range(-40, 41) if b]
    assert shares.count("train") / len(shares) == pytest.approx(0.8, abs=0.02)
    assert shares.count("test") / len(shares) == pytest.approx(0.1, abs=0.02)


def test_too_few_chains_are_named():
    """Numbers 1 to 2, two of them: 2 * 2 * 2 = 8 chains."""
    task = ChainSum(name="c", levels=[2], highest=2)
    with pytest.raises(ConfigError, match=r"task\.train_problems=256: level 2 has \d such chains with task\.highest=2"):
        task.splits()


def test_a_level_is_named_once():
    with pytest.raises(ConfigError, match=r"task\.levels=\[2, 2\] names a level twice"):
        load_recipe("chain-sum", ["task.levels=[2,2]"])


def test_every_gold_is_graded_correct_and_in_format():
    recipe = load_recipe("chain-sum", ["task.train_problems=40", "task.highest=99"])
    with load_reward(recipe.reward, recipe.sampling.max_tokens) as reward:
        kept, dropped = scorable(asked(recipe.task), recipe.task, reward)
    assert (len(kept.train), dropped) == (120, [])
    assert kept.train[0].prompt.count("What is") == 1
    assert identity((7, 12, -3)) == "chain_sum:7+12-3"


@pytest.mark.slow
def test_a_tiny_model_trains_on_it_and_starts_at_the_lowest_level(run, tmp_path):
    code, _, err = run("train", "chain-sum", *TINY, "--out", tmp_path / "run")
    assert code == 0, err
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1, 2]
    asked_for = (tmp_path / "run" / "problems.jsonl").read_text()
    assert "User: What is " in asked_for
    summary = json.loads((tmp_path / "run" / "eval" / "test-step-00002.json").read_text())
    assert summary["measures"] == {"steps_shown": "steps shown", "wrong_step_rate": "wrong steps"}
    assert lines[-1]["eval/test/steps_shown"] == summary["steps_shown"]["value"] == 0.0
    assert [line["problems/level"] for line in lines[1:]] == [2, 2]
    assert max(line["sync/max_abs"] for line in lines) < 1e-4
