"""A key-value cache that vLLM cannot have is one line with the key and the way out."""

import pytest

from doubleback.rewards.types import ConfigError
from doubleback.rl.engines.config import EngineConfig
from doubleback.rl.engines.create import create_engine
from doubleback.rl.policy.base import base_tensors, load_base, load_tokenizer
from doubleback.rl.types import ModelSource

pytestmark = pytest.mark.slow


def test_a_cache_beyond_the_memory_names_its_key(tiny_model_folder):
    model = ModelSource(str(tiny_model_folder), "float32", 448)
    setup = EngineConfig(name="vllm", kv_cache_mib=1 << 30).setup(model)  # a pebibyte
    with pytest.raises(ConfigError, match=r"^engine.kv_cache_mib=1073741824 is more than there is: .*at auto$"):
        create_engine(setup, base_tensors(load_base(model)), load_tokenizer(model.path))
