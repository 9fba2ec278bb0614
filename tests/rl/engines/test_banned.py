"""What is banned is never drawn, and the others share its probability: beside the model's own logits."""

from collections import Counter

import pytest
import torch

from doubleback.recipes.tasks.countdown.tokenizer import VOCABULARY, make_tokenizer
from doubleback.rewards.types import ConfigError, Problem
from doubleback.rl.engines.banned import banned_ids
from doubleback.rl.engines.config import EngineConfig
from doubleback.rl.engines.create import create_engine
from doubleback.rl.policy.base import base_tensors, load_base, load_tokenizer
from doubleback.rl.types import ModelSource, Sampling

BOUND = 5e-5  # nats, float32: the default bound of rl.sync
PROBLEMS = [Problem(f"p{target}", f"3 5 7 -> {target}") for target in (22, 15, 36, 8)]
SEEDS = [11, 222, 3333, 44444]


@pytest.mark.parametrize("name", ["transformers", pytest.param("vllm", marks=pytest.mark.slow)])
def test_what_is_banned_is_never_drawn_and_the_others_share_its_probability(name, tiny_model_folder):
    model = ModelSource(str(tiny_model_folder), "float32", 448)
    base, tokenizer = load_base(model), load_tokenizer(model.path)
    engine = create_engine(EngineConfig(name=name).setup(model), base_tensors(base), tokenizer)
    free = engine.sample(PROBLEMS, Sampling(4, 1.0, 40), SEEDS)
    counts = Counter(token for group in free for item in group.completions for token in item.token_ids[:-1])
    banned = tuple(sorted(token for token, _ in counts.most_common(3)))
    for temperature, group_size in ((0.7, 4), (0.0, 1)):
        groups = engine.sample(PROBLEMS, Sampling(group_size, temperature, 40, banned_ids=banned), SEEDS)
        for group in groups:
            for item in group.completions:
                assert not set(item.token_ids) & set(banned)
                with torch.no_grad():
                    ids = torch.tensor([group.prompt_ids + item.token_ids])
                    logits = base(ids).logits[0, len(group.prompt_ids) - 1 : -1]
                logits[:, list(banned)] = -torch.inf
                expected = torch.log_softmax(logits / (temperature or 1.0), -1)
                chosen = torch.tensor(item.token_ids)
                found = torch.tensor(item.sampler_logprobs)
                assert torch.allclose(expected.gather(1, chosen[:, None])[:, 0], found, atol=BOUND, rtol=0)
                assert temperature or torch.equal(logits.argmax(-1), chosen)
    engine.close()


class SubWords:
    """A vocabulary in which a word has two tokens, one behind a space."""

    _texts = ("<end>", "back", " back", "b", "ack", "\nno", "Back")

    def __len__(self):
        return len(self._texts)

    def batch_decode(self, rows, **options):
        return [self._texts[token] for (token,) in rows]


def test_every_token_that_reads_as_the_word_is_banned():
    tokenizer = make_tokenizer(64)
    assert banned_ids(["back", "no"], tokenizer, {2}) == (VOCABULARY.index("no"), VOCABULARY.index("back"))
    assert banned_ids(["back"], SubWords(), {0}) == banned_ids([" back", "back"], SubWords(), {0}) == (1, 2)
    assert banned_ids(["no"], SubWords(), {0}) == (5,)
    assert banned_ids([], SubWords(), {0}) == ()
    for word in ("ba", "", " "):
        with pytest.raises(ConfigError, match="is no single token"):
            banned_ids(["back", word], SubWords(), {0})
    with pytest.raises(ConfigError, match="is the end of a completion"):
        banned_ids(["<end>"], SubWords(), {0})
