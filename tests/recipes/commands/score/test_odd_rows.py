"""Rows that are odd: graded, or named by their line in few words. Never a traceback, and never after all was graded."""

import json

import pytest
from support.commands import call, errors

from doubleback.eval.suites.suite import load_suite
from doubleback.recipes import load_recipe
from doubleback.rewards.jsonl import MAX_NESTING, keys_in_words, line_values
from doubleback.rewards.types import ConfigError
from doubleback.rewards.workers.pool import SYMBOLIC, WorkerPool

GOOD = {"completion": "The answer is 72.", "answer": "72", "question": "How many?"}
DEEP = "[" * 900 + "]" * 900
DIGITS = "7" * 4000


def line(**fields):
    return json.dumps(GOOD | fields)


FINE = {
    "lone surrogates": line(completion="\ud800 The answer is \ud83d 72.", prompt="\udfff"),
    "a gold that is none of any alphabet": line(answer="\ud800"),
    "4,000 digits": line(answer=DIGITS),
    "4,000 digits as a number": line().replace('"72"', DIGITS),
    "escape sequences": line(completion="\x1b]52;c;cm0=\x1b\\\x1b[2J\rThe answer is 72."),
    "marks of a chat": line(completion="[INST] hi [/INST] The answer is 72."),
    "names that a call has": line(
        completions="x", prompts="y", sample_seeds=1, self=1, columns=2, function=3, samples=4
    ),
    "columns of another task": line(numbers="1 2 3", target="x", statements=5),
    "the same, nested": line(numbers={"a": 1}, target=[1], statements=[[1]]),
    "a message of parts": line(completion=[{"role": "assistant", "content": [{"type": "text", "text": "72"}]}]),
    "a message without content": line(completion=[{"role": "assistant", "content": None}]),
    "nested as deep as rows may be": line().replace("}", ', "x": ' + "[" * 99 + "]" * 99 + "}"),
}
BAD = {
    "a deep answer": (line().replace('"72"', DEEP), f"nested more than {MAX_NESTING} deep"),
    "a deep column": (line().replace("}", f', "x": {DEEP}}}'), f"nested more than {MAX_NESTING} deep"),
    "a very deep column": (
        line().replace("}", ', "x": ' + '{"a":' * 10**5 + "1" + "}" * 10**5 + "}"),
        "nested more than",
    ),
    "5,000 digits": (line().replace('"72"', DIGITS + "7" * 1000), "no JSON (Exceeds the limit"),
    "a gold that is a truth": (line(answer=True), "answer=True is no gold answer"),
    "a key twice": ("{" + ", ".join(['"' + "k" * 9000 + '": 1'] * 2) + "}", "no JSON (the key 'kkk"),
    "long keys": (json.dumps({"k" * 9000: 1}), "no 'completion' or 'response'; the row has kkk"),
    "many keys": (json.dumps({str(n): 1 for n in range(20_000)}), "no 'completion' or 'response'; the row has 0, 1, 2"),
    "no object": ("[1]", "no JSON object, but list"),
    "prompt": (line(prompt=5), "prompt=5 is neither text nor chat messages"),
    "question": (line(question=["q" * 9000]), "question=['qqq"),
    **{
        name: (line(**{name: value}), f"{name}={value!r} is not ")
        for name, value in {
            "problem": {"a": 1},
            "id": [1],
            "step": {},
            "sample": 1.5,
            "token_ids": "abc",
            "completion_ids": 5,
            "tokens": "many",
            "finish_reason": 3,
            "truncated": "perhaps",
            "is_truncated": 7,
            "verdict": [],
            "thinking": "maybe",
            "thinking_convention": 5,
        }.items()
    },
    "style": (line(style=5), "style=5; known: "),
    "another style": (line(style="boxd"), "style='boxd'; did you mean boxed?"),
    "convention": (line(thinking_convention="zzz"), "thinking_convention='zzz' is no convention of thinking"),
    "a log of the harness": (
        '{"doc_id": 0, "doc": {"question": ["q"]}, "resps": [["7"]], "target": "7"}',
        "question=['q']",
    ),
    "another log": (
        '{"doc_id": {"a": 1}, "doc": {"question": "q"}, "resps": [["7"]], "target": "7"}',
        "doc_id={'a': 1}",
    ),
    "a third log": (
        '{"doc_id": 0, "doc": {"question": "q"}, "resps": [[["7"]]], "target": "7"}',
        "resps holds no list",
    ),
}


def test_rows_that_are_odd_and_fine_are_graded(tmp_path, capsys):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(FINE.values()).encode("utf-8"))
    for more in ([], ["--reward", "format"], ["--reward", "reasoning_off"]):
        assert call("score", path, "--force", *more) in ((0,) if more != ["--reward", "reasoning_off"] else (1,))
    assert "\x1b" not in capsys.readouterr().out
    assert len((tmp_path / "rows.scored.jsonl").read_text().splitlines()) == len(FINE)


