"""`doubleback harvest`: files of samples in, rows to imitate out."""

import json

import pytest
from support.commands import errors

SAMPLE = {"problem": "p", "sample": 0, "completion": "yes", "verdict": "correct", "score": 1.2, "detail": "equals 7"}


def file_of(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_what_is_kept_is_written_and_the_rest_counted(run, tmp_path):
    rows = [SAMPLE, {**SAMPLE, "sample": 1, "completion": "no", "verdict": "wrong"}, {**SAMPLE, "problem": 7}]
    path = file_of(tmp_path / "rows.jsonl", *rows)
    code, out, _ = run("harvest", path)
    kept = [json.loads(text) for text in (tmp_path / "rows.harvest.jsonl").read_text(encoding="utf-8").splitlines()]
    shown = {key: SAMPLE[key] for key in ("problem", "completion", "score", "verdict", "sample")}
    assert (code, kept) == (0, [shown, {**shown, "problem": "7"}])
    assert "2 of 2" in out
    code, _, err = run("harvest", path)
    assert (code, errors(err)[0].endswith("choose another file, or overwrite it with --force")) == (2, True)
    assert run("harvest", path, "--force")[0] == 0


@pytest.mark.parametrize(
    ("row", "code", "message"),
    [
        (
            {"problem": "p", "completion": "a"},
            2,
            "rows.jsonl:1: no 'verdict'; the row has problem, completion",
        ),
        ({**SAMPLE, "completion": ["a"]}, 2, "rows.jsonl:1: completion is no text; rows of other systems"),
        ({**SAMPLE, "verdict": ["correct"]}, 2, "rows.jsonl:1: verdict=['correct'] is not text; mend it"),
        ({**SAMPLE, "tokens": "3"}, 2, "rows.jsonl:1: tokens='3' is not a number of tokens"),
        ({**SAMPLE, "parts": [1]}, 2, "rows.jsonl:1: parts=[1] is not a number for each part"),
        ({**SAMPLE, "parts": {"format": "a"}}, 2, "rows.jsonl:1: parts={'format': 'a'} is not a number for each part"),
        ({**SAMPLE, "verdict": "wrong"}, 1, "rows.jsonl: no sample is worth imitating (1 wrong); nothing was written"),
    ],
)
def test_what_cannot_be_harvested_is_one_line(run, tmp_path, row, code, message):
    found, _, err = run("harvest", file_of(tmp_path / "rows.jsonl", row))
    assert found == code
    (line,) = err.splitlines()
    assert line.replace(f"{tmp_path}/", "").startswith(f"{'error' if code == 2 else 'stopped'}: {message}")
    assert not (tmp_path / "rows.harvest.jsonl").exists()
