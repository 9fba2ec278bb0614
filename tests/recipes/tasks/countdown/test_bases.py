"""The committed bases are what their cards say, and pre-training is repeatable and learns."""

import math
import re

import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch.testing import assert_close
from transformers import AutoModelForCausalLM, AutoTokenizer

from doubleback.eval.measures.backtracking import replay
from doubleback.recipes.recipe.loading import FOLDER
from doubleback.recipes.tasks.countdown import base_card
from doubleback.recipes.tasks.countdown.bases import BASES
from doubleback.recipes.tasks.countdown.pretrain import (
    IGNORED,
    TrainedStep,
    batches,
    cut_by_length,
    embed_numbers_,
    learning_rate,
    make_model,
    pretrain,
    train,
)
from doubleback.recipes.tasks.countdown.pretrain_config import ModelShape, PretrainConfig
from doubleback.recipes.tasks.countdown.tokenizer import FIRST_NUMBER_ID, make_tokenizer
from doubleback.recipes.tasks.countdown.traces import TraceType
from doubleback.rewards.builtin.countdown import Split, grade, problems
from doubleback.rewards.types import ConfigError, RunError, Verdict
from doubleback.rl.config import SamplingConfig
from doubleback.rl.engines.config import EngineConfig
from doubleback.rl.engines.create import create_engine
from doubleback.rl.policy.base import base_tensors, load_base, load_tokenizer
from doubleback.rl.types import ModelSource

TINY = PretrainConfig(
    steps=20,
    warmup_steps=2,
    tokens_per_batch=256,
    threads=1,
    score_split="validation",
    model=ModelShape(hidden_size=32, num_layers=1, num_heads=2, num_key_value_heads=1, num_experts=2, expert_size=32),
)


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
    groups = engine.sample(held_out, SamplingConfig(group_size=num_samples), range(0, 1000 * len(held_out), 1000))
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
    assert PretrainConfig.model_validate(settings) == BASES[base.name].settings
    assert "349 test problems" in card
    assert re.search(r"seed 0: [0-9,]+ tokens in 2,400 steps", card)
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


def test_pretraining_lowers_the_loss_and_repeats_to_the_last_bit():
    tokenizer = make_tokenizer(512)
    torch.set_num_threads(1)

    def losses(config):
        return [step.loss for step in train(make_model(config), tokenizer, config)]

    first = losses(TINY)
    assert first[0] == pytest.approx(math.log(118), abs=0.3)
    assert sum(first[-3:]) / 3 < first[0] - 1.0
    assert losses(TINY) == first
    assert losses(TINY.model_copy(update={"seed": 1})) != first


def test_pretraining_that_diverges_stops_and_writes_no_base(tmp_path):
    config = TINY.model_copy(update={"lr": 1e30, "warmup_steps": 0})
    with pytest.raises(
        RunError, match=r"^step \d: loss .* is not finite; no base is written: .* lower lr \(now 1e\+30\)"
    ):
        pretrain(config, tmp_path / "base")
    assert list(tmp_path.iterdir()) == []


def test_default_model_has_the_stated_size_and_shares_its_embedding():
    model = make_model(PretrainConfig())
    assert sum(parameter.numel() for parameter in model.parameters()) == 902_656
    assert model.lm_head.weight is model.get_input_embeddings().weight
    # Keys start as copies of the first query head of their group, of 32 rows each: heads 0 and 2.
    attention = model.model.layers[1].self_attn
    assert_close(attention.k_proj.weight[32:], attention.q_proj.weight[64:96], atol=0, rtol=0)


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


def test_learning_rate_rises_stays_and_falls_to_nothing():
    config = PretrainConfig(steps=100, warmup_steps=10, decay_share=0.2, lr=1.0)
    rates = {step: learning_rate(step, config) for step in (1, 5, 10, 50, 80, 81, 90, 91, 100, 101)}
    assert rates == pytest.approx(
        {1: 0.1, 5: 0.5, 10: 1.0, 50: 1.0, 80: 1.0, 81: 1.0, 90: 0.55, 91: 0.5, 100: 0.05, 101: 0.0}, abs=1e-12
    )
    assert learning_rate(1, PretrainConfig(steps=1, warmup_steps=0, decay_share=0, lr=0.5)) == 0.5


def test_batches_hold_whole_pretraining_traces_and_mask_the_prompt():
    tokenizer = make_tokenizer(512)
    known = {problem.prompt for problem in problems(3, Split.PRETRAIN)}
    stream = batches(PretrainConfig(), tokenizer)
    for _, (ids_BT, labels_BT) in zip(range(40), stream, strict=False):
        assert ids_BT.numel() <= 2048
        for ids, labels in zip(ids_BT.tolist(), labels_BT.tolist(), strict=True):
            assert tokenizer.decode(ids[:6], skip_special_tokens=True) in known
            length = ids.index(tokenizer.eos_token_id) + 1
            assert labels[:6] == [IGNORED] * 6
            assert labels[6:length] == ids[6:length]
            assert set(labels[length:]) <= {IGNORED}
            assert set(ids[length:]) <= {tokenizer.pad_token_id}


def test_parts_hold_every_trace_once_within_the_limit():
    pool = [([i] * length, 1) for i, length in enumerate([3, 9, 5, 5, 10, 1, 7, 2])]
    parts = cut_by_length(pool, 20)
    assert [[len(ids) for ids, _ in part] for part in parts] == [[10, 9], [7, 5], [5, 3, 2, 1]]
    assert sorted(ids[0] for part in parts for ids, _ in part) == list(range(8))


def test_pretrain_writes_all_or_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(base_card, "NUM_SAMPLES", 2)
    config = TINY.model_copy(update={"steps": 2, "budget": 24})
    pretrain(config, tmp_path / "bases" / "tiny")
    assert [path.name for path in (tmp_path / "bases").iterdir()] == ["tiny"]
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= {
        path.name for path in (tmp_path / "bases" / "tiny").iterdir()
    }
    with pytest.raises(ConfigError, match="exists"):
        pretrain(config, tmp_path / "bases" / "tiny")

    monkeypatch.setattr("doubleback.recipes.tasks.countdown.pretrain.make_tokenizer", _tokenizer_on_a_full_disk)
    with pytest.raises(RunError, match=r"no space left to write .*full"):
        pretrain(config, tmp_path / "bases" / "full")
    assert [path.name for path in (tmp_path / "bases").iterdir()] == ["tiny"]


def _tokenizer_on_a_full_disk(model_max_length):
    def fail(folder):
        raise OSError(28, "No space left on device")

    tokenizer = make_tokenizer(model_max_length)
    tokenizer.save_pretrained = fail
    return tokenizer


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mix": {"optimal": 0.0}}, "positive share"),
        ({"budget": 600}, "budget=600"),
        ({"budget": 400, "tokens_per_batch": 300}, "tokens_per_batch=300"),
        ({"model": {"num_heads": 3}}, "num_heads=3 must be a multiple of num_key_value_heads=2"),
        ({"model": {"num_experts": 1}}, "num_experts_per_token=2 must be at most num_experts=1"),
        ({"stepz": 3}, "stepz"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        PretrainConfig.model_validate(settings)
    assert PretrainConfig.model_validate({"mix": {"optimal": 1.0}}).mix == {TraceType.OPTIMAL: 1.0}


def test_a_trained_step_counts_tokens_without_padding():
    tokenizer = make_tokenizer(512)
    ids_BT, _ = next(batches(TINY, tokenizer))
    step = next(train(make_model(TINY), tokenizer, TINY))
    assert step == TrainedStep(step.loss, int((ids_BT != 0).sum()))
