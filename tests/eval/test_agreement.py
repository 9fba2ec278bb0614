"""tests/bench/agreement: an evaluation beside lm-evaluation-harness's log and inspect's, on hand-made ones."""

import json

import pytest
from bench.agreement import compare
from bench.agreement.rows import (
    Reading,
    common,
    differing,
    first_difference,
    of_inspect,
    of_lm_harness,
    ours,
    share,
    why,
)

from doubleback.eval.show.console import Console
from doubleback.rewards.types import ConfigError

STOP = ["Question:", "</s>"]
ROWS = [  # question, our completion, the harness's, flexible and strict verdicts there, what its filters took
    ("a?", " 2 + 3 = 5\n#### 5", " 2 + 3 = 5\n#### 5", (1, 1), ("5", "5")),
    ("b?", " It is 5.00\n#### 5.00", " It is 5.00\n#### 5.00", (0, 0), ("5.00", "5.00")),
    ("c?", "#### 5\n\nSo 12 are left.", "#### 5\n\nSo 12 are left.", (0, 1), ("12", "5")),
    ("d?", " They are 5.", " They are 6.", (0, 0), ("6.", "[invalid]")),
]


def write(path, lines):
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


@pytest.fixture
def evaluation(tmp_path):
    """What `doubleback eval` leaves: every answer is 5, read flexibly and by its hashes."""
    settings = {"n": 1, "style": "hash", "stop": STOP, "max_tokens": 256, "temperature": 0.0}
    write(tmp_path / "summary.json", [settings])
    columns = [{"question": question, "answer": "#### 5"} for question, *_ in ROWS]
    problems = [{"id": row["question"], "prompt": f"Q: {row['question']}", "columns": row} for row in columns]
    write(tmp_path / "problems.jsonl", problems)
    strict = [1.0, 1.0, 1.0, 0.0]
    lines = [
        {"problem": row[0], "completion": row[1], "parts": {"flexible": 1.0, "strict": score}, "verdict": "correct"}
        for row, score in zip(ROWS, strict, strict=True)
    ]
    write(tmp_path / "samples.jsonl", lines)
    return tmp_path


@pytest.fixture
def log(tmp_path):
    """What the harness leaves: a line for each question and each filter."""
    options = {"until": STOP, "max_gen_toks": 256, "do_sample": False, "temperature": 0.0}
    lines = []
    for number, (question, _, text, verdicts, taken) in enumerate(ROWS):
        for name, verdict, answer in zip(("flexible-extract", "strict-match"), verdicts, taken, strict=True):
            request = {"arg_0": f"Q: {question}", "arg_1": options}
            line = {"doc_id": number, "doc": {"question": question, "answer": "#### 5"}, "target": "#### 5"}
            line |= {"arguments": {"gen_args_0": request}, "resps": [[text]], "filtered_resps": [answer]}
            lines.append({**line, "filter": name, "exact_match": float(verdict)})
    return write(tmp_path / "lm_eval.jsonl", lines)


def test_shares_and_reasons_row_by_row(evaluation, log):
    mine, theirs = ours(evaluation), of_lm_harness(log)
    assert common(mine, theirs) == ["a?", "b?", "c?", "d?"]
    assert [share(side, name, list(mine)) for side in (mine, theirs) for name in ("strict", "flexible")] == [
        0.75,
        1.0,
        0.5,
        0.25,
    ]
    assert [mine[question].asked == theirs[question].asked for question in mine] == [True] * 4
    assert [mine[question].prompt == theirs[question].prompt for question in mine] == [True] * 4
    assert [(row.number, row.reading, row.reason) for row in differing(mine, theirs)] == [
        (1, "flexible", "the same number, compared as text by them"),
        (1, "strict", "the same number, compared as text by them"),
        (2, "flexible", "the answer is read at another place"),
        (3, "flexible", "another completion"),
    ]


