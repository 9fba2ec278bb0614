"""vLLM's key-value cache: one that cannot be is one line with the way out, and what prompts have in common is kept."""

import pytest

from doubleback.rewards.types import ConfigError, Problem
from doubleback.rl.engines.config import EngineConfig
from doubleback.rl.engines.create import create_engine
from doubleback.rl.policy.base import base_tensors, load_base, load_tokenizer
from doubleback.rl.types import ModelSource, Sampling

pytestmark = pytest.mark.slow


def test_a_cache_beyond_the_memory_names_its_key(tiny_model_folder):
    model = ModelSource(str(tiny_model_folder), "float32", 448)
    setup = EngineConfig(name="vllm", kv_cache_mib=1 << 30).setup(model)  # a pebibyte
    with pytest.raises(ConfigError, match=r"^engine.kv_cache_mib=1073741824 is more than there is: .*at auto$"):
        create_engine(setup, base_tensors(load_base(model)), load_tokenizer(model.path))


def test_what_prompts_have_in_common_is_computed_once(tiny_model_folder, monkeypatch):
    """On a CPU as far as it fills blocks of 32 tokens: of 300 tokens the last 12 are computed for each completion."""
    from vllm.v1.core.sched.scheduler import Scheduler

    counts, schedule = [], Scheduler.schedule

    def counting(scheduler, *arguments, **settings):
        scheduled = schedule(scheduler, *arguments, **settings)
        counts.append(scheduled.total_num_scheduled_tokens)
        return scheduled

    monkeypatch.setattr(Scheduler, "schedule", counting)
    setup = EngineConfig(name="vllm").setup(ModelSource(str(tiny_model_folder), "float32", 448))
    engine = create_engine(setup, {}, load_tokenizer(str(tiny_model_folder)))
    counts.clear()
    long = Problem("long", " ".join(["7"] * 299))  # and one that begins every sequence
    (group,) = engine.sample([long], Sampling(group_size=8, temperature=1.0, max_tokens=2), [1])
    engine.close()
    sampled = sum(len(completion.token_ids) - 1 for completion in group.completions)
    assert len(group.prompt_ids) == 300
    assert sum(counts) == 288 + 8 * 12 + sampled
