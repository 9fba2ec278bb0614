"""Forty texts that mean something to rich or a terminal, through every command that shows text of others."""

import json

import pytest
from support.payloads import PAYLOADS, commands_in

from doubleback.rewards.visible import visible


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


ENCODABLE = [text for text in PAYLOADS if "\ud800" not in text]
"""A question with a lone surrogate is refused by its row."""

ENGINES = pytest.mark.parametrize("engine", ["transformers", pytest.param("vllm", marks=pytest.mark.slow)])


def is_text(out, err):
    """Whether nothing in an output would be obeyed."""
    return commands_in(out) | commands_in(err) == set() and "Traceback" not in err


@pytest.fixture
def questions(tmp_path):
    rows = [{"question": f"{text} What is {n} plus 1?", "answer": f"#### {n + 1}"} for n, text in enumerate(ENCODABLE)]
    return write(tmp_path / "questions.jsonl", rows)


def test_score(run, tmp_path):
    rows = [{"completion": f"{text}{text}", "answer": "1", "problem": text} for text in PAYLOADS]
    code, out, err = run("score", write(tmp_path / "rows.jsonl", rows))
    assert code == 0, err
    assert is_text(out, err)
    code, out, err = run("score", write(tmp_path / "other.jsonl", [{text: 1} for text in reversed(PAYLOADS)]))
    assert code == 2
    assert is_text(out, err)
    assert "%s %d {0}" in err


@pytest.mark.slow
def test_score_with_a_reward_that_raises_them(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("def f(completions, **columns):\n    raise ValueError(completions[0])\n")
    rows = [{"completion": text} for text in PAYLOADS]
    _, out, err = run("score", write(tmp_path / "rows.jsonl", rows), "--reward", "mine.py:f")
    assert is_text(out, err)
    _, out, err = run("check", "--reward", "mine.py:f")
    assert is_text(out, err)


@pytest.mark.slow
@ENGINES
def test_eval_and_compare(run, questions, text_model, tmp_path, engine):
    arguments = ["--suite", "gsm8k", "--data", questions, "--engine", engine, "--max-tokens", "4"]
    for name, seed in (("a", 0), ("b", 1)):
        out_folder = tmp_path / f"[{name}]"
        code, out, err = run(
            "eval", text_model["none"], *arguments, "--limit", "40", "--seed", seed, "--out", out_folder
        )
        assert code == 0, err
        assert is_text(out, err)
    code, out, err = run("compare", tmp_path / "[a]", tmp_path / "[b]")
    assert code == 0, err
    assert is_text(out, err)


@pytest.mark.slow
@ENGINES
def test_check_and_train(run, questions, tmp_path, engine):
    test = write(tmp_path / "test.jsonl", [{"question": f"[/INST]\x1b[2J {n}?", "answer": str(n)} for n in (2, 3)])
    rows = [
        f"task.train={questions}",
        f"task.test={test}",
        "task.validation_problems=8",
        "description='[/INST] $x_{'",
        "task.prompt='{question}'",
    ]
    small = [
        "tiny=true",
        "steps=1",
        f"engine.name={engine}",
        "sampling.max_tokens=4",
        "model.max_length=256",
    ]
    few = [
        "rollout.prompts_per_step=2",
        "sampling.group_size=2",
        "eval.n=1",
        "eval.k=[1]",
        "eval.validation_problems=2",
    ]
    command = ["gsm8k", *rows, *small, *few, "reward.components={math: 1.0}"]
    code, out, err = run("check", *command)
    assert code == 0, err
    assert is_text(out, err)
    code, out, err = run("train", *command, "--out", tmp_path / "[run]")
    assert code == 0, err
    assert is_text(out, err)
    assert visible("problem [/INST]\x1b[2J") in out


@pytest.mark.parametrize("payload", PAYLOADS)
def test_what_a_user_types(run, payload):
    if "\x00" in payload:
        return  # no argument can hold it
    for command in (["train", payload], ["train", "countdown", f"steps={payload}"], ["check", "--reward", payload]):
        code, out, err = run(*command)
        assert code == 2
        assert is_text(out, err)
