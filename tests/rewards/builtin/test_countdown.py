"""Countdown's problems are all there, once, in one split; an answer scores only if it solves its problem."""

import hashlib
import subprocess
import sys
from collections import Counter
from itertools import combinations_with_replacement, permutations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doubleback.rewards.answers.expression import parse_expression
from doubleback.rewards.answers.thinking import thinking_of
from doubleback.rewards.builtin.countdown import (
    Split,
    all_problems,
    apply_operator,
    countdown_correct,
    grade,
    make_problem,
    problems,
    split_of,
)
from doubleback.rewards.types import Verdict

RIGHT = (
    "<think> 12 - 9 = 3 : 7 - 3 = 4 no back 7 + 12 = 19 : 19 + 9 = 28 yes </think> <answer> ( 7 + 12 ) + 9 </answer>"
)


def answered(text, thought="7 + 12 = 19"):
    return f"<think> {thought} </think> <answer> {text} </answer>"


def in_range(value):
    return 1 <= value <= 50


def brute_force(numbers):
    """Targets of three numbers by (a op b) op c and c op (a op b) in every order: another way than the code's."""
    operate = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b}
    targets = set()
    for (a, b, c), first, second in product(permutations(numbers), operate, operate):
        inner = operate[first](a, b)
        if in_range(inner):
            targets |= {value for value in (operate[second](inner, c), operate[second](c, inner)) if in_range(value)}
    return targets


def test_three_numbers_make_3668_problems_by_brute_force_too():
    expected = {
        (numbers, target)
        for numbers in combinations_with_replacement(range(1, 14), 3)
        for target in brute_force(numbers)
    }
    ours = {(tuple(sorted(p.columns["numbers"])), p.columns["target"]) for p in all_problems(3)}
    assert len(all_problems(3)) == 3668
    assert ours == expected


@pytest.mark.parametrize(("num_numbers", "num_problems"), [(3, 3668), (4, 44179)])
def test_problems_are_distinct_and_splits_disjoint_and_exhaustive(num_numbers, num_problems):
    everything = all_problems(num_numbers)
    assert len({problem.id for problem in everything}) == len({p.prompt for p in everything}) == num_problems
    parts = [problem.id for split in Split for problem in problems(num_numbers, split)]
    assert sorted(parts) == sorted(problem.id for problem in everything)
    shares = {Split.PRETRAIN: 0.60, Split.TRAIN: 0.25, Split.VALIDATION: 0.05, Split.TEST: 0.10}
    for split, share in shares.items():
        # Three standard deviations of a fair draw.
        deviation = (share * (1 - share) / num_problems) ** 0.5
        assert len(problems(num_numbers, split)) / num_problems == pytest.approx(share, abs=3 * deviation)


def test_other_sizes_are_refused():
    with pytest.raises(ValueError, match="num_numbers=5"):
        all_problems(5)


def test_a_problem_has_one_identity_and_one_prompt():
    problem = make_problem([9, 7, 12], 28)
    assert problem == make_problem([12, 9, 7], 28)
    assert problem.id == "countdown3:7,9,12->28"
    numbers, target = problem.prompt.split(" -> ")
    assert [int(number) for number in numbers.split()] == problem.columns["numbers"]
    assert Counter(problem.columns["numbers"]) == Counter([7, 9, 12])
    assert int(target) == problem.columns["target"] == 28


def test_order_shown_gives_nothing_away():
    firsts = Counter(sorted(p.columns["numbers"]).index(p.columns["numbers"][0]) for p in all_problems(3))
    # Ties of equal numbers fall to the lower place; without them each place would have a third.
    assert min(firsts.values()) / len(all_problems(3)) > 0.25


def test_split_and_order_are_the_same_in_another_process():
    """Protects against Python's salted hash()."""
    code = (
        "from doubleback.rewards.builtin.countdown import *; p = make_problem([9, 7, 12], 28);"
        "print(p.prompt, split_of(p), len(problems(3, Split.TEST)))"
    )
    command = [sys.executable, "-c", code]
    problem = make_problem([9, 7, 12], 28)
    expected = f"{problem.prompt} {split_of(problem)} {len(problems(3, Split.TEST))}"
    for hash_seed in ("1", "2"):
        env = {"PYTHONHASHSEED": hash_seed}
        assert subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.strip() == expected


def test_frozen_splits():
    """Protects the test split: changing the hash would move problems that bases were pre-trained on into it."""
    assert [len(problems(3, split)) for split in Split] == [2235, 892, 192, 349]
    prompts = "\n".join(problem.prompt for problem in problems(3, Split.TEST))
    assert hashlib.sha256(prompts.encode()).hexdigest()[:16] == "4b7e9bc134f73dad"


@pytest.mark.parametrize(
    ("left", "operator", "right", "result"),
    [
        (7, "+", 12, 19),
        (25, "+", 25, 50),
        (25, "+", 26, None),
        (7, "-", 7, None),
        (7, "-", 8, None),
        (5, "*", 10, 50),
        (3, "*", 17, None),
    ],
)
def test_operations_stay_in_range(left, operator, right, result):
    assert apply_operator(left, operator, right) == result


