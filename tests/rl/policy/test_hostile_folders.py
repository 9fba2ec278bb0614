"""A model's folder brings no code that runs here: what needs some, or is pickled, is refused in one line, unasked."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from doubleback.rewards.types import ConfigError
from doubleback.rl.policy.base import load_base, load_configuration, load_tokenizer
from doubleback.rl.types import ModelSource

CODE = """\
open({mark!r}, "w", encoding="utf-8").close()
from transformers import PretrainedConfig, PreTrainedTokenizerFast, Qwen3MoeForCausalLM


class TheirConfig(PretrainedConfig):
    model_type = "theirs"


class TheirTokenizer(PreTrainedTokenizerFast):
    pass


class TheirModel(Qwen3MoeForCausalLM):
    config_class = TheirConfig
"""


@pytest.fixture
def hostile(tiny_model_folder, tmp_path, monkeypatch):
    """hostile(changes of config.json, of tokenizer_config.json): the folder, and the file that its code would make."""
    monkeypatch.setattr("builtins.input", lambda *words: pytest.fail("a question on the terminal"))
    mark = tmp_path / "ran"

    def write(config=None, tokenizer=None):
        made = shutil.copytree(tiny_model_folder, tmp_path / "model")
        (made / "theirs.py").write_text(CODE.format(mark=str(mark)), encoding="utf-8")
        for name, changes in (("config.json", config), ("tokenizer_config.json", tokenizer)):
            settings = json.loads((made / name).read_text(encoding="utf-8"))
            (made / name).write_text(json.dumps({**settings, **(changes or {})}), encoding="utf-8")
        return str(made), mark

    return write


NEEDS_CODE = "needs Python code that comes with it (auto_map), which is never run; take a model of an architecture"
OF_MODEL = {"AutoConfig": "theirs.TheirConfig", "AutoModelForCausalLM": "theirs.TheirModel"}


def test_an_architecture_of_its_own_is_refused(hostile):
    path, mark = hostile({"model_type": "theirs", "architectures": ["TheirModel"], "auto_map": OF_MODEL})
    for load in (load_configuration, lambda path: load_base(ModelSource(path, "float32", 32))):
        with pytest.raises(ConfigError) as caught:
            load(path)
        assert str(caught.value).startswith(f"model.path={path}: its configuration {NEEDS_CODE}")
    assert not mark.exists()


def test_code_beside_a_known_architecture_is_left_alone(hostile):
    path, mark = hostile({"auto_map": OF_MODEL}, {"auto_map": {"AutoTokenizer": ["theirs.TheirTokenizer", None]}})
    load_base(ModelSource(path, "float32", 32))
    load_tokenizer(path)
    assert not mark.exists()


def test_pickled_weights_are_not_read(tiny_model_folder, tmp_path):
    made = shutil.copytree(tiny_model_folder, tmp_path / "model")
    torch.save(load_file(made / "model.safetensors"), made / "pytorch_model.bin")
    (made / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"the weights cannot be loaded: Error no file named model\.safetensors"):
        load_base(ModelSource(str(made), "float32", 32))
