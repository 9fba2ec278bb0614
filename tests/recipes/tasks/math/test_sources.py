"""Several files, a held-out share, and rows that may be left out: each counted, and named by file and line."""

import json

import pytest
from support.commands import errors

from doubleback.recipes.tasks.math.task import Math
from doubleback.rewards.types import ConfigError

ROWS = [{"question": f"{n} {n} -> {2 * n}", "answer": str(2 * n)} for n in range(1, 41)]


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def to(name, rows):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return name

    return to


def ids(problems):
    return {problem.id for problem in problems}


def test_several_files_are_one_source(write):
    files = [write("a.jsonl", ROWS[:20]), write("b.jsonl", ROWS[20:])]
    splits = Math(name="math", train=files, test=write("c.jsonl", [{"question": "?", "answer": "1"}])).splits
    with pytest.raises(ConfigError, match=r"task.validation_problems=64 leaves none of the 40 problems"):
        splits()
    found = Math(name="math", train=files, test="c.jsonl", validation_problems=4).splits()
    assert [len(found.train), len(found.validation), len(found.test)] == [36, 4, 1]
    assert found.places[found.train[-1].id].startswith("b.jsonl:")


def test_a_share_is_held_out_by_the_question_alone(write):
    """Half of the file keeps each question where it is: what is tested is never trained on as the file grows."""
    whole = Math(name="math", train=write("a.jsonl", ROWS), test=0.3, validation_problems=2).splits()
    half = Math(name="math", train=write("b.jsonl", ROWS[::-2]), test=0.3, validation_problems=2).splits()
    assert 4 <= len(whole.test) <= 20
    assert ids(half.test) == ids(whole.test) & ids(half.everything)
    assert len(whole.everything) == 40
    with pytest.raises(ConfigError, match=r"task.test=1e-09 holds none of task.train=a.jsonl out; raise it"):
        Math(name="math", train="a.jsonl", test=1e-9, validation_problems=2).splits()


def test_duplicates_are_refused_by_file_or_left_out_and_named(write):
    twice = [*ROWS[:3], ROWS[0], ROWS[1]]
    settings = {"train": [write("a.jsonl", twice), write("b.jsonl", ROWS[:6])], "test": write("c.jsonl", ROWS[5:7])}
    with pytest.raises(ConfigError) as caught:
        Math(name="math", **settings).splits()
    first, second = str(caught.value).splitlines()
    assert first.startswith("a.jsonl:4: the same question as problem")
    assert first.endswith("at a.jsonl:1 (and 1 more bad rows); task.duplicates=skip leaves such rows out")
    assert second.startswith("b.jsonl:1: the same question")
    found = Math(name="math", duplicates="skip", validation_problems=1, **settings).splits()
    assert len(found.everything) == 7
    (lines,) = found.skipped.values()
    assert [line.partition(": ")[0] for line in lines] == [
        *["a.jsonl:4", "a.jsonl:5", "b.jsonl:1", "b.jsonl:2", "b.jsonl:3"],
        "b.jsonl:6",
    ]
    assert lines[-1] == "b.jsonl:6: the question is tested, at c.jsonl:1"


SMALL = ["model.path=bundled:countdown", "task.validation_problems=2", "reward.components={math: 1.0}"]


def test_long_prompts_are_refused_or_left_out_and_named(write, run, monkeypatch):
    """Through the command line, before a model is loaded."""
    from doubleback.recipes.commands import check

    def stop(*arguments):
        raise ConfigError("no further")

    monkeypatch.setattr(check, "assemble", stop)
    long = {"question": " ".join(["1"] * 600) + " -> 2", "answer": "2"}
    write("a.jsonl", [*ROWS[:8], long, {**long, "question": f"2 {long['question']}"}])
    write("t.jsonl", ROWS[8:10])
    command = ["check", "gsm8k", *SMALL, "task.train=a.jsonl", "task.test=t.jsonl", "task.prompt={question}"]
    sizes = ["model.max_length=256", "sampling.max_tokens=64"]
    code, _, err = run(*command, *sizes)
    (line,) = errors(err)
    assert code == 2
    assert line.startswith("error: a.jsonl:9: prompt of ")
    assert "(and 1 more bad rows); raise model.max_length, lower sampling.max_tokens, or leave" in line
    _, text, err = run(*command, *sizes, "task.overlong=skip")
    shown = " ".join(text.split())
    assert "6 train, 2 validation, 2 test" in shown
    assert "2 rows left out by task.overlong=skip: a.jsonl:9: prompt of" in shown
    assert errors(err) == ["error: no further"]
