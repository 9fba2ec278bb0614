"""The teacher of `kind: distil`: which policy `distil.teacher` names, and what it says of the student's tokens."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from doubleback.recipes.models.bundled import bundled_path
from doubleback.recipes.models.configuration import configuration
from doubleback.recipes.recipe.policy import Policy, adapter_hash, find_policy
from doubleback.recipes.recipe.schema import Recipe
from doubleback.recipes.recipe.start import base_finding
from doubleback.rewards.records import read_record
from doubleback.rewards.types import ConfigError
from doubleback.rl.config import LoraSettings
from doubleback.rl.engines.config import EngineConfig
from doubleback.rl.engines.endpoint.scorer import EndpointScorer
from doubleback.rl.free_memory import free_memory
from doubleback.rl.learner.learner import ALL_PARTS, Learner
from doubleback.rl.memory import GIB
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.policy import lora
from doubleback.rl.policy.base import DTYPES, load_base, load_tokenizer
from doubleback.rl.policy.stored.adapter import ADAPTER_CONFIG
from doubleback.rl.rollout.taught import Teacher
from doubleback.rl.types import ModelSource

WAY_OUT = "take a teacher with the student's tokenizer, or learn from its samples as text (kind=sample, then kind=sft)"
UNSEEN = LoraSettings(rank=1, targets="attention")
"""The adapter of a teacher that has none: it is never switched on."""


def find_teacher(recipe: Recipe, tokenizer: Any) -> Policy:
    """The policy that `distil.teacher` names. ConfigError where there is none, or its tokenizer is not the student's.

    A server's is compared when it is opened.
    """
    config, name = recipe.distil, recipe.distil.teacher
    if name is None:
        raise ConfigError("kind=distil has no teacher; name a run, a model or a server: distil.teacher=RUN")
    if name.startswith(("http://", "https://")):
        return _served(recipe, name)
    if config.api_key_env is not None:
        raise ConfigError(f"distil.api_key_env={config.api_key_env} is for a server, and distil.teacher={name} is none")
    policy = _adapted(recipe, Path(name)) if (Path(name) / ADAPTER_CONFIG).is_file() else _whole(recipe, name)
    adapter_hash(policy.adapter)
    require_same_tokenizer(tokenizer, load_tokenizer(bundled_path(policy.model)), name)
    return policy


@contextmanager
def open_teacher(
    recipe: Recipe, policy: Policy, tokenizer: Any, text: str, say: Callable[[str], None]
) -> Iterator[Teacher]:
    """What the teacher says of tokens, at the temperature of sampling. Closed at the end.

    `tokenizer` is the student's, `text` one that a server must read as it does; `say` is told of its failures.
    """
    if policy.endpoint is None:
        yield _local(recipe, policy)
        return
    scorer = EndpointScorer(policy.endpoint, policy.model, say, policy.api_key_env)
    try:
        scorer.require_tokenizer(tokenizer, text, WAY_OUT)
        yield scorer
    finally:
        scorer.close()


def require_same_tokenizer(student: Any, teacher: Any, name: str) -> None:
    """ConfigError unless every id stands for the same token on both sides, the end of sequence among them."""
    own, other = ({index: token for token, index in it.get_vocab().items()} for it in (student, teacher))
    for index in sorted(own.keys() | other.keys()):
        if own.get(index) != other.get(index):
            raise ConfigError(
                f"distil.teacher={name} has another tokenizer: token {index} is {other.get(index)!r} there and "
                f"{own.get(index)!r} here; {WAY_OUT}"
            )
    if student.eos_token_id != teacher.eos_token_id:
        raise ConfigError(
            f"distil.teacher={name} ends a sequence with token {teacher.eos_token_id}, the student with "
            f"{student.eos_token_id}; {WAY_OUT}"
        )


def _served(recipe: Recipe, url: str) -> Policy:
    config = recipe.distil
    if config.model is None:
        raise ConfigError(f"distil.teacher={url} is a server: say what it calls the teacher, distil.model=NAME")
    if recipe.sampling.temperature != 1:
        raise ConfigError(
            f"distil.teacher={url} is a server, whose log-probabilities are of temperature 1, and "
            f"sampling.temperature={recipe.sampling.temperature:g}; set that to 1, or name the teacher's folder"
        )
    return Policy(config.model, None, "float32", EngineConfig(), url, api_key_env=config.api_key_env)


def _adapted(recipe: Recipe, folder: Path) -> Policy:
    """The adapter of a folder in PEFT's layout, on distil.model or the student's base."""
    base = recipe.distil.model or recipe.model.path
    named = f"and distil takes {base}: set distil.model=BASE"
    if finding := base_finding(read_record(folder / ADAPTER_CONFIG), bundled_path(base), named):
        raise ConfigError(f"distil.teacher={folder}: {finding}")
    return find_policy(base, adapter=folder, endpoint=None, engine=EngineConfig(), dtype=recipe.model.dtype)


def _whole(recipe: Recipe, name: str) -> Policy:
    """A run, or a model as it is."""
    if recipe.distil.model is not None:
        raise ConfigError(
            f"distil.model={recipe.distil.model} is for an adapter's folder or a server, and distil.teacher={name} is "
            "a run or a model, which says what it is; leave the first out"
        )
    return find_policy(name, adapter=None, endpoint=None, engine=EngineConfig(), dtype=recipe.model.dtype)


def described(policy: Policy, num_student: int) -> str:
    """The teacher in words, for people: which it is, and its size beside the student's."""
    adapter = "" if policy.adapter is None else f" with the adapter {policy.adapter}"
    if policy.endpoint is not None:
        return f"{policy.model} at {policy.endpoint}"
    size = _num_parameters(policy)
    return f"{policy.model}{adapter}: {size:,} parameters; the student's base has {num_student / size:.0%} of them"


def _num_parameters(policy: Policy) -> int:
    """Of the teacher's base, from its configuration alone."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(configuration(bundled_path(policy.model)))
    return int(model.num_parameters())


def _local(recipe: Recipe, policy: Policy) -> Teacher:
    """The teacher in this process, beside the student: a second base, with its adapter where it has one. ConfigError
    where its weights do not fit into what is free, before they are loaded.
    """
    path, width, free = bundled_path(policy.model), DTYPES[policy.dtype].itemsize, free_memory()
    if (needed := _num_parameters(policy) * width) > free:
        raise ConfigError(
            f"distil.teacher={recipe.distil.teacher} does not fit beside the student: {needed / GIB:.1f} GiB of "
            f"weights, {free / GIB:.1f} GiB are free; serve it with vLLM, and name the server"
        )
    base = load_base(ModelSource(path, policy.dtype, recipe.model.max_length, policy.head_dtype))
    if policy.adapter is None:
        model, parts = lora.attach(base, UNSEEN, seed=0), frozenset[str]()
    else:
        model, parts = lora.restore(base, policy.adapter), ALL_PARTS
    scorer = Learner(model, AlgorithmConfig(), recipe.optim, recipe.learned_sampling, recipe.steps)
    return partial(scorer.score, parts=parts, temperature=recipe.sampling.temperature)
