"""Lines of ours, of which nothing is read that nobody asked for."""

import pytest

from doubleback.recipes.report.stored import StoredLines
from doubleback.rewards.jsonl import to_lines
from doubleback.rewards.types import ConfigError

NASTY = ('x, "score": 7, ', '", "score": 7,', "\\", '\\", "score": null}', '"', "]}", "\n", "é\ud800", "")


def stored(path, rows):
    path.write_bytes(to_lines(rows, is_gzipped=path.suffix == ".gz"))
    return StoredLines(path)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_values_are_those_of_the_whole_line_whatever_its_texts_look_like(tmp_path, name):
    rows = [
        {"step": 1, "problem": text, "completion": text, "score": score, "verdict": text, "token_ids": [1, 2]}
        for text, score in zip(NASTY, (1.5, None, -1e-9, 0, 2, 1e22, True, False, 3), strict=True)
    ]
    lines = stored(tmp_path / name, rows)
    assert len(lines) == len(rows)
    assert [lines.line(place) for place in range(len(rows))] == rows
    for key in ("step", "problem", "completion", "score", "verdict", "token_ids", "no such key"):
        assert lines.values(key) == [row.get(key) for row in rows]
    assert lines.columns(("problem", "score")) == [{key: row[key] for key in ("problem", "score")} for row in rows]


def test_of_two_keys_of_one_name_the_first_is_taken_wherever_it_stands(tmp_path):
    rows = [{"score": 1, "parts": {"score": 2}}, {"score": 3}]
    assert stored(tmp_path / "rows.jsonl", rows).values("score") == [1, 3]


def test_a_value_parses_no_line_that_has_it(tmp_path, monkeypatch):
    lines = stored(tmp_path / "rows.jsonl", [{"problem": "p", "score": 1.0}] * 3 + [{"problem": "p", "parts": {}}])
    parsed = []
    monkeypatch.setattr(StoredLines, "line", lambda self, place: parsed.append(place) or {"score": None})
    assert lines.values("problem") == ["p"] * 4
    assert lines.values("score") == [1.0, 1.0, 1.0, None]
    assert parsed == [3]


def test_a_torn_end_is_left_out_a_line_that_is_no_object_is_named_and_no_file_has_no_lines(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"problem": "a"}\n[]\n{"problem": "b"')
    lines = StoredLines(path)
    assert len(lines) == 2
    with pytest.raises(ConfigError, match=r"rows.jsonl:2: no JSON object, but list"):
        lines.values("problem")
    assert len(StoredLines(tmp_path / "absent.jsonl")) == 0