def test_inspect_has_one_reading_of_our_completions(evaluation, tmp_path):
    def sample(question, text, value, answer):
        message = {"message": {"role": "assistant", "content": text}}
        score = {"match": {"value": value, "answer": answer}}
        return {"id": question, "input": question, "output": {"choices": [message]}, "scores": score}

    said = [("C", "5"), ("C", "5"), ("I", "12"), ("C", "5")]
    samples = [sample(*row[:2], *words) for row, words in zip(ROWS, said, strict=True)]
    path = tmp_path / "log.json"
    path.write_text(json.dumps({"status": "success", "samples": samples}))
    rows = differing(ours(evaluation), of_inspect(path))
    assert [(row.number, row.reading, row.theirs) for row in rows] == [(2, "flexible", Reading(False, "12"))]
    path.write_text(json.dumps({"status": "started", "samples": samples[:1]}))
    with pytest.raises(ConfigError, match=r"log\.json: inspect's run has the status started; grade again"):
        of_inspect(path)


def test_the_command_prints_what_agrees_and_what_does_not(evaluation, log, monkeypatch, capsys):
    monkeypatch.setattr(compare, "Console", lambda: Console(width=200))
    monkeypatch.setattr("sys.argv", ["compare.py", str(evaluation), "--lm-eval", str(log)])
    compare.main()
    text = " ".join(capsys.readouterr().out.split())
    for shown in ("the same text │ 3 of 4", "strict: right │ 0.750 │ 0.500", "flexible: the same verdict │ 1 of 4"):
        assert shown in text
    assert "other completions" in text
    assert "character 10" in text
    assert "4 verdicts that differ: 2 x the same number, compared as text by them" in text


def test_restated_golds_are_shown_by_their_form(evaluation, log):
    """Of a stored text the log has no request."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    write(log, [{key: value for key, value in line.items() if key != "arguments"} for line in lines])
    problems = [json.loads(line) for line in (evaluation / "problems.jsonl").read_text().splitlines()]
    for problem, form in zip(problems, ("plain", "cents", "plain", "cents"), strict=True):
        problem["columns"]["form"] = form
    write(evaluation / "problems.jsonl", problems)
    console = Console(width=300, record=True)
    compare.show("other", (ours(evaluation), of_lm_harness(log)), console)
    text = " ".join(console.export_text().split())
    assert "the same prompt" not in text
    assert "│ plain │ 1.00 │ 1.00 │ 1.00 │ 0.50 │ 1 x the answer is read at another place │" in text
    assert "│ cents │ 0.50 │ 0.00 │ 1.00 │ 0.00 │ 2 x the same number" in text


def test_questions_of_one_side_alone_are_counted(evaluation, log):
    """The harness was asked the second to the fourth; their numbers stay those of our evaluation."""
    log.write_text("".join(f"{line}\n" for line in log.read_text().splitlines()[2:]))
    console = Console(width=200, record=True)
    compare.show("other", (ours(evaluation), of_lm_harness(log)), console)
    text = " ".join(console.export_text().split())
    assert "3 questions, and 1 and 0 that one side alone answered" in text
    assert "strict: right │ 0.667 │ 0.333" in text
    assert [row.number for row in differing(ours(evaluation), of_lm_harness(log))] == [1, 1, 2, 3]
    with pytest.raises(ConfigError, match="no question was answered by both"):
        common(ours(evaluation), {})


def test_a_log_without_a_filter_is_refused(log):
    lines = [line for line in log.read_text().splitlines() if "strict-match" not in line]
    log.write_text("".join(f"{line}\n" for line in lines))
    with pytest.raises(ConfigError, match="no line of filter strict-match"):
        of_lm_harness(log)


def test_a_verdict_that_is_neither_yes_nor_no_is_refused(log):
    log.write_text(log.read_text().replace('"exact_match": 1.0', '"exact_match": 0.5', 1))
    with pytest.raises(ConfigError, match=r"lm_eval\.jsonl:1: exact_match is neither 0 nor 1"):
        of_lm_harness(log)


def test_why_two_graders_differ():
    hedge = Reading(False, None, "extraction: a hedge: 5 and 6")
    assert why(hedge, Reading(True, "5")) == "we take no answer: a hedge"
    assert why(Reading(True, "5"), Reading(False, None)) == "they find no number where they look"
    assert why(Reading(True, "1,000"), Reading(False, "1000.")) == "the same number, compared as text by them"
    assert why(Reading(True, "five"), Reading(False, "7")) == "the answer is read at another place"


def test_where_two_sequences_part():
    assert first_difference([1, 2, 3], [1, 2, 4]) == 2
    assert first_difference("ab", "abc") == 2
    assert first_difference([], [1]) == 0
