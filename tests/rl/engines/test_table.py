"""The table of engines: names, what has no effect with which, and that a row says what its engine reads."""

import re
from pathlib import Path

import pytest
from support.paths import ROOT

from doubleback.rewards.settings import validated
from doubleback.rewards.types import ConfigError
from doubleback.rl.engines.config import OF_THE_PROCESS, EngineConfig
from doubleback.rl.engines.create import create_engine
from doubleback.rl.engines.setup import MERGED, EngineSetup
from doubleback.rl.engines.table import ENGINES, engine_row
from doubleback.rl.types import ModelSource

SETUP_FIELDS = {"return_routed_experts": "returns_routes"}
"""Key of `engine` -> field of EngineSetup, where the two differ."""
SOURCE = ModelSource("nowhere", "float32", 64)
PLACE = "my_engines.py:Mine"


def refused(settings):
    with pytest.raises(ConfigError) as caught:
        validated(EngineConfig, settings)
    return str(caught.value)


def test_a_misspelt_engine_is_named_with_the_nearest():
    assert refused({"name": "vlm"}) == (
        "engine.name=vlm is neither an engine nor the place of one (path.py:attr, package.module:attr); "
        "did you mean vllm?"
    )


def test_a_key_that_the_engine_does_not_read_is_refused():
    assert refused({"name": "transformers", "kv_cache_mib": 512}) == (
        "engine.kv_cache_mib=512 has no effect with engine.name=transformers; leave it at auto or set name to vllm"
    )


@pytest.mark.parametrize("name", ["vllm", PLACE])
def test_an_engine_that_reads_a_key_may_have_it_set(name):
    config = EngineConfig(name=name, kv_cache_mib=512, max_num_seqs=3, return_routed_experts=False)
    assert config.setup(SOURCE, has_stop_strings=True) == EngineSetup(name, SOURCE, MERGED, 3, 512, False, True)


@pytest.mark.parametrize("name", ENGINES)
def test_a_row_says_what_its_engine_reads(name):
    module = ENGINES[name].location.partition(":")[0].removeprefix("doubleback.").replace(".", "/")
    files = [ROOT / f"{module}.py", *(ROOT / module).parent.glob(f"{Path(module).name}_*.py")]
    read = {key for file in files for key in re.findall(r"\bsetup\.(\w+)", file.read_text(encoding="utf-8"))}
    keys = EngineConfig.model_fields.keys() - {"name"}
    assert ENGINES[name].reads == {key for key in keys if SETUP_FIELDS.get(key, key) in read}


def test_of_an_engine_that_is_not_ours_nothing_is_taken_for_granted():
    row = engine_row(PLACE)
    assert row.location == PLACE
    assert row.reads == EngineConfig.model_fields.keys() - OF_THE_PROCESS | {"stall_seconds"}
    assert (row.can_serve_adapters, row.needs_base) == (False, True)


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("LIMIT", "engine.name=.*engines_of_others.py:LIMIT is no engine, but int"),
        ("Deaf", "makes Deaf, which has no score; an engine has the methods of rl.engines.engine.Engine"),
        ("Mine", "engines_of_others.py has no 'Mine'"),
    ],
)
def test_what_is_no_engine_is_refused_by_name(tmp_path, attribute, message):
    (tmp_path / "engines_of_others.py").write_text(
        """
LIMIT = 3
class Deaf:
    def __init__(self, setup, base, tokenizer): pass
    def load_adapter(self, adapter, version): pass
    def sample(self, problems, sampling, seeds, on_group=None): return []
    def close(self): pass
"""
    )
    setup = EngineConfig(name=f"{tmp_path / 'engines_of_others.py'}:{attribute}").setup(SOURCE)
    with pytest.raises(ConfigError, match=message):
        create_engine(setup, {}, None)
