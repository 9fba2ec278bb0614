"""A completion ends at every end that the model's generation_config.json names, and no end stands in its text."""

import json
import shutil
from collections import Counter

import pytest

from doubleback.rewards.types import Problem
from doubleback.rl.config import SamplingConfig
from doubleback.rl.engines.config import EngineConfig
from doubleback.rl.engines.create import create_engine
from doubleback.rl.policy.base import base_tensors, end_ids, load_base, load_tokenizer
from doubleback.rl.types import ModelSource

PROBLEMS = [Problem(f"p{target}", f"3 5 7 -> {target}") for target in (22, 15, 36, 8)]
SEEDS = [11, 222, 3333, 44444]


def sampled(name, folder):
    """Four completions for each of four problems, by the engine on the base in this folder."""
    model = ModelSource(str(folder), "float32", 448)
    engine = create_engine(
        EngineConfig(name=name).setup(model), base_tensors(load_base(model)), load_tokenizer(str(folder))
    )
    groups = engine.sample(PROBLEMS, SamplingConfig(group_size=4, max_tokens=40).sampling(), SEEDS)
    engine.close()
    return [completion for group in groups for completion in group.completions]


@pytest.mark.parametrize("name", ["transformers", pytest.param("vllm", marks=pytest.mark.slow)])
def test_every_end_of_the_generation_config_ends_a_completion(name, tiny_model_folder, tmp_path):
    free = sampled(name, tiny_model_folder)
    tokenizer = load_tokenizer(str(tiny_model_folder))
    counted = Counter(token for item in free for token in item.token_ids[3:-1])
    (end, _), *_ = counted.most_common()
    folder = shutil.copytree(tiny_model_folder, tmp_path / "model")
    eos = tokenizer.eos_token_id
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [eos, end]}), encoding="utf-8")
    assert end_ids(str(folder), tokenizer) == {eos, end}
    num_cut = 0
    for before, after in zip(free, sampled(name, folder), strict=True):
        place = before.token_ids.index(end) if end in before.token_ids else len(before.token_ids) - 1
        assert after.token_ids == before.token_ids[: place + 1]
        if end in before.token_ids:
            num_cut += 1
            assert after.finish_reason == "stop"
            assert after.text == tokenizer.decode(before.token_ids[:place])
    assert num_cut >= 2
