"""A chat recipe trains through the tokenizer's own template, with thinking on and off, and knows what that opened."""

import json

import pytest
from support.models.text import make_text_model

from doubleback.eval.show.console import Console
from doubleback.recipes import evaluate, load_recipe, train
from doubleback.recipes.recipe.assembly import prepare
from doubleback.rewards.jsonl import complete_lines

ROWS = [
    {"question": f"Ann has {n} beads and buys {n + 1} more. How many has she?", "answer": str(2 * n + 1)}
    for n in range(8)
]
TALK = [
    {"role": "system", "content": "Count well."},
    {"role": "user", "content": "Ann has 20 beads. How many has she?"},
    {"role": "assistant", "content": "\\boxed{20}"},
    {"role": "user", "content": "And if she buys 2 more?"},
]
PROMPT = r"""
description: "a worked example in turns of its own"
kind: chat
system: "You are good at sums."
examples: [{question: "Tom has 6 pens. How many has he?", answer: '\boxed{6}'}]
text: "{question} Put it into \\boxed{}."
style: boxed
"""
SMALL = {
    "steps": 2,
    "rollout.prompts_per_step": 2,
    "sampling.group_size": 2,
    "sampling.max_tokens": 12,
    "sampling.temperature": 1.5,
    "model.max_length": 512,
    "model.dtype": "float32",
    "lora.rank": 2,
    "eval.validation_problems": 2,
    "eval.test_problems": 2,
    "eval.n": 1,
    "eval.k": [1],
    "sync.num_canaries": 1,
    "task.train": [*ROWS, {"question": TALK, "answer": "22"}],
    "task.test": 0.2,
    "task.validation_problems": 2,
    "reward.components": {"math": 1.0, "format": 0.1, "reasoning_off": 0.1},
}


def recipe(folder, is_on, engine):
    """One of a tiny model that reads as Qwen3 does."""
    texts = [row["question"] for row in ROWS] + ["<think> Let me see. </think> \\boxed{7}"]
    model = make_text_model(folder / "model", texts, "qwen3", vocabulary=400, max_length=512)
    (folder / "mine.yaml").write_text(PROMPT)
    own = {"model.path": str(model), "task.prompt": str(folder / "mine.yaml"), "task.thinking": is_on}
    return load_recipe("gsm8k", {**SMALL, **own, "engine.name": engine})


def check_prompts(texts, is_on):
    """System, example and question in the template's words; thinking by its own switch; earlier messages kept."""
    for text in texts:
        head, example, *_ = text.split("<|im_start|>")[1:]
        assert head.startswith("system\nYou are good at sums.")
        assert example == "user\nTom has 6 pens. How many has he? Put it into \\boxed{}.<|im_end|>\n"
        assert text.endswith("<think>\n\n</think>\n\n") == (not is_on)
    (talk,) = [text for text in texts if "And if she buys 2 more?" in text]
    assert "Count well." in talk
    assert talk.index("assistant\n\\boxed{20}<|im_end|>") < talk.index("And if she buys")


@pytest.mark.parametrize("is_on", [True, False])
def test_a_recipe_puts_every_question_through_the_template(tmp_path, is_on):
    with prepare(recipe(tmp_path, is_on, "transformers")) as prepared:
        problems = prepared.splits.everything
    check_prompts([problem.prompt for problem in problems], is_on)
    known = {"thinking": is_on, "thinking_convention": "think"}
    assert all(problem.columns | known == problem.columns for problem in problems)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("is_on", [True, False])
def test_a_chat_recipe_trains_in_vllm_and_is_measured(tmp_path, is_on):
    """Two steps; what a reward says of the thinking is true of every completion; `eval RUN` asks in turns too."""
    quiet = Console(quiet=True)
    run = train(recipe(tmp_path, is_on, "vllm"), tmp_path / "run", console=quiet)
    check_prompts([row["prompt"] for row in run.problems().to_pylist()], is_on)
    rows = run.rollouts().to_pylist()
    assert [line["step"] for line in run.metrics().to_pylist()] == [0, 1, 2]
    assert len(rows) == 2 * 2 * 2
    for row in rows:
        is_marked = "<think>" in row["completion"] or "</think>" in row["completion"]
        assert is_on or row["parts"]["reasoning_off"] == float(not is_marked)
    (tmp_path / "suite.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS[:2]))
    options = {"data": tmp_path / "suite.jsonl", "max_tokens": 8, "thinking": "on" if is_on else "off"}
    measured = evaluate(run, "gsm8k", out=tmp_path / "eval", console=quiet, **options)
    assert (measured.summary["thinking_switch"], measured.summary["thinking_convention"]) == (
        "enable_thinking",
        "think",
    )
    prompts = [line["prompt"] for line in complete_lines(tmp_path / "eval" / "problems.jsonl")]
    assert {text.endswith("<think>\n\n</think>\n\n") for text in prompts} == {not is_on}
