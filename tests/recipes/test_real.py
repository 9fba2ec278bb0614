"""A pretrained chat model: from the package index, put by its own chat template, the same in engine and trainer."""

import json

import pytest
from transformers import AutoTokenizer

SMALL = ["steps=1", "rollout.prompts_per_step=2", "sampling.group_size=4", "sampling.max_tokens=16", "eval.every=1"]
SMALL += ["task.train_problems=40", "task.validation_problems=1", "task.test_problems=3"]
SMALL += ["eval.n=1", "eval.k=[1]", "engine.kv_cache_mib=256"]
pytestmark = [pytest.mark.slow, pytest.mark.real]


def test_a_turn_ends_where_the_template_says(real_model):
    tokenizer = AutoTokenizer.from_pretrained(real_model)
    assert tokenizer.decode(tokenizer.eos_token_id) == "<|im_end|>"
    assert json.loads((real_model / "generation_config.json").read_text())["eos_token_id"] == tokenizer.eos_token_id
    assert "quantization_config" not in json.loads((real_model / "config.json").read_text())


def test_it_trains_a_step_through_its_own_template(run, tmp_path, real_model):
    code, _, err = run("train", "word-problems", f"model.path={real_model}", *SMALL, "--out", tmp_path / "run")
    assert code == 0, err
    first = json.loads((tmp_path / "run" / "problems.jsonl").read_text().splitlines()[0])
    prompt = first["prompt"]
    turns = ["system", "user", "assistant", "user", "assistant", "user", "assistant"]
    assert [turn.partition("\n")[0] for turn in prompt.split("<|im_start|>")[1:]] == turns
    assert prompt.endswith("<|im_start|>assistant\n")
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    # 30 layers in float32 differ by 5e-5 nats where a toy of two differs by 5e-6; a stale adapter by 1e-2.
    assert max(line["sync/max_abs"] for line in lines) < 5e-4
    assert 0 <= lines[-1]["eval/test/seen_rate"] <= 1
