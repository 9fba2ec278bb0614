"""A model's folder brings no code that runs here: what needs some, is pickled or never ends is one line, unasked."""

import json
import os
import pickle
import resource
import shutil

import pytest
import torch
from safetensors.torch import load_file

from doubleback.eval.prompts.prompt import load_prompt
from doubleback.eval.prompts.rendering import prompted
from doubleback.eval.suites.suite import Item
from doubleback.rewards.types import ConfigError
from doubleback.rl.policy.base import load_base, load_configuration, load_tokenizer
from doubleback.rl.policy.lora import restore
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
LIMIT_SECONDS = 5.0
"""Of a processor, within which a folder is named."""


class Payload:
    """Whoever unpickles it makes the file."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return open, (self.mark, "w")


@pytest.fixture
def mark(tmp_path, monkeypatch):
    """The file that code of a folder would make."""
    monkeypatch.setattr("builtins.input", lambda *words: pytest.fail("a question on the terminal"))
    monkeypatch.syspath_prepend(tmp_path / "model")  # as where the program is started inside it
    return tmp_path / "ran"


@pytest.fixture
def model(tiny_model_folder, tmp_path, mark):
    """A folder that is whole, with code beside it."""
    made = shutil.copytree(tiny_model_folder, tmp_path / "model")
    (made / "theirs.py").write_text(CODE.format(mark=str(mark)), encoding="utf-8")
    return made


def changed(folder, name, **changes):
    path = folder / name
    settings = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps({**settings, **changes}), encoding="utf-8")


def opened(folder):
    """All that training and evaluation open of a base's folder, in their order."""
    load_configuration(str(folder))
    tokenizer = load_tokenizer(str(folder))
    if tokenizer.chat_template:
        prompted([Item("a", "What is 2 + 2?", {})], load_prompt("boxed"), tokenizer, None)
    return load_base(ModelSource(str(folder), "float32", 32))


OF_MODEL = {"AutoConfig": "theirs.TheirConfig", "AutoModelForCausalLM": "theirs.TheirModel"}
OF_TOKENIZER = {"AutoTokenizer": ["theirs.TheirTokenizer", None]}
ENDLESS = "{% for a in range(99999) %}" * 3 + "{% endfor %}" * 3


def architecture_of_its_own(folder, mark):
    changed(folder, "config.json", model_type="theirs", architectures=["TheirModel"], auto_map=OF_MODEL)


def pickled_weights(folder, mark):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Payload(mark)))


def pickle_with_another_name(folder, mark):
    (folder / "model.safetensors").write_bytes(pickle.dumps(Payload(mark)))


def index(folder, shard):
    tensors = load_file(folder / "model.safetensors")
    changed(folder, "model.safetensors.index.json", metadata={}, weight_map=dict.fromkeys(tensors, shard))


def index_of_a_pickle(folder, mark):
    (folder / "evil.bin").write_bytes(pickle.dumps(Payload(mark)))
    index(folder, "evil.bin")


def index_of_another_folder(folder, mark):
    shutil.copy(folder / "model.safetensors", folder.parent / "other.safetensors")
    index(folder, "../other.safetensors")


def base_that_names_another(folder, mark):
    changed(folder, "adapter_config.json", peft_type="LORA", base_model_name_or_path=str(folder.parent / "elsewhere"))


def quantized_by_nobody_knows_what(folder, mark):
    changed(folder, "config.json", quantization_config={"quant_method": "theirs"})


def layers_without_end(folder, mark):
    changed(folder, "config.json", num_hidden_layers=10**9)


def nested_without_end(folder, mark):
    (folder / "config.json").write_text('{"a":' * 100_000 + "1" + "}" * 100_000, encoding="utf-8")


def pipe_that_nobody_fills(folder, mark):
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")


def template(folder, text):
    changed(folder, "tokenizer_config.json", chat_template=text)


def template_without_end(folder, mark):
    template(folder, ENDLESS)


def template_without_end_for_real_questions(folder, mark):
    template(folder, "{% if '2 + 2' in messages[-1].content %}" + ENDLESS + "{% endif %}{{ messages[-1].content }}")


def template_that_fills_the_memory(folder, mark):
    template(folder, "{{ 'a' * 9999999999 }}")


def template_that_climbs_out(folder, mark):
    template(folder, "{{ ''.__class__.__mro__[1].__subclasses__() }}")


