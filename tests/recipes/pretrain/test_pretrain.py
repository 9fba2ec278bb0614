"""Pre-training is repeatable and learns, and writes all of a base or nothing; Countdown's is the example."""

import math

import pytest
import torch
from torch.testing import assert_close

from doubleback.recipes.pretrain import card
from doubleback.recipes.pretrain.base import pretrain
from doubleback.recipes.pretrain.config import ModelShape
from doubleback.recipes.pretrain.loop import IGNORED, TrainedStep, batches, cut_by_length, learning_rate, train
from doubleback.recipes.pretrain.model import make_model
from doubleback.recipes.pretrain.traces import TraceType
from doubleback.recipes.tasks.countdown.lesson import countdown_lesson
from doubleback.recipes.tasks.countdown.pretrain_config import CountdownPretrainConfig
from doubleback.recipes.tasks.countdown.tokenizer import make_tokenizer
from doubleback.rewards.builtin.countdown import Split, problems
from doubleback.rewards.types import ConfigError, RunError

TINY = CountdownPretrainConfig(
    steps=20,
    warmup_steps=2,
    tokens_per_batch=256,
    threads=1,
    score_split="validation",
    model=ModelShape(hidden_size=32, num_layers=1, num_heads=2, num_key_value_heads=1, num_experts=2, expert_size=32),
)


def test_pretraining_lowers_the_loss_and_repeats_to_the_last_bit():
    torch.set_num_threads(1)

    def losses(config):
        lesson = countdown_lesson(config)
        return [step.loss for step in train(make_model(config, lesson), config, lesson)]

    first = losses(TINY)
    assert first[0] == pytest.approx(math.log(118), abs=0.3)
    assert sum(first[-3:]) / 3 < first[0] - 1.0
    assert losses(TINY) == first
    assert losses(TINY.model_copy(update={"seed": 1})) != first


def test_a_dense_model_is_pretrained_as_a_mixture_is():
    shape = TINY.model.model_copy(update={"dense_size": 64})
    config = TINY.model_copy(update={"model": shape})
    lesson = countdown_lesson(config)
    model = make_model(config, lesson)
    assert (type(model).__name__, model.config.intermediate_size) == ("Qwen3ForCausalLM", 64)
    losses = [step.loss for step in train(model, config, lesson)]
    assert losses[-1] < losses[0] - 0.3
    assert "dense model" in lesson.title


def test_pretraining_that_diverges_stops_and_writes_no_base(tmp_path):
    config = TINY.model_copy(update={"lr": 1e30, "warmup_steps": 0})
    with pytest.raises(
        RunError, match=r"^step \d: loss .* is not finite; no base is written: .* lower lr \(now 1e\+30\)"
    ):
        pretrain(config, countdown_lesson(config), tmp_path / "base")
    assert list(tmp_path.iterdir()) == []


def test_default_model_has_the_stated_size_and_shares_its_embedding():
    model = make_model(CountdownPretrainConfig(), countdown_lesson(CountdownPretrainConfig()))
    assert sum(parameter.numel() for parameter in model.parameters()) == 902_656
    assert model.lm_head.weight is model.get_input_embeddings().weight
    # Keys start as copies of the first query head of their group, of 32 rows each: heads 0 and 2.
    attention = model.model.layers[1].self_attn
    assert_close(attention.k_proj.weight[32:], attention.q_proj.weight[64:96], atol=0, rtol=0)


def test_learning_rate_rises_stays_and_falls_to_nothing():
    config = CountdownPretrainConfig(steps=100, warmup_steps=10, decay_share=0.2, lr=1.0)
    rates = {step: learning_rate(step, config) for step in (1, 5, 10, 50, 80, 81, 90, 91, 100, 101)}
    assert rates == pytest.approx(
        {1: 0.1, 5: 0.5, 10: 1.0, 50: 1.0, 80: 1.0, 81: 1.0, 90: 0.55, 91: 0.5, 100: 0.05, 101: 0.0}, abs=1e-12
    )
    assert learning_rate(1, CountdownPretrainConfig(steps=1, warmup_steps=0, decay_share=0, lr=0.5)) == 0.5


def test_batches_hold_whole_pretraining_traces_and_mask_the_prompt():
    tokenizer = make_tokenizer(512)
    known = {problem.prompt for problem in problems(3, Split.PRETRAIN)}
    stream = batches(CountdownPretrainConfig(), countdown_lesson(CountdownPretrainConfig()))
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
    monkeypatch.setattr(card, "NUM_SAMPLES", 2)
    config = TINY.model_copy(update={"steps": 2, "budget": 24})
    pretrain(config, countdown_lesson(config), tmp_path / "bases" / "tiny")
    assert [path.name for path in (tmp_path / "bases").iterdir()] == ["tiny"]
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= {
        path.name for path in (tmp_path / "bases" / "tiny").iterdir()
    }
    with pytest.raises(ConfigError, match="exists"):
        pretrain(config, countdown_lesson(config), tmp_path / "bases" / "tiny")

    monkeypatch.setattr("doubleback.recipes.pretrain.lesson.word_tokenizer", _tokenizer_on_a_full_disk)
    with pytest.raises(RunError, match=r"no space left to write .*full"):
        pretrain(config, countdown_lesson(config), tmp_path / "bases" / "full")
    assert [path.name for path in (tmp_path / "bases").iterdir()] == ["tiny"]


def _tokenizer_on_a_full_disk(vocabulary, model_max_length):
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
        CountdownPretrainConfig.model_validate(settings)
    assert CountdownPretrainConfig.model_validate({"mix": {"optimal": 1.0}}).mix == {TraceType.OPTIMAL: 1.0}


def test_a_trained_step_counts_tokens_without_padding():
    lesson = countdown_lesson(TINY)
    ids_BT, _ = next(batches(TINY, lesson))
    step = next(train(make_model(TINY, lesson), TINY, lesson))
    assert step == TrainedStep(step.loss, int((ids_BT != 0).sum()))
