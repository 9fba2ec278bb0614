"""Every gold of the public data accepts itself, and what only its text can match is listed."""

import json

import pytest
from support.paths import DATA
from support.rewarding import section

from doubleback.rewards.answers.grade import gold_completion
from doubleback.rewards.checks.golds import listed, matched_as_text_only, refuse_unscorable, unscorable
from doubleback.rewards.compose.reward import load_reward
from doubleback.rewards.types import ConfigError, Problem

STAND_INS = {
    "gsm8k_train.jsonl": [
        {"question": "a", "answer": "She sold 48/2 = <<48/2=24>>24.\n#### 1,072"},
        {"question": "b", "answer": "#### -3"},
        {"question": "c", "answer": "#### 0.5"},
    ],
    "olympiadbench_oe_to_maths_en.jsonl": [
        {"question": "a", "final_answer": ["$\\frac{1}{2 n+2}$"]},
        {"question": "b", "final_answer": ["$(1,8,19), (2,7,13)$"]},
        {"question": "c", "final_answer": ["$k \\geqslant 2$", "3"]},
    ],
}


def rows(name):
    path = DATA / name
    if not path.exists():
        return STAND_INS[name]
    return [json.loads(line) for line in path.read_text().splitlines()]


def problems(name, key):
    return [
        Problem(f"{name}:{number}", str(row["question"]), {"answer": row[key]})
        for number, row in enumerate(rows(name), start=1)
    ]


STYLES = ["think_answer", "boxed", "hash", "answer_is"]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    ("name", "key"),
    [("gsm8k_train.jsonl", "answer"), ("olympiadbench_oe_to_maths_en.jsonl", "final_answer")],
)
def test_all_golds_round_trip(name, key, style):
    """Each in one style, and each style for every fourth: what a style changes is the frame, not the gold."""
    asked = problems(name, key)[STYLES.index(style) :: len(STYLES)]
    golds = {problem.id: gold_completion(problem.columns["answer"], style) for problem in asked}
    with load_reward(section(components={"math": 1.0})) as reward:
        assert listed(unscorable(asked, golds, reward)) == []


def test_no_gold_of_gsm8k_depends_on_its_text():
    answers = [row["answer"] for row in rows("gsm8k_train.jsonl")]
    assert matched_as_text_only(answers) == []


def test_golds_that_no_later_stage_can_read_are_found():
    answers = ["72", r"\frac{1}{2n+2}", "t(0,4]", "(1,2)", "even", r"\sqrt{2}", "[1, 2)"]
    assert matched_as_text_only(answers) == [2]


def test_a_rejected_gold_is_listed_with_its_reason():
    known = [Problem(f"p{n}", "?", {"answer": str(n)}) for n in range(8)]
    golds = {problem.id: "#### 0" for problem in known}
    with load_reward(section(components={"math": 1.0})) as reward:
        found = unscorable(known, golds, reward)
    assert [item.problem.id for item in found] == [f"p{n}" for n in range(1, 8)]
    assert listed(found)[0] == "problem p1: its own gold is graded wrong (rational: another value)"
    with pytest.raises(ConfigError, match=r"problem p1: .*\n(.*\n)*\.\.\. and 2 more; do something"):
        refuse_unscorable(found, "do something")
    refuse_unscorable([], "nothing to do")
