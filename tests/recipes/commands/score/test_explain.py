"""`doubleback score FILE --explain`: what four graders say, where they differ, and by which rule."""

import json

import pytest
from support.commands import errors
from support.payloads import PAYLOADS, commands_in

ROWS = [
    {"completion": r"So $\boxed{12}$.", "answer": "12"},
    {"completion": "The answer is 12. Hope this answer is helpful!", "answer": "12"},
    {"completion": r"It is $\boxed{5\text{ m}}$.", "answer": r"5\text{ cm}"},
    {"completion": r"It is $\boxed{3 \cdot 24}$.", "answer": "72"},
    {"completion": r"It is $\boxed{4 \cdot 24}$.", "answer": "96"},
    {"completion": r"$\boxed{x+1}$", "answer": "1+x"},
    {"completion": "#### 1,250", "answer": "1250", "style": "hash"},
    {"completion": "I cannot tell.", "answer": "12"},
]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def explained(run, tmp_path):
    code, out, err = run("score", write(tmp_path / "rows.jsonl", ROWS), "--explain")
    assert code == 0, err
    lines = (tmp_path / "rows.scored.explained.jsonl").read_text().splitlines()
    return out, {line["line"]: line for line in map(json.loads, lines)}


def test_the_rows_on_which_graders_differ_have_all_four_side_by_side(explained):
    out, lines = explained
    assert "4 of 8 rows on which the graders differ" in out
    assert {
        line: [item[name]["verdict"] for name in ("strict", "flexible", "math-verify", "ours")]
        for line, item in lines.items()
    } == {
        2: ["no_answer", "correct", "correct", "correct"],
        3: ["wrong", "wrong", "correct", "wrong"],
        4: ["wrong", "wrong", "correct", "wrong"],
        5: ["wrong", "wrong", "correct", "wrong"],
    }
    unit = lines[3]
    assert unit["ours"] == {"answer": r"5\text{ m}", "verdict": "wrong", "rule": "guard: another unit"}
    assert unit["math-verify"] == {"answer": "5", "verdict": "correct", "rule": "5 is 5"}
    assert (unit["completion"], unit["answer"]) == (ROWS[2]["completion"], ROWS[2]["answer"])
    shown = [line.split() for line in out.splitlines()]
    assert ["math-verify", "5", "correct", "5", "is", "5"] in shown
    assert ["ours", r"5\text{", "m}", "wrong", "guard:", "another", "unit"] in shown


def test_disagreements_are_counted_by_kind_the_most_frequent_first(explained):
    table = explained[0].partition("disagreements by kind")[2].splitlines()
    rows = [line.split() for line in table if line.split() and line.split()[0].isdigit()]
    assert rows[0] == ["2", "wrong", "wrong", "correct", "wrong", "guard:", "unevaluated"]
    assert sorted(row[0] for row in rows) == ["1", "1", "2"]


def test_a_reward_of_ones_own_is_explained_too(run, tmp_path):
    (tmp_path / "mine.py").write_text("def yes(completions, **columns):\n    return [1.0] * len(completions)\n")
    rows = write(tmp_path / "rows.jsonl", ROWS)
    assert run("score", rows, "--reward", f"{tmp_path}/mine.py:yes", "--explain")[0] == 0
    lines = [json.loads(line) for line in (tmp_path / "rows.scored.explained.jsonl").read_text().splitlines()]
    assert 8 in [line["line"] for line in lines]
    assert {line["ours"]["verdict"] for line in lines} == {"correct"}


def test_a_row_without_a_gold_is_refused_before_anything_is_graded(run, tmp_path):
    rows = write(tmp_path / "rows.jsonl", [ROWS[0], {"completion": "a"}])
    code, _, err = run("score", rows, "--reward", "format", "--explain")
    assert (code, len(errors(err))) == (2, 1)
    assert "rows.jsonl:2: no 'answer'; the row has completion" in err
    assert not (tmp_path / "rows.scored.jsonl").exists()


def test_what_is_explained_is_shown_as_text(run, tmp_path):
    """Answers, golds and rules of others, in front of a box that math-verify alone takes for the gold."""
    rows = [{"completion": f"The answer is {text}.", "answer": text} for text in PAYLOADS if text.strip("\ud800")]
    code, out, err = run("score", write(tmp_path / "rows.jsonl", rows), "--explain", "--skip-bad")
    assert code == 0, err
    assert "rows on which the graders differ" in out
    assert commands_in(out) | commands_in(err) == set()


@pytest.mark.slow
def test_math_verify_that_does_not_end_is_a_timeout_of_its_own_row(run, tmp_path):
    rows = [{"completion": r"$\boxed{10^{10^{10}}}$", "answer": "12"}, ROWS[2]]
    code, out, err = run("score", write(tmp_path / "rows.jsonl", rows), "--explain", "--timeout", "1")
    assert code == 0, err
    assert "1 of 2 rows on which the graders differ" in out
