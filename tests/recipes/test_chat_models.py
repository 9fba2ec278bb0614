"""Every chat model of the table puts questions as its own tokenizer does, told by a stand-in of its shape."""

import pytest
from transformers import AutoTokenizer, GenerationConfig

from doubleback.eval.prompts.prompt import read_prompt
from doubleback.recipes import load_recipe
from doubleback.recipes.models.table import shipped_models
from doubleback.recipes.models.tokenizers import shipped_tokenizers
from doubleback.recipes.recipe.assembly import prepare
from doubleback.rewards.types import ConfigError

ROWS = [
    {"question": f"Ann has {n} beads and buys {n + 1} more. How many has she?", "answer": str(2 * n + 1)}
    for n in range(12)
]
SMALL = {
    "tiny": True,
    "task.train": ROWS[:8],
    "task.test": ROWS[8:],
    "task.validation_problems": 2,
    "sampling.max_tokens": 32,
    "reward.components": {"math": 1.0, "format": 0.1},
}
GRANITE = "<|start_of_role|>{}<|end_of_role|>"
TURNS = {
    "deepseek-v2-lite-chat": ("User: ", "\n\nAssistant:"),
    "gpt-oss-20b": ("<|start|>user<|message|>", "<|start|>assistant"),
    "granite-3.1-1b-a400m-instruct": (GRANITE.format("user"), GRANITE.format("assistant")),
    "granite-3.1-3b-a800m-instruct": (GRANITE.format("user"), GRANITE.format("assistant")),
    "granite-3.2-2b-instruct": (GRANITE.format("user"), GRANITE.format("assistant")),
    "granite-4.0-micro": (GRANITE.format("user"), GRANITE.format("assistant")),
    "granite-4.1-3b": (GRANITE.format("user"), GRANITE.format("assistant")),
    "olmoe-1b-7b-instruct": ("<|user|>\n", "<|assistant|>\n"),
    "qwen3-30b-a3b-instruct": ("<|im_start|>user\n", "<|im_start|>assistant\n"),
}
"""Model -> what a question stands behind, and what a prompt ends with."""
SWITCHES = {
    "gpt-oss-20b": ("Reasoning: high", "Reasoning: low", "gpt-oss"),
    "granite-3.2-2b-instruct": ("Here is my thought process:", None, "granite"),
    "qwen3-30b-a3b-instruct": (None, "<think>\n\n</think>\n\n", "think"),
}
"""Model -> what its template writes with thinking on and off, and how it marks a thought."""


def prompts(folder, model, **own):
    """(prompts, columns of the first problem, its tokenizer, its ends) of a recipe on the model's tiny stand-in."""
    recipe = load_recipe("gsm8k", {"model": model, **SMALL, **own})
    with prepare(recipe, folder / "tiny") as prepared:
        problems = prepared.splits.everything
    ends = GenerationConfig.from_pretrained(folder / "tiny").eos_token_id
    tokenizer = AutoTokenizer.from_pretrained(folder / "tiny")
    return [it.prompt for it in problems], problems[0].columns, tokenizer, ends if isinstance(ends, list) else [ends]


def test_every_chat_model_of_the_table_is_here():
    recipes = {name: load_recipe("gsm8k", [f"model={name}"]) for name in shipped_models()}
    assert set(TURNS) == {name for name, it in recipes.items() if read_prompt(it.task.prompt).kind == "chat"}


@pytest.mark.slow
@pytest.mark.parametrize("model", TURNS)
def test_a_question_stands_in_its_models_turns(tmp_path, model):
    before, after = TURNS[model]
    texts, columns, tokenizer, ends = prompts(tmp_path, model)
    path = load_recipe("gsm8k", [f"model={model}"]).model.path
    (stand_in,) = [it for it in shipped_tokenizers().values() if path in it.models]
    assert len(texts) == len(ROWS)
    assert all(text.count(f"{before}Ann has") == 1 and text.endswith(after) for text in texts)
    assert tokenizer(texts[0])["input_ids"][:2].count(tokenizer.bos_token_id) <= 1
    assert [tokenizer.convert_ids_to_tokens(end) for end in ends] == stand_in.ends
    assert ("thinking" in columns) == (model in SWITCHES)


@pytest.mark.slow
@pytest.mark.parametrize("model", SWITCHES)
def test_thinking_goes_through_its_switch(tmp_path, model):
    on, off, convention = SWITCHES[model]
    for thinking, wanted, other in ((True, on, off), (False, off, on)):
        texts, columns, _, _ = prompts(tmp_path / str(thinking), model, **{"task.thinking": thinking})
        assert (columns["thinking"], columns["thinking_convention"]) == (thinking, convention)
        assert all((wanted is None or wanted in text) and (other is None or other not in text) for text in texts)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["granite-3.1-1b-a400m-instruct", "deepseek-v2-lite-chat"])
def test_a_model_without_a_switch_is_asked_in_words(tmp_path, model):
    asked = {mode: prompts(tmp_path / str(mode), model, **{"task.thinking": mode})[0][0] for mode in (True, False)}
    assert "Think first: write your whole reasoning between <think> and </think>" in asked[True]
    assert "Do not think first" in asked[False]
    with pytest.raises(ConfigError, match="thinking on: the model has no switch for it, and the prompt no words"):
        prompts(tmp_path / "answer", model, **{"task.thinking": True, "task.prompt": "answer"})
