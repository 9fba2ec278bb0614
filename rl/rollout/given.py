"""Completions that were given: what `kind: sft` learns from in the place of samples."""

from collections.abc import Callable, Mapping, Sequence

from transformers import PreTrainedTokenizerBase

from doubleback.rewards.types import Completion, ConfigError, Problem
from doubleback.rl.engines.engine import OnGroup, encode_prompt
from doubleback.rl.types import Group, Sampling

GIVEN = "given"
"""The adapter hash of what no policy sampled."""
TokenIds = tuple[int, ...]


def encode_given(
    problem: Problem, text: str, tokenizer: PreTrainedTokenizerBase, learn_prompts: bool = False
) -> tuple[TokenIds, TokenIds]:
    """(prompt ids, completion ids) of a completion that is given, the end of sequence behind it.

    The two are encoded apart, as an engine that samples a completion gets the prompt. With `learn_prompts` the prompt
    is its first token alone, and the rest of it is part of what is learned. ConfigError where the tokenizer has no
    words for it, or no end of sequence.
    """
    if not isinstance(tokenizer.eos_token_id, int):
        raise ConfigError("kind=sft: the tokenizer has no end-of-sequence token, with which a completion would end")
    prompt = encode_prompt(problem, tokenizer)
    try:
        said = tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
    except Exception as error:
        raise ConfigError(
            f"problem {problem.id}: the model's tokenizer cannot read the completion {text[:80]!r}; take a model whose "
            "vocabulary has its words"
        ) from error
    completion = (*said, tokenizer.eos_token_id)
    return (prompt[:1], (*prompt[1:], *completion)) if learn_prompts else (prompt, completion)


class Given:
    """A `Sampler` that draws nothing: the one completion of a problem is the one that was given for it."""

    def __init__(
        self,
        completions: Mapping[str, str],
        tokenizer: PreTrainedTokenizerBase,
        version: Callable[[], int],
        learn_prompts: bool = False,
    ) -> None:
        """`completions`: problem id -> text. `version`: the step of the learner, behind which nothing given lags."""
        self._completions, self._tokenizer = completions, tokenizer
        self._version, self._learn_prompts = version, learn_prompts

    def sample(
        self,
        problems: Sequence[Problem],
        sampling: Sampling,
        seeds: Sequence[int],
        on_group: OnGroup | None = None,
    ) -> list[Group]:
        """A group of one for each problem, whatever `sampling` says."""
        groups = [self._group(problem, seed) for problem, seed in zip(problems, seeds, strict=True)]
        if on_group is not None:
            for index, group in enumerate(groups):
                on_group(index, group)
        return groups

    def close(self) -> None:
        """Nothing is held."""

    def _group(self, problem: Problem, seed: int) -> Group:
        text = self._completions[problem.id]
        prompt_ids, token_ids = encode_given(problem, text, self._tokenizer, self._learn_prompts)
        completion = Completion(
            text=text,
            token_ids=token_ids,
            sampler_logprobs=(),  # nobody sampled it
            finish_reason="stop",
            policy_version=self._version(),
            adapter_hash=GIVEN,
            seed=seed,
        )
        return Group(problem, prompt_ids, (completion,))
