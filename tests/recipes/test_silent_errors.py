"""An error without a message is told by its kind, wherever something of the user's is loaded."""

import datasets
import peft
import pytest
import transformers

from doubleback.recipes.models.configuration import configuration
from doubleback.rewards.rows import Source, read_data
from doubleback.rewards.types import ConfigError
from doubleback.rl.policy import lora
from doubleback.rl.policy.base import load_tokenizer


def silent(*args, **kwargs):
    raise OSError


CALLS = {
    "configuration": (transformers.AutoConfig, "from_pretrained", lambda: configuration("someone/something")),
    "tokenizer": (transformers.AutoTokenizer, "from_pretrained", lambda: load_tokenizer("someone/something")),
    "adapter": (peft.PeftModel, "from_pretrained", lambda: lora.restore(None, "nowhere")),
    "hub": (datasets, "load_dataset", lambda: read_data(Source("someone/rows"))),
}


@pytest.mark.parametrize("what", CALLS)
def test_an_error_that_says_nothing_is_told_by_its_kind(monkeypatch, what):
    owner, name, call = CALLS[what]
    monkeypatch.setattr(lora, "require_plain_adapter", lambda folder: None)  # there is none
    monkeypatch.setattr(owner, name, silent)
    with pytest.raises(ConfigError, match="OSError"):
        call()
