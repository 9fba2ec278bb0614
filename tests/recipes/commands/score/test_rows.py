"""Rows of any form are graded, and bad ones left out where the command says so."""

import json

import datasets
import pytest
from support.commands import errors


def scored(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_bad_rows_are_left_out_when_told_and_counted(run, tmp_path):
    """A gold that cannot be read among them: one line for the file."""
    path = tmp_path / "rows.jsonl"
    golds = ["1", "so ####", "3", "####"]
    path.write_text("".join(json.dumps({"completion": "1", "answer": gold}) + "\n" for gold in golds), encoding="utf-8")
    code, _, err = run("score", path)
    (line,) = errors(err)
    assert code == 2
    assert line.endswith("(and 1 more bad rows) (--skip-bad leaves such rows out)")
    code, text, _ = run("score", path, "--skip-bad")
    assert code == 0
    assert f"2 rows left out: {path}:2: answer='so ####' has no gold answer" in text
    assert [line["answer"] for line in scored(tmp_path / "rows.scored.jsonl")] == ["1", "3"]


@pytest.mark.slow
def test_columns_of_a_table_are_graded(run, tmp_path):
    (tmp_path / "rows.csv").write_text('completion,answer\n\\boxed{72},72\n"a, b",3\n', encoding="utf-8")
    code, _, err = run("score", tmp_path / "rows.csv")
    assert code == 0, err
    assert [line["score"] for line in scored(tmp_path / "rows.scored.jsonl")] == [1.0, 0.0]


def test_rows_of_the_hub_are_graded_and_their_scores_lie_here(run, tmp_path, monkeypatch):
    """The problems of a run in this folder are not those of the rows."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "problems.jsonl").write_text('{"id": "a", "prompt": "?", "columns": {"answer": "9"}}\n')
    rows = [{"problem": "a", "completion": f"The answer is {number}.", "answer": "1"} for number in (1, 2)]
    asked = []

    def load(name, config, *, split, **options):
        asked.append((name, config, split))
        return rows

    monkeypatch.setattr(datasets, "load_dataset", load)
    code, _, err = run("score", "someone/rows:main:test")
    assert code == 0, err
    assert asked == [("someone/rows", "main", "test")]
    assert [line["score"] for line in scored(tmp_path / "rows-main-test.scored.jsonl")] == [1.0, 0.0]


def test_a_file_that_is_not_there_is_said_and_nothing_is_made_for_it(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = run("score", "nowhere/rows.jsonl")
    assert (code, errors(err)) == (2, ["error: nowhere/rows.jsonl: there is no such file or folder"])
    assert list(tmp_path.iterdir()) == []
