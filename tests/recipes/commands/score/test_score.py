"""`doubleback score` and `doubleback check --reward`, as a user meets them."""

import json
import time

import pytest
from support.commands import errors
from support.paths import NASTY

ROWS = [
    {"completion": "<think> a </think> <answer> 72 </answer>", "answer": "72", "style": "think_answer", "id": 7},
    {"response": "So $\\boxed{x+1}$.", "answer": "1+x", "style": "boxed"},
    {"completion": "So $\\boxed{73}$. Or not.", "answer": "... \n#### 72", "prompt": "How many?"},
    {"completion": [{"role": "assistant", "content": "#### 1,072"}], "answer": 1072},
    {"completion": "I do not know.", "answer": ["72", "73"]},
    {"completion": "<answer> \ud800 </answer>", "answer": "72"},
]


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS) + "\n")
    return path


def scored(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_score_writes_the_rows_with_their_scores(run, rows, tmp_path):
    out = tmp_path / "out.jsonl"
    start = time.monotonic()
    code, text, _ = run("score", rows, "--reward", "math", "--out", out)
    around = time.monotonic() - start
    assert code == 0
    lines = scored(out)
    assert [{key: line[key] for key in row} for row, line in zip(ROWS, lines, strict=True)] == ROWS
    assert [(line["score"], line["verdict"], line["extracted"], line["format_ok"]) for line in lines] == [
        (1.0, "correct", "72", True),
        (1.0, "correct", "x+1", True),
        (0.0, "wrong", "73", False),
        (1.0, "correct", "1,072", True),
        (0.0, "no_answer", None, False),
        (0.0, "wrong", "\ud800", False),
    ]
    assert [line["parts"] for line in lines] == [{"reward": line["score"]} for line in lines]
    assert all(0 < line["seconds"] <= around for line in lines)
    for shown in ("correct", "3  50.0%", "no_answer", "99 % within", "slowest rows", str(out)):
        assert shown in text


def test_score_keeps_what_is_there(run, rows):
    assert run("score", rows)[0] == 0
    before = (rows.parent / "rows.scored.jsonl").read_bytes()
    code, _, err = run("score", rows)
    assert (code, len(errors(err))) == (2, 1)
    assert "rows.scored.jsonl exists already; choose another file, or overwrite it with --force" in err
    assert (rows.parent / "rows.scored.jsonl").read_bytes() == before


def test_score_with_a_reward_of_ones_own(run, tmp_path):
    path = tmp_path / "rows.jsonl"
    texts = ["fine", "sleep", "exit", "nan", "raise", "fine"]
    path.write_text("".join(json.dumps({"completion": text}) + "\n" for text in texts))
    code, text, _ = run("score", path, "--reward", f"{NASTY}:trouble", "--timeout", "0.5")
    assert code == 0
    lines = scored(tmp_path / "rows.scored.jsonl")
    assert [line["verdict"] for line in lines] == ["correct", "timeout", *["grader_error"] * 3, "correct"]
    assert [line["score"] for line in lines] == [1.0, None, None, None, None, 1.0]
    assert lines[4]["detail"].startswith(f"reward: raised ZeroDivisionError: of my own making ({NASTY}:")
    assert "timeout" in text


def test_score_gives_a_group_reward_its_groups(run, tmp_path):
    path = tmp_path / "rows.jsonl"
    texts = [("p", "aa"), ("p", "b"), ("q", "cc"), ("q", "ccc"), (None, "dddd")]
    path.write_text("".join(json.dumps({"prompt": prompt, "completion": text}) + "\n" for prompt, text in texts))
    assert run("score", path, "--reward", f"{NASTY}:shortest")[0] == 0
    assert [line["score"] for line in scored(tmp_path / "rows.scored.jsonl")] == [0.0, 1.0, 1.0, 0.0, 1.0]


def test_rows_of_a_group_may_stand_apart_and_come_back_in_their_order(run, tmp_path):
    path = tmp_path / "rows.jsonl"
    texts = [("p", "aa"), ("q", "cc"), ("p", "b"), ("q", "ccc"), ("p", "aaa")]
    path.write_text("".join(json.dumps({"prompt": prompt, "completion": text}) + "\n" for prompt, text in texts))
    assert run("score", path, "--reward", f"{NASTY}:shortest")[0] == 0
    lines = scored(tmp_path / "rows.scored.jsonl")
    assert [(line["prompt"], line["completion"]) for line in lines] == texts
    assert [line["score"] for line in lines] == [0.0, 1.0, 1.0, 0.0, 0.0]
    found = json.loads((tmp_path / "rows.scored.summary.json").read_text())
    assert (found["num_problems"], found["n"]) == (2, 3)  # the problems of the summary are the groups of the reward


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (
            b'{"completion": "a", "answer": "1"}\n{"completion": "a"}\n',
            ["rows.jsonl:2: no 'answer'; the row has completion"],
        ),
        (
            b'{"answer": "1"}\n[1]\n\n{"completion": 5, "answer": "1"}',
            ["rows.jsonl:1: no 'completion' or 'response'; the row has answer (and 2 more bad rows)"],
        ),
        (b'{"completion": "a", "answer": "\xff"}', ["rows.jsonl:1: not UTF-8 (invalid start byte at byte 31)"]),
        (
            b'{"completion": 5, "answer": "1"}',
            ["rows.jsonl:1: the completion is neither text nor a list of chat messages"],
        ),
        (b'{"completion": "a", "answer": "so ####"}', ["rows.jsonl:1: answer='so ####' has no gold answer"]),
        (b'{"completion": "a", "answer": "1", "style": "box"}', ["rows.jsonl:1: style='box'; did you mean boxed?"]),
        (b"{", ["rows.jsonl:1: no JSON (Expecting property name"]),
        (b"", ["rows.jsonl has no rows"]),
        (b"{\n" * 14, ["rows.jsonl:1: no JSON"]),
    ],
)
def test_bad_rows_are_named_and_nothing_is_written(run, tmp_path, content, lines):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    code, _, err = run("score", path)
    assert code == 2
    found = errors(err)
    assert len(found) == len(lines)
    for line, expected in zip(found, lines, strict=True):
        assert line.replace(f"{tmp_path}/", "").startswith(f"error: {expected}")
    assert not (tmp_path / "rows.scored.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--reward", "mth"], "error: --reward: there is no reward 'mth'; did you mean math?"),
        (["--reward", "nothing.py:f"], "error: --reward: there is no file nothing.py; write path.py:attr"),
        (["--arg", "style=box"], "error: math: there is no answer style 'box'; did you mean boxed?"),
        (["--arg", "style={a: 1, a: 2}"], "error: override 'style={a: 1, a: 2}' is not YAML: the key 'a' stands twice"),
        (["--arg", "styel=boxed"], "error: --reward: MathCorrect has no parameter 'styel'; did you"),
        (["--reward", "overlong", "--arg", "max_tokens=9", "--arg", "buffer=2"], "error: --reward needs a"),
        (["--reward", "countdown"], "error: --reward needs a column 'numbers' in every row; known:"),
    ],
)
def test_bad_arguments_are_one_line(run, rows, arguments, line):
    code, _, err = run("score", rows, *arguments)
    assert code == 2
    assert errors(err)[0].startswith(line)


