"""The committed bases are what their cards say."""

import re

import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch.testing import assert_close
from transformers import AutoModelForCausalLM, AutoTokenizer

from doubleback.eval.measures.backtracking import replay
from doubleback.recipes.recipe.loading import FOLDER
from doubleback.recipes.tasks.countdown.bases import BASES
from doubleback.recipes.tasks.countdown.embeddings import embed_numbers_
from doubleback.recipes.tasks.countdown.pretrain_config import CountdownPretrainConfig
from doubleback.recipes.tasks.countdown.tokenizer import FIRST_NUMBER_ID
from doubleback.rewards.builtin.countdown import Split, grade, problems
from doubleback.rewards.types import Verdict
from doubleback.rl.config import SamplingConfig
from doubleback.rl.engines.config import EngineConfig
from doubleback.rl.engines.create import create_engine
from doubleback.rl.policy.base import base_tensors, load_base, load_tokenizer
from doubleback.rl.types import ModelSource


@pytest.fixture(params=sorted(BASES))
def base(request):
    return FOLDER / "bases" / request.param


def card_of(base):
    return (base / "README.md").read_text(encoding="utf-8")


def figures_of(base):
    """Measure -> value, from the card's table."""
    rows = re.findall(r"^\| (.+?) \| ([0-9.]+) \| [0-9.]+ to [0-9.]+ \|$", card_of(base), re.MULTILINE)
    return {name: float(value) for name, value in rows}


def sample(base, num_problems, num_samples):
    """Problem, text, and right or not, of completions of validation problems."""
    config = ModelSource(str(base), "float32", 256)
    tensors = base_tensors(load_base(config))
    engine = create_engine(EngineConfig(name="transformers").setup(config), tensors, load_tokenizer(config.path))
    held_out = problems(3, Split.VALIDATION)[:: 192 // num_problems]
    groups = engine.sample(
        held_out, SamplingConfig(group_size=num_samples).sampling(), range(0, 1000 * len(held_out), 1000)
    )
    for group in groups:
        for completion in group.completions:
            is_correct = grade(completion.text, **group.problem.columns).verdict == Verdict.CORRECT
            yield group.problem, completion.text, is_correct


def test_a_base_is_small_bfloat16_and_complete(base):
    assert sum(path.stat().st_size for path in base.iterdir()) <= 2_000_000
    tensors = load_file(base / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}
    assert sum(tensor.numel() for tensor in tensors.values()) == 902_656
    assert all(tensor.isfinite().all() for tensor in tensors.values())
    model = AutoModelForCausalLM.from_pretrained(base)
    assert model.config.architectures == ["Qwen3MoeForCausalLM"]
    assert model.dtype == torch.bfloat16
    # One tensor in the file: the head is the embedding.
    assert model.lm_head.weight is model.get_input_embeddings().weight
    assert len(AutoTokenizer.from_pretrained(base)) == model.config.vocab_size == 118


def test_the_card_states_scores_data_cost_and_the_settings_that_make_it_again(base):
    card = card_of(base)
    settings = yaml.safe_load(card.partition("```yaml\n")[2].partition("```")[0])
    assert CountdownPretrainConfig.model_validate(settings) == BASES[base.name].settings
    assert "349 test problems" in card
    assert re.search(r"seed 0: [0-9,]+ tokens in\s2,400 steps", card)
    assert re.search(r"[0-9]+ s of wall time and\s[0-9]+ CPU-seconds", card)
    assert {"pass@1", "pass@16", "verified backtracks", "mean tokens"} < set(figures_of(base))


@pytest.mark.slow
def test_a_base_solves_what_its_card_says(base):
    correct = [is_correct for *_, is_correct in sample(base, num_problems=96, num_samples=4)]
    # 384 samples of 96 problems: standard error about 0.03.
    assert sum(correct) / len(correct) == pytest.approx(figures_of(base)["pass@1"], abs=0.1)


@pytest.mark.slow
def test_the_searching_base_doubles_back_sometimes_and_the_optimal_one_never():
    texts = {name: [row[:2] for row in sample(FOLDER / "bases" / name, 48, 4)] for name in BASES}
    assert not any("back" in text for _, text in texts["countdown-optimal"])
    shares = [replay(text, **problem.columns).is_verified_backtrack for problem, text in texts["countdown"]]
    assert 0.02 < sum(shares) / len(shares) < 0.3


def test_number_embeddings_are_waves():
    embeddings = torch.full((118, 128), 7.0)
    embed_numbers_(embeddings)
    rows = embeddings[FIRST_NUMBER_ID:]
    # First column: period 2. Twentieth: the sine of the same. Second: period 3, cos(120 degrees) = -1/2.
    assert_close(rows[:4, 0], torch.tensor([0.05, -0.05, 0.05, -0.05]), atol=1e-6, rtol=0)
    assert_close(rows[:4, 19], torch.zeros(4), atol=1e-6, rtol=0)
    assert_close(rows[:4, 1], torch.tensor([0.05, -0.025, -0.025, 0.05]), atol=1e-6, rtol=0)
    assert (embeddings[:FIRST_NUMBER_ID] == 7).all()
    assert (rows[:, 38:] == 7).all()
