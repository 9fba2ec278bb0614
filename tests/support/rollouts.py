"""Rollouts made by hand: groups with the tokens, log-probabilities and rewards that a test wants."""

import random
from collections.abc import Sequence

from doubleback.rewards.types import Completion, Problem, Score, Verdict
from doubleback.rl.types import Group, Sampling

SAMPLING = Sampling(group_size=4, temperature=1.0, max_tokens=12)
"""For a learner whose batches are made by the test itself."""
EOS = 2
FIRST_WORD, NUM_WORDS = 3, 118
"""Ids below the first are special."""


def make_completion(
    token_ids: Sequence[int], sampler_logprobs: Sequence[float] = (), finish_reason: str = "stop"
) -> Completion:
    return Completion(
        text=" ".join(map(str, token_ids)),
        token_ids=tuple(token_ids),
        sampler_logprobs=tuple(sampler_logprobs) or (-1.0,) * len(token_ids),
        finish_reason=finish_reason,
        policy_version=0,
        adapter_hash="test",
        seed=0,
    )


def make_score(reward: float | None) -> Score:
    if reward is None:
        return Score(None, Verdict.TIMEOUT)
    return Score(
        reward, Verdict.CORRECT if reward >= 1 else Verdict.WRONG, parts={"task": reward}, weighted={"task": reward}
    )


def make_group(prompt_ids: Sequence[int], completions: Sequence[Completion], rewards: Sequence[float | None]) -> Group:
    """A scored group; its problem is named after the prompt."""
    problem = Problem("-".join(map(str, prompt_ids)), " ".join(map(str, prompt_ids)))
    return Group(problem, tuple(prompt_ids), tuple(completions), tuple(map(make_score, rewards)))


def random_groups(
    rewards: Sequence[Sequence[float | None]],
    *,
    max_tokens: int = 12,
    seed: int = 0,
    prompt_tokens: tuple[int, int] = (3, 9),
) -> list[Group]:
    """One scored group per list of rewards: ragged prompts, ragged completions, every fourth one cut off."""
    rng = random.Random(seed)
    groups = []
    for index, group_rewards in enumerate(rewards):
        prompt = [1, *(rng.randrange(FIRST_WORD, NUM_WORDS) for _ in range(rng.randint(*prompt_tokens)))]
        completions = []
        for number in range(len(group_rewards)):
            is_cut = (index + number) % 4 == 3
            length = max_tokens if is_cut else rng.randint(2, max_tokens)
            words = [rng.randrange(FIRST_WORD, NUM_WORDS) for _ in range(length)]
            if not is_cut:
                words[-1] = EOS
            logprobs = [-4 * rng.random() for _ in words]
            completions.append(make_completion(words, logprobs, "length" if is_cut else "stop"))
        groups.append(make_group(prompt, completions, group_rewards))
    return groups
