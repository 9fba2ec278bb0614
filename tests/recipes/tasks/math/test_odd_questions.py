"""Questions whose rows are odd, through a whole training and a whole evaluation: they run, or a line names one."""

import json

import pytest
from support.commands import errors

RECIPE = """
description: "odd rows"
steps: 1
tiny: true
model: {path: olmoe-1b-7b, max_length: 256}
task: {name: math, train: %s, test: 0.34, validation_problems: 1, question: question, answer: answer}
reward: {components: {math: 1.0, format: 0.1}}
rollout: {prompts_per_step: 2}
sampling: {group_size: 2, max_tokens: 8}
eval: {n: 1, k: [1]}
engine: {name: transformers}
"""
SUITE = """
description: "odd rows"
source: %s
question: "{question}"
answer: answer
prompt: plain
max_tokens: 8
"""
NAMES_OF_SAMPLES = {"completion_ids": 5, "token_ids": "abc", "truncated": "perhaps", "tokens": "many", "gap": [1]}
ODD = [
    NAMES_OF_SAMPLES,
    {"sampler_logprobs": 5, "advantage": {}, "step": "first", "seed": None, "log_ratios": 5},
    {"completion": [{"role": 5}], "prompt": 5, "problem": {"a": 1}, "verdict": "correct", "score": "high"},
    {"numbers": "x", "target": [], "statements": 5, "levels": {}, "parts": 5, "weighted": "a"},
    {"note": "\ud800 \x1b[2J [INST] {question} {{ x }}", "self": 1, "function": 2, "sample_seeds": 3},
    {"detail": 5, "extracted": ["7"], "finish_reason": 5, "mode": 5, "adapter_hash": 5, "policy_version": "x"},
    {"completion_ids": None, "doc_id": {}, "resps": 5, "doc": []},
    {"teacher_logprobs": 5, "format_ok": "no", "seconds": "long", "sample": 1.5, "id": "\ud800"},
]


def written(folder, rows):
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "recipe.yaml").write_text(RECIPE % path, encoding="utf-8")
    (folder / "suite.yaml").write_text(SUITE % path, encoding="utf-8")
    return path


@pytest.mark.slow
def test_columns_with_names_and_types_of_all_kinds_are_trained_on_and_measured(run, tmp_path):
    rows = [{"question": f"[INST] {n} \x1b[2J?", "answer": str(n), **odd} for n, odd in enumerate(ODD)]
    written(tmp_path, rows)
    code, _, err = run("train", tmp_path / "recipe.yaml", "--out", tmp_path / "run")
    assert code == 0, err
    assert "Traceback" not in err
    suite = ["--suite", tmp_path / "suite.yaml", "--n", "2", "--engine", "transformers"]
    code, _, err = run("eval", tmp_path / "run", *suite, "--out", tmp_path / "eval")
    assert code == 0, err
    samples = [json.loads(line) for line in (tmp_path / "eval" / "samples.jsonl").read_text().splitlines()]
    assert {type(line["tokens"]) for line in samples} == {int}
    for command in ("report", "verify", "show"):
        code, _, err = run(command, tmp_path / "run")
        assert (code, "Traceback" in err) == (0, False), err
    code, _, err = run("score", tmp_path / "run", "--reward", "math", "--out", tmp_path / "scored.jsonl")
    assert (code, "Traceback" in err) == (0, False), err


def test_a_question_that_the_model_has_no_words_for_is_named_before_it_is_loaded(run, tmp_path):
    written(tmp_path, [{"question": "How many legs?", "answer": "8"}])
    suite = ["--suite", tmp_path / "suite.yaml", "--n", "1", "--engine", "transformers"]
    code, _, err = run("eval", "bundled:countdown", *suite, "--out", tmp_path / "eval")
    (line,) = errors(err)
    assert code == 2
    assert "the model's tokenizer cannot read the prompt 'How many legs?" in line
    assert line.endswith("take a model whose vocabulary has its words")
    assert "Traceback" not in err
