"""`doubleback score RUN`: what a run wrote is graded again, with the columns of its problems, and compared."""

import json
from collections import Counter
from dataclasses import replace

import pytest
from support.commands import errors
from support.loop import PROBLEMS, Loop
from support.paths import NASTY

from doubleback.rewards.checks.regrade import group_names
from doubleback.rewards.jsonl import Row, complete_lines

REWARD = """
def has_parity(completions, parity, **kwargs):
    return [float(int(text.split()[0]) % 2 == wanted) for text, wanted in zip(completions, parity)]
"""
"""The run's own reward pays for an even first word: with parity 0 this is the same, with parity 1 the opposite."""


@pytest.fixture
def trained(make_policy, tmp_path):
    """A run of three steps over seven problems, three a step, four samples each; every other problem has parity 1."""
    loop = Loop(make_policy(b_std=0.0), tmp_path / "run")
    columns = [{"parity": index % 2} for index in range(len(PROBLEMS))]
    loop.run.write_problems([replace(it, columns=own) for it, own in zip(PROBLEMS, columns, strict=True)])
    loop.train(range(1, 4))
    (tmp_path / "mine.py").write_text(REWARD)
    return tmp_path / "run"


def rollouts(folder, *steps):
    return [line for step in steps for line in complete_lines(folder / "rollouts" / f"step-0000{step}.jsonl.gz")]


def changes(lines):
    """By hand: of an odd problem every verdict turns, of an even one none."""
    odd = [line["verdict"] for line in lines if int(line["problem"][1:]) % 2]
    return Counter(odd)


def test_a_run_is_graded_again_with_the_columns_of_its_problems(run, trained, tmp_path):
    code, text, err = run("score", trained, "--reward", f"{tmp_path}/mine.py:has_parity")
    assert code == 0, err
    before = rollouts(trained, 1, 2, 3)
    turned = changes(before)
    assert len(before) == 36
    assert min(turned["correct"], turned["wrong"]) > 0
    assert f"{turned.total()} of 36 verdicts changed" in text
    rows = [line.split() for line in text.splitlines()]
    assert [*("correct", "wrong"), str(turned["correct"])] in [row[:3] for row in rows]
    assert [*("wrong", "correct"), str(turned["wrong"])] in [row[:3] for row in rows]
    after = complete_lines(trained / "scored" / "rollouts.jsonl")
    kept = ("step", "problem", "sample", "completion", "token_ids", "adapter_hash")
    assert [[line[key] for key in kept] for line in after] == [[line[key] for key in kept] for line in before]
    for old, new in zip(before, after, strict=True):
        assert (old["verdict"] != new["verdict"]) == bool(int(old["problem"][1:]) % 2)
        assert "advantage" in old
        assert "advantage" not in new  # it was of the old score
    found = json.loads((trained / "scored" / "rollouts.summary.json").read_text())
    assert (found["num_problems"], found["n"]) == (9, 4)  # three problems in each of three steps


@pytest.mark.slow
def test_one_step_is_graded_again_and_what_comes_out_goes_in(run, trained, tmp_path):
    reward = f"{tmp_path}/mine.py:has_parity"
    code, text, err = run("score", trained / "rollouts" / "step-00002.jsonl.gz", "--reward", reward)
    assert code == 0, err
    assert f"{changes(rollouts(trained, 2)).total()} of 12 verdicts changed" in text
    scored = trained / "scored" / "step-00002.jsonl"
    packed = trained / "scored" / "again.jsonl.gz"
    code, text, err = run("score", scored, "--reward", reward, "--out", packed)
    assert code == 0, err
    assert "0 of 12 verdicts changed" in text
    untimed = [[{**line, "seconds": None} for line in complete_lines(path)] for path in (scored, packed)]
    assert untimed[0] == untimed[1]


def test_a_group_reward_sees_the_groups_of_training(run, trained):
    """Problems come again in later steps: those samples are another group."""
    assert len({line["problem"] for line in rollouts(trained, 1, 2, 3)}) < 9
    assert run("score", trained, "--reward", f"{NASTY}:shortest")[0] == 0
    lines = complete_lines(trained / "scored" / "rollouts.jsonl")
    for start in range(0, 36, 4):
        lengths = [len(line["completion"]) for line in lines[start : start + 4]]
        expected = [float(length == min(lengths)) for length in lengths]
        assert [line["score"] for line in lines[start : start + 4]] == expected


def test_rows_are_grouped_by_one_rule():
    rows = [
        {"problem": "p", "sample": 0, "step": 1},
        {"problem": "q", "sample": 0, "step": 1},
        {"problem": "p", "sample": 1, "step": 1},
        {"problem": "p", "sample": 0, "step": 1},  # the step had the problem twice
        {"problem": "p", "sample": 0, "step": 2},
        {"problem": "p", "sample": 0},
        {"question": "1 + 1?", "answer": "2"},
        {"question": "1 + 1?", "answer": "10"},
        {"prompt": "1 + 1?", "answer": "2", "id": 7},
        {"id": 7},
        {},
        {},
    ]
    names = group_names([Row(number, data) for number, data in enumerate(rows, start=1)])
    position = {name: names.index(name) for name in names}
    assert [position[name] for name in names] == [0, 1, 0, 3, 4, 5, 6, 7, 6, 9, 10, 11]


def test_what_is_missing_is_named(run, trained, tmp_path):
    lines = (trained / "problems.jsonl").read_text().splitlines(keepends=True)
    (trained / "problems.jsonl").write_text("".join(line for line in lines if '"p3"' not in line))
    code, _, err = run("score", trained, "--reward", f"{tmp_path}/mine.py:has_parity")
    assert code == 2
    assert f"problem 'p3' is not in {trained / 'problems.jsonl'}" in errors(err)[0]
    code, _, err = run("score", trained / "rollouts" / "step-00001.jsonl.gz", "--reward", "math")
    assert code == 2
    assert "step-00001.jsonl.gz:1: " in errors(err)[0]
    assert "no 'answer'; the problem has parity (and 11 more bad rows)" in errors(err)[0]
    code, _, err = run("score", tmp_path, "--reward", f"{tmp_path}/mine.py:has_parity")
    assert (code, errors(err)) == (
        2,
        [f"error: {tmp_path} holds neither a run's rollouts/step-*.jsonl.gz nor an evaluation's samples.jsonl"],
    )
    torn = tmp_path / "torn.jsonl.gz"
    torn.write_bytes((trained / "rollouts" / "step-00001.jsonl.gz").read_bytes()[:-9])
    code, _, err = run("score", torn, "--reward", f"{tmp_path}/mine.py:has_parity")
    assert code == 2
    assert errors(err)[0].startswith(f"error: {torn} cannot be read: Compressed file ended")