@pytest.mark.parametrize(("text", "said"), BAD.values(), ids=BAD)
def test_a_bad_row_is_named_by_its_line_in_few_words(tmp_path, capsys, monkeypatch, text, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text(text + "\n")
    assert call("score", "rows.jsonl") == 2
    (error,) = errors(capsys.readouterr().err)
    assert error.startswith(f"error: rows.jsonl:1: {said}")
    assert len(error) < 500


OF_REWARDS = {
    ("countdown", "numbers"): ["1 2 3", {"a": 1}, [1, "2"], [1.5], None],
    ("countdown", "target"): ["x", [1], 1.5, None],
    ("knights", "statements"): [5, "x", [1], [["a"]], None],
}


@pytest.mark.parametrize(("reward", "name"), OF_REWARDS)
def test_columns_that_a_built_in_reward_reads_are_typed_by_line(tmp_path, capsys, monkeypatch, reward, name):
    """Where that reward grades alone: elsewhere they are anybody's."""
    monkeypatch.chdir(tmp_path)
    sound = {"numbers": [3, 5], "target": 8, "statements": ["B-lies", "A-lies"]}
    for value in OF_REWARDS[reward, name]:
        (tmp_path / "rows.jsonl").write_text(line(**sound) + "\n" + line(**sound | {name: value}) + "\n")
        assert call("score", "rows.jsonl", "--reward", reward) == 2
        (error,) = errors(capsys.readouterr().err)
        assert error.startswith(f"error: rows.jsonl:2: {name}={value!r} is not ")


OF_PROBLEMS = {
    "half a character": ({"question": "what is \ud800?"}, r"the question holds half a character, '\ud800'"),
    "half a character said before": (
        {"question": [{"role": r, "content": "\udfff"} for r in ("user", "assistant", "user")]},
        r"the question holds half a character, '\udfff'",
    ),
    "no question": ({"question": ["a"]}, "the question is list, neither text nor a chat message"),
    "style": ({"style": 5}, "style=5; known: "),
    "convention": ({"thinking_convention": 5}, "thinking_convention=5 is not text"),
    "thinking": ({"thinking": "maybe"}, "thinking='maybe' is not true or false"),
}


@pytest.mark.parametrize(("fields", "said"), OF_PROBLEMS.values(), ids=OF_PROBLEMS)
def test_a_problem_is_held_to_the_same_types_in_training_and_in_suites(tmp_path, monkeypatch, fields, said):
    monkeypatch.chdir(tmp_path)
    rows = [GOOD | {"question": f"How many, of {n}?"} for n in range(12)]
    lines = [json.dumps(row) for row in [rows[0] | fields, *rows[1:]]]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(ConfigError) as caught:
        load_suite("gsm8k", tmp_path / "rows.jsonl")
    assert str(caught.value).startswith(f"{tmp_path / 'rows.jsonl'}:1: {said}")
    given = {"task.train": "rows.jsonl", "task.test": 0.2, "task.validation_problems": 2}
    with pytest.raises(ConfigError) as caught:
        load_recipe("gsm8k", given).task.splits()
    assert str(caught.value).startswith(f"rows.jsonl:1: {said}")


def test_keys_are_cut():
    assert keys_in_words({}) == "no keys"
    assert keys_in_words(["a", "b"]) == "a, b"
    assert keys_in_words(["k" * 1000]) == "k" * 100 + " ..."
    assert len(keys_in_words(map(str, range(10**6)))) < 350


@pytest.mark.parametrize(
    ("text", "is_deep"),
    [
        (b"[" * 100 + b"]" * 100, False),
        (b"[" * 101 + b"]" * 101, True),
        (b"[" + b'{"a": [[]]},' * 300 + b"1]", False),
        (b'"' + b"[" * 300 + b'"', False),
        (b'{"a\\"' + b"[" * 300 + b'": 1}', False),
    ],
)
def test_brackets_count_where_they_nest(text, is_deep):
    ((_, value),) = line_values(text)
    assert isinstance(value, ValueError) is is_deep


def test_a_column_that_cannot_travel_is_a_fault_of_its_completion():
    from support.rewarding import samples

    deep = []
    for _ in range(100_000):
        deep = [deep]
    with WorkerPool((SYMBOLIC,)) as pool:
        for column in (deep, lambda: None):
            (fault,) = pool.submit("symbolic", samples("72", x=[column])).result()
            assert (fault.value, fault.verdict) == (None, "grader_error")
            assert fault.detail.startswith("a column cannot be sent to a worker: ")
