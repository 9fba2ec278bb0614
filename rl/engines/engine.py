"""What an engine is: it samples groups, scores given tokens, and takes a new adapter. One contract test for all."""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from transformers import PreTrainedTokenizerBase

from doubleback.rewards.types import ConfigError, Problem, first_line
from doubleback.rl.policy.lora import Adapter
from doubleback.rl.types import Group, Sampling, TokenSequence

OnGroup = Callable[[int, Group], None]
"""Called with each group as soon as it is complete, behind the number of its problem in the call."""
NO_ADAPTER = "base"
"""The adapter hash of what the bare base sampled."""


class Sampler(Protocol):
    """Draws completions: all that an evaluation needs."""

    def sample(
        self,
        problems: Sequence[Problem],
        sampling: Sampling,
        seeds: Sequence[int],
        on_group: OnGroup | None = None,
    ) -> list[Group]:
        """One group per problem, in order; sample i of a problem is drawn with its seed + i.

        A pure function of its arguments and the adapter: nothing that was sampled before changes a bit of it.
        `on_group` gets each group once, in the order in which they are finished, while others are still sampled.
        None of `sampling.banned_ids` is drawn; log-probabilities are those of what is left.
        Raises ConfigError where a prompt and max_tokens do not fit the context.
        """

    def close(self) -> None:
        """Free what the engine holds. The engine is unusable afterwards."""


@dataclass(frozen=True, slots=True)
class Load:
    """How an engine stands at this moment, in completions and their tokens."""

    running: int
    waiting: int
    done: int
    """Since the engine was made, as all below."""
    tokens: int
    """Of what is done and of what is running."""
    done_tokens: int


@runtime_checkable
class Watched(Protocol):
    """A sampler that can be asked how it stands, from another thread, while `sample` goes on."""

    def load(self) -> Load | None:
        """What is running, waiting and done; None where nobody knows."""


Asked = tuple[int, Problem, int]
"""A problem to be sampled: its number, the problem, and the seed of its first sample."""
Feed = Callable[[bool], Sequence[Asked] | None]
"""Further problems of a call under way; called with whether to wait for them. None: there will be no more."""


@runtime_checkable
class Fed(Protocol):
    """A sampler that takes further problems while it runs: nothing stands idle until the last of a batch is done."""

    def sample_fed(self, feed: Feed, sampling: Sampling, on_group: OnGroup) -> None:
        """Sample what `feed` brings, as `Sampler.sample` does, until there is no more; `on_group` gets each group."""


Scores = list[tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Proof:
    """What a replica has to compute before it serves."""

    sequences: Sequence[TokenSequence]
    fault: Callable[[Scores], str]
    """What is wrong with its log-probabilities of them, as the end of a sentence; empty where nothing is. It depends on
    its argument alone: it is called whenever a replica was replaced, while others sample."""


@runtime_checkable
class Replicated(Protocol):
    """An engine of several, any of which may be broken: each has to prove itself (`rl.sync`)."""

    def score_each(self, sequences: Sequence[TokenSequence], of: Sequence[str] | None = None) -> dict[str, Scores]:
        """`Engine.score` of each that can be asked, or of those named, by its name and machine."""

    def settle(self, proof: Proof, judged: Mapping[str, str]) -> None:
        """From now on serve those that are `judged` without a fault; replace the others. Who was not judged, and who
        is new, serves when `proof` finds no fault. RunError where too few are left.
        """


@runtime_checkable
class Wrapper(Protocol):
    """A sampler around another, which changes what is sampled and nothing else that the other can do."""

    @property
    def inside(self) -> Sampler:
        """The one that it asks."""


def bare(engine: object) -> object:
    """The engine without what is wrapped around it: ask this one whether it is `Watched`, `Replicated` or the like."""
    while isinstance(engine, Wrapper):
        engine = engine.inside
    return engine


class Engine(Sampler, Protocol):
    """A sampler with an adapter: the frozen base plus the adapter last loaded. A new one serves the bare base.

    It is taken to compute its LM head in the base's precision, unless it has an attribute `head_dtype` that says
    "float32", as `model.head_dtype` asks of it for a base in bfloat16.
    """

    def load_adapter(self, adapter: Adapter, version: int) -> None:
        """Serve `adapter` from now on. Returns when every later token comes from it; `rl.sync` proves that."""

    def score(self, sequences: Sequence[TokenSequence]) -> list[tuple[float, ...]]:
        """Log-probability in nats, at temperature 1, of each completion id of each sequence."""


def all_at_once(problems: Sequence[Problem], seeds: Sequence[int]) -> Feed:
    """A feed that has all of a call's problems at its begin."""
    batches = iter([[(row, *pair) for row, pair in enumerate(zip(problems, seeds, strict=True))]])
    return lambda waits: next(batches, None)


THE_ENGINE = "the engine"
"""The one there is, as messages call it."""


def scores_each(
    engine: Engine, sequences: Sequence[TokenSequence], of: Sequence[str] | None = None
) -> dict[str, Scores]:
    """`Replicated.score_each`; of one that is alone, what it computes."""
    several = bare(engine)
    return (
        several.score_each(sequences, of) if isinstance(several, Replicated) else {THE_ENGINE: engine.score(sequences)}
    )


def settle(engine: Engine, proof: Proof, judged: Mapping[str, str]) -> None:
    """`Replicated.settle`; nothing for one that is alone."""
    several = bare(engine)
    if isinstance(several, Replicated):
        several.settle(proof, judged)


def load_of(engine: object) -> Load | None:
    """`Watched.load`; None of one that cannot be asked."""
    watched = bare(engine)
    return watched.load() if isinstance(watched, Watched) else None


def encode_prompts(
    problems: Sequence[Problem], tokenizer: PreTrainedTokenizerBase, max_tokens: int, max_length: int
) -> list[tuple[int, ...]]:
    """Prompt ids, special tokens of the tokenizer included.

    ConfigError names the first prompt that is too long, or that the tokenizer has no words for.
    """
    prompts = [encode_prompt(problem, tokenizer) for problem in problems]
    for problem, prompt in zip(problems, prompts, strict=True):
        if len(prompt) + max_tokens > max_length:
            raise ConfigError(
                f"problem {problem.id}: prompt of {len(prompt)} tokens + sampling.max_tokens={max_tokens} exceeds "
                f"model.max_length={max_length}; raise model.max_length or lower sampling.max_tokens"
            )
    return prompts


def encode_prompt(problem: Problem, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """The same for one problem, however long. ConfigError where the tokenizer has no words for it."""
    try:
        return tuple(tokenizer(problem.prompt)["input_ids"])
    except Exception as error:
        raise ConfigError(
            f"problem {problem.id}: the model's tokenizer cannot read the prompt {problem.prompt[:80]!r}: "
            f"{first_line(error)}; take a model whose vocabulary has its words"
        ) from error


def completion_text(
    token_ids: Sequence[int], tokenizer: PreTrainedTokenizerBase, ends: Container[int], stop: Sequence[str] = ()
) -> str:
    """The decoded completion without the token of `ends` that it ends with, up to the first stop string."""
    has_ended = len(token_ids) > 0 and token_ids[-1] in ends
    text = str(tokenizer.decode(token_ids[:-1] if has_ended else token_ids, skip_special_tokens=False))
    return text[: min((text.find(string) for string in stop if string in text), default=len(text))]
