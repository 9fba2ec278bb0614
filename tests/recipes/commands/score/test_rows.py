"""Rows of any form are graded, and bad ones left out where the command says so."""

import json

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


def test_columns_of_a_table_are_graded(run, tmp_path):
    (tmp_path / "rows.csv").write_text('completion,answer\n\\boxed{72},72\n"a, b",3\n', encoding="utf-8")
    code, _, err = run("score", tmp_path / "rows.csv")
    assert code == 0, err
    assert [line["score"] for line in scored(tmp_path / "rows.scored.jsonl")] == [1.0, 0.0]
