"""A tokenizer that names no padding or no end is completed from its model, or refused in one line."""

import json
import shutil

import pytest

from doubleback.rewards.types import ConfigError
from doubleback.rl.policy.base import end_ids, load_tokenizer


@pytest.fixture
def folder(tiny_model_folder, tmp_path):
    """The tiny model with other ends in its files: folder(generation, config, without=keys of the tokenizer)."""

    def write(generation=None, config=None, without=()):
        made = shutil.copytree(tiny_model_folder, tmp_path / "model")
        (made / "generation_config.json").unlink()
        if generation is not None:
            (made / "generation_config.json").write_text(json.dumps({"eos_token_id": generation}), encoding="utf-8")
        for name, dropped in (
            ("config.json", {"eos_token_id": config}),
            ("tokenizer_config.json", dict.fromkeys(without)),
        ):
            settings = json.loads((made / name).read_text(encoding="utf-8")) | dropped
            (made / name).write_text(json.dumps(settings), encoding="utf-8")
        return str(made)

    return write


def test_without_padding_the_end_pads(folder):
    tokenizer = load_tokenizer(folder(2, 2, ["pad_token"]))
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id) == (2, 2)


@pytest.mark.parametrize(("generation", "config", "ends"), [([7, 2], None, {7, 2}), (7, 2, {7}), (None, 7, {7})])
def test_without_an_end_the_model_s_own_ends(folder, generation, config, ends):
    path = folder(generation, config, ["eos_token"])
    assert load_tokenizer(path).eos_token_id == 7
    assert end_ids(path, load_tokenizer(path)) == ends


def test_without_any_end_it_is_refused(folder):
    with pytest.raises(ConfigError, match=r"neither its tokenizer \(eos_token\) nor its generation_config.json"):
        load_tokenizer(folder(None, None, ["eos_token"]))
