"""What `doubleback score` writes, or refuses to: an output that exists, rows of which none could be judged."""

import json

import pytest
from support.commands import errors

REWARD = """
from pathlib import Path
Path(__file__).with_name("was_loaded").touch()

def letters(completions, **columns):
    return [float(len(text)) for text in completions]

def chat(completions, **columns):
    return [float(len(messages[0]["content"])) for messages in completions]

def raises(completions, **columns):
    raise ValueError("no licence")
"""


@pytest.fixture
def rows(tmp_path):
    (tmp_path / "mine.py").write_text(REWARD)
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"completion": text}) + "\n" for text in ("a", "bb", "ccc")))
    return path


def test_an_output_that_exists_is_refused_before_anything_is_loaded(run, rows, tmp_path):
    rows.write_text("no rows at all")
    out = tmp_path / "out.jsonl"
    out.write_text("of before")
    code, _, err = run("score", rows, "--reward", f"{tmp_path}/mine.py:letters", "--out", out)
    said = f"error: --out {out} exists already; choose another file, or overwrite it with --force"
    assert (code, errors(err)) == (2, [said])
    assert out.read_text() == "of before"
    assert not (tmp_path / "was_loaded").exists()


def test_force_overwrites(run, rows, tmp_path):
    out = tmp_path / "out.jsonl"
    out.write_text("of before")
    code, _, err = run("score", rows, "--reward", f"{tmp_path}/mine.py:letters", "--out", out, "--force")
    assert code == 0, err
    assert [json.loads(line)["score"] for line in out.read_text().splitlines()] == [1.0, 2.0, 3.0]


def test_where_no_row_could_be_judged_the_reason_is_said_and_nothing_written(run, rows, tmp_path):
    code, _, err = run("score", rows, "--reward", f"{tmp_path}/mine.py:raises")
    assert code == 1
    (line,) = [line for line in err.splitlines() if "lazy_loader" not in line and "open(stubfile)" not in line]
    said = "stopped: none of 3 rows could be judged, and nothing was written: reward: raised ValueError"
    assert line.startswith(said)
    assert "no licence" in line
    assert "--conversational" not in line
    assert not (tmp_path / "rows.scored.jsonl").exists()


def test_a_reward_that_reads_messages_is_told_of_conversational(run, rows, tmp_path):
    reward = ["--reward", f"{tmp_path}/mine.py:chat"]
    code, _, err = run("score", rows, *reward)
    assert code == 1
    assert err.splitlines()[-1].endswith("; it seems to read chat messages: try --conversational")
    code, _, err = run("score", rows, *reward, "--conversational")
    assert code == 0, err
    scores = [json.loads(line)["score"] for line in (tmp_path / "rows.scored.jsonl").read_text().splitlines()]
    assert scores == [1.0, 2.0, 3.0]