@pytest.mark.parametrize(
    ("completion", "verdict", "extracted"),
    [
        (RIGHT, Verdict.CORRECT, "( 7 + 12 ) + 9"),
        (answered("9+(12+7)"), Verdict.CORRECT, "9+(12+7)"),
        (answered("7 + 12 + 9"), Verdict.CORRECT, "7 + 12 + 9"),
        (answered("( 7 + 12 ) - 9"), Verdict.WRONG, "( 7 + 12 ) - 9"),
        (answered("28"), Verdict.WRONG, "28"),
        (answered("7 + 7 + 7 + 7"), Verdict.WRONG, "7 + 7 + 7 + 7"),  # 28, of the wrong numbers
        (answered("7 + 12 + 9 + 9 - 9"), Verdict.WRONG, "7 + 12 + 9 + 9 - 9"),
        (answered("7 + 21"), Verdict.WRONG, "7 + 21"),
        (answered("7 / ( 12 - 12 ) + 9"), Verdict.WRONG, "7 / ( 12 - 12 ) + 9"),
        (answered("7 + 12 + 9 = 28"), Verdict.BAD_FORMAT, "7 + 12 + 9 = 28"),
        (answered("-7 + 12 + 9"), Verdict.BAD_FORMAT, "-7 + 12 + 9"),
        (answered("yes"), Verdict.BAD_FORMAT, "yes"),
        (answered(""), Verdict.NO_ANSWER, None),
        ("( 7 + 12 ) + 9", Verdict.NO_ANSWER, None),
        ("<think> <answer> ( 7 + 12 ) + 9 </answer> </think>", Verdict.NO_ANSWER, None),
        ("<think> <answer> ( 7 + 12 ) + 9 </answer> </think> <answer> 1 </answer>", Verdict.WRONG, "1"),
        ("", Verdict.NO_ANSWER, None),
    ],
)
def test_verdicts(completion, verdict, extracted):
    score = grade(completion, [9, 7, 12], 28)
    assert (score.verdict, score.extracted) == (verdict, extracted)
    assert score.value == float(verdict == Verdict.CORRECT)
    assert score.detail


def test_division_is_exact():
    assert grade(answered("8 / ( 3 - 8 / 3 )"), [3, 3, 8, 8], 24).verdict == Verdict.CORRECT
    assert grade(answered("7 / 2"), [7, 2], 3).detail == "equals 7/2, not 3"


def test_reward_has_trls_signature():
    completions = [RIGHT, [{"role": "assistant", "content": RIGHT}], RIGHT, answered("1")]
    rewards = countdown_correct(
        prompts=["9 7 12 -> 28"] * 4,
        completions=completions,
        completion_ids=[[1]] * 4,
        numbers=[[9, 7, 12], [12, 9, 7], [9, 7, 12], [1]],
        target=[28, 28, 29, 2],
        trainer_state=None,
    )
    assert rewards == [1.0, 1.0, 0.0, 0.0]


expressions = st.recursive(
    st.integers(1, 13).map(str),
    lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda parts: f"( {' '.join(parts)} )"),
    max_leaves=4,
)


@pytest.mark.slow
@given(st.sampled_from(all_problems(3)), expressions)
def test_a_wrong_answer_never_scores(problem, expression):
    numbers, target = problem.columns["numbers"], problem.columns["target"]
    parsed = parse_expression(expression)
    is_right = parsed.value == target and sorted(parsed.numbers) == sorted(numbers)
    assert grade(answered(expression), numbers, target).value == float(is_right)


@pytest.mark.parametrize(
    ("completion", "off", "on"),
    [
        ("<answer> ( 7 + 12 ) + 9 </answer>", Verdict.CORRECT, Verdict.NO_ANSWER),
        ("<answer> ( 7 + 12 ) - 9 </answer>", Verdict.WRONG, Verdict.NO_ANSWER),
        ("( 7 + 12 ) + 9", Verdict.NO_ANSWER, Verdict.NO_ANSWER),
        (RIGHT, Verdict.CORRECT, Verdict.CORRECT),
        ("<think> <answer> ( 7 + 12 ) + 9 </answer>", Verdict.NO_ANSWER, Verdict.NO_ANSWER),
    ],
)
def test_where_thinking_is_off_an_answer_needs_no_thought(completion, off, on):
    """A thought that is left open answers in no mode; where nothing is asked an answer needs one, as with on."""
    numbers = [[9, 7, 12]] * 3
    scores = countdown_correct(
        completions=[completion] * 3, numbers=numbers, target=[28] * 3, thinking=[False, True, None]
    )
    assert scores == [float(verdict == Verdict.CORRECT) for verdict in (off, on, on)]
    found = [grade(completion, numbers[0], 28, thinking_of("", is_on=is_on)) for is_on in (False, True, None)]
    assert [score.verdict for score in found] == [off, on, on]