def marks(text):
    """Name of each check -> ok, fails or n/a."""
    names = (
        "golds state themselves",
        "honest controls",
        "hostile completions",
        "again in a new process",
        "in reversed order",
        "single and batch",
        "hangs and crashes",
    )
    found = {
        name: line[len(name) :].split()[0] for line in text.splitlines() for name in names if line.startswith(name)
    }
    assert set(found) <= set(names)
    return found


@pytest.mark.slow
def test_check_passes_the_built_in_judge(run):
    code, text, _ = run("check", "--reward", "math")
    assert code == 0
    assert set(marks(text).values()) == {"ok"}
    assert len(marks(text)) == 7
    assert "1260 of 1260 not graded correct" in text
    assert "600 of 600 graded correct" in text


@pytest.mark.slow
def test_check_of_a_form_asks_nothing_about_right_and_wrong(run):
    code, text, _ = run("check", "--reward", "boxed_format")
    assert (code, len(marks(text))) == (0, 4)


BAD = """
import os, random, re
from itertools import count
from doubleback.rewards.contract.functions import per_group

def substring(completions, answer, **columns):
    return [float(gold in text) for text, gold in zip(completions, answer, strict=True)]

def random_each_time(completions, **columns):
    return [random.random() for _ in completions]

number = count()
def by_position(completions, **columns):
    return [float(row) for row, _ in enumerate(completions)]

def quadratic(completions, **columns):
    return [float(bool(re.search(r"(.*)*72$", text))) for text in completions]

def crashes(completions, **columns):
    if "$" in completions[0]:
        os._exit(1)
    return [1.0 if "72" in completions[0] else 0.0]
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "arguments", "failing", "shown"),
    [
        (
            "substring",
            ["--style", "think_answer"],
            {"hostile completions", "honest controls"},
            "hedge, think_answer: '72 or 73' for '72'",
        ),
        # The draws of a call depend on its completions: alone the same in any process, in a batch others.
        ("random_each_time", ["--style", "hash", "--form"], {"single and batch", "in reversed order"}, " the same"),
        ("by_position", ["--style", "hash", "--form"], {"single and batch", "in reversed order"}, " the same"),
        ("quadratic", ["--timeout", "0.05", "--form"], {"hangs and crashes"}, "left out after 5 timeouts"),
        ("crashes", ["--style", "hash"], {"hangs and crashes"}, "grader_error, the worker ended with exit code 1"),
    ],
)
def test_check_finds_what_is_wrong_with_a_reward(run, tmp_path, function, arguments, failing, shown):
    (tmp_path / "bad.py").write_text(BAD)
    code, text, _ = run("check", "--reward", f"{tmp_path}/bad.py:{function}", *arguments)
    assert code == 1
    assert failing <= {name for name, mark in marks(text).items() if mark == "fails"}
    assert shown in " ".join(text.split())


@pytest.mark.slow
def test_check_with_data_of_ones_own(run, tmp_path):
    path = tmp_path / "golds.jsonl"
    golds = ["$\\frac{1}{2n+2}$", "t(0,4]", "5"]
    path.write_text("".join(json.dumps({"question": "?", "answer": gold}) + "\n" for gold in golds))
    code, text, _ = run("check", "--reward", "math", "--data", path)
    assert code == 0
    assert "44 of 44 graded correct" in text
    assert "1 of 3 golds can be matched as text only: line 2 t(0,4]" in text


def test_check_says_which_column_is_missing_and_how_to_give_it(run, tmp_path):
    code, _, err = run("check", "--reward", "countdown")
    assert (code, errors(err)) == (
        2,
        ["error: --reward: the reward needs a column 'numbers'; give rows that have it with --data FILE"],
    )
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"completion": "<answer> 3 * 5 </answer>", "numbers": [3, 5], "target": 15}) + "\n")
    code, text, _ = run("check", "--reward", "countdown", "--data", path)
    assert code == 0
    assert "1 of 1 the same" in text


def test_check_wants_one_thing(run):
    for arguments in ([], ["countdown", "--reward", "math"]):
        code, _, err = run("check", *arguments)
        assert (code, errors(err)) == (2, ["error: check wants a RECIPE or --reward NAME, and not both"])


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_reward_of_form_shows_nothing_of_answers(run, tmp_path):
    """Nobody asked for a form of an answer: no strict reading, no share that keeps it."""
    rows = write(tmp_path / "form.jsonl", [{"completion": "x" * length} for length in (1, 300)])
    (tmp_path / "mine.py").write_text("def f(completions, **columns):\n    return [1.0] * len(completions)\n")
    code, text, err = run("score", rows, "--reward", f"{tmp_path}/mine.py:f")
    assert code == 0, err
    assert "pass@1" in text
    assert not [shown for shown in ("strict", "flexible", "format kept") if shown in text]


def test_the_verdicts_of_the_harness_are_compared_with_ours(run, tmp_path):
    """Of four documents both say right once and wrong once, and each alone says right once."""
    said = [("#### 1", 1.0), ("#### 2", 0.0), ("#### 1", 0.0), ("#### 2", 1.0)]
    log = [
        {
            "doc_id": n,
            "doc": {"question": "?"},
            "target": "1",
            "resps": [[text]],
            "filter": "none",
            "exact_match": match,
        }
        for n, (text, match) in enumerate(said)
    ]
    code, text, err = run("score", write(tmp_path / "log.jsonl", log))
    assert code == 0, err
    (line,) = [" ".join(line.split()) for line in text.splitlines() if "as the harness" in line]
    assert line == "as the harness (1 right here alone, 1 right there alone) 2 50.0%"