NAMED = {
    architecture_of_its_own: "its configuration needs Python code that comes with it (auto_map), which is never run",
    pickled_weights: "has no model.safetensors, but pytorch_model.bin: pickled weights may run code and are not read",
    pickle_with_another_name: "model.safetensors is no safetensors file",
    index_of_a_pickle: "model.safetensors.index.json names 'evil.bin', which is no safetensors file there",
    index_of_another_folder: "names '../other.safetensors', which is no safetensors file there",
    base_that_names_another: "holds adapter_config.json: it is an adapter's folder, or names another base",
    quantized_by_nobody_knows_what: "transformers knows no quant_method='theirs'",
    layers_without_end: "config.json has num_hidden_layers=1000000000, and there are",
    nested_without_end: "the configuration cannot be loaded",
    pipe_that_nobody_fills: "has no config.json",
    template_without_end: "the chat template of the model's tokenizer has no end: it took 3 s of a processor",
    template_without_end_for_real_questions: "the chat template of the model's tokenizer has no end",
    template_that_fills_the_memory: "the chat template of the model's tokenizer",
    template_that_climbs_out: "cannot be rendered for turns of user: access to attribute '__class__' of 'str' object",
}


def seconds():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(it.ru_utime + it.ru_stime for it in used)


TAKES_ITS_SECONDS = (template_without_end, template_without_end_for_real_questions)
ATTACKS = [pytest.param(attack, marks=[pytest.mark.slow] * (attack in TAKES_ITS_SECONDS)) for attack in NAMED]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_a_hostile_folder_is_named_and_runs_nothing(attack, model, mark):
    attack(model, mark)
    before = seconds()
    with pytest.raises(ConfigError) as caught:
        opened(model)
    assert seconds() - before < LIMIT_SECONDS
    assert NAMED[attack] in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not mark.exists()


def test_the_folder_itself_is_good(model, mark):
    """What is refused above is refused for what was changed."""
    template(model, "{{ messages[-1].content }}")
    opened(model)
    assert not mark.exists()


def test_code_beside_a_known_architecture_is_left_alone(model, mark):
    changed(model, "config.json", auto_map=OF_MODEL)
    changed(model, "tokenizer_config.json", auto_map=OF_TOKENIZER)
    opened(model)
    assert not mark.exists()


@pytest.mark.parametrize("kernel", ["somebody/kernel", "kernels-community/flash-attn3", "flash_attention_2"])
def test_attention_is_ours_whatever_the_folder_names(model, kernel):
    changed(model, "config.json", attn_implementation=kernel, experts_implementation="somebody/experts")
    assert opened(model).config._attn_implementation == "sdpa"


@pytest.fixture
def adapter(make_policy, tmp_path):
    from doubleback.rl.policy.lora import save

    save(make_policy(), tmp_path / "adapter")
    return tmp_path / "adapter"


@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        (
            lambda folder, mark: (
                (folder / "adapter_model.safetensors").unlink(),
                (folder / "adapter_model.bin").write_bytes(pickle.dumps(Payload(mark))),
            ),
            "has no adapter_model.safetensors, but adapter_model.bin: pickled weights may run code and are not read",
        ),
        (
            lambda folder, mark: changed(
                folder, "adapter_config.json", megatron_config={"a": 1}, megatron_core="theirs.core"
            ),
            "names a module to import (megatron_core), which is never done",
        ),
        (
            lambda folder, mark: changed(folder, "adapter_config.json", peft_type="XLORA", adapters={"a": "b/c"}),
            "has peft_type='XLORA'; LORA alone is loaded",
        ),
        (
            lambda folder, mark: (folder / "adapter_model.safetensors").write_bytes(pickle.dumps(Payload(mark))),
            "adapter_model.safetensors is no safetensors file",
        ),
    ],
    ids=["pickled", "a module to import", "another kind", "a pickle with another name"],
)
def test_a_hostile_adapter_is_named_and_runs_nothing(attack, reason, adapter, model, mark):
    base = load_base(ModelSource(str(model), "float32", 32))
    attack(adapter, mark)
    before = seconds()
    with pytest.raises(ConfigError) as caught:
        restore(base, adapter)
    assert seconds() - before < LIMIT_SECONDS
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"the adapter in {adapter}")
    assert reason in str(caught.value)
    assert not mark.exists()


def test_the_payload_works(tmp_path):
    pickle.loads(pickle.dumps(Payload(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()
    with pytest.raises(pickle.UnpicklingError):
        torch.load(_written(tmp_path / "a.bin", pickle.dumps(Payload(tmp_path / "ran"))), weights_only=True)


def _written(path, content):
    path.write_bytes(content)
    return path
