"""The committed base is what its card says."""

import re

import torch
import yaml
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from doubleback.recipes.recipe.loading import FOLDER
from doubleback.recipes.tasks.knights.bases import BASES
from doubleback.recipes.tasks.knights.pretrain_config import KnightsPretrainConfig
from doubleback.recipes.tasks.knights.words import VOCABULARY

BASE = FOLDER / "bases" / "knights"


def test_the_base_is_small_bfloat16_and_knows_the_words():
    assert sum(path.stat().st_size for path in BASE.iterdir()) <= 2_000_000
    tensors = load_file(BASE / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}
    assert sum(tensor.numel() for tensor in tensors.values()) == 747_200
    assert all(tensor.isfinite().all() for tensor in tensors.values())
    assert AutoModelForCausalLM.from_pretrained(BASE).config.architectures == ["Qwen3MoeForCausalLM"]
    tokenizer = AutoTokenizer.from_pretrained(BASE)
    assert tokenizer.convert_ids_to_tokens(list(range(len(tokenizer)))) == list(VOCABULARY)


def test_the_card_states_scores_and_the_settings_that_make_it_again():
    card = (BASE / "README.md").read_text(encoding="utf-8")
    settings = yaml.safe_load(card.partition("```yaml\n")[2].partition("```")[0])
    assert KnightsPretrainConfig.model_validate(settings) == BASES["knights"].settings
    assert "48 test problems" in card
    rows = re.findall(r"^\| (.+?) \| ([0-9.]+) \| [0-9.]+ to [0-9.]+ \|$", card, re.MULTILINE)
    figures = {name: float(value) for name, value in rows}
    assert {"pass@1", "pass@16", "verified backtracks", "deduction errors", "false yes/no", "mean tokens"} < set(
        figures
    )
    assert figures["verified backtracks"] > 0
