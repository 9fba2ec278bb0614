"""A sampler whose completions a teacher has read: on-policy distillation (`kind: distil`)."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from doubleback.rewards.types import Problem, RunError
from doubleback.rl.engines.engine import OnGroup, Sampler
from doubleback.rl.types import Group, Sampling, TokenSequence

Teacher = Callable[[Sequence[TokenSequence]], list[tuple[float, ...]]]
"""Log-probability in nats of each completion id of each sequence, at the temperature of sampling."""


class Taught:
    """A `Sampler`: the student's engine draws, the teacher scores the same ids."""

    def __init__(self, engine: Sampler, teacher: Teacher) -> None:
        self._engine, self._teacher = engine, teacher

    @property
    def inside(self) -> Sampler:
        """See `rl.engines.engine.Wrapper`."""
        return self._engine

    def sample(
        self,
        problems: Sequence[Problem],
        sampling: Sampling,
        seeds: Sequence[int],
        on_group: OnGroup | None = None,
    ) -> list[Group]:
        """The engine's groups with `teacher_logprobs`; `on_group` gets them as they are drawn, before they are read.

        RunError unless the teacher says something of every token.
        """
        groups = self._engine.sample(problems, sampling, seeds, on_group)
        sequences = [(group.prompt_ids, completion.token_ids) for group in groups for completion in group.completions]
        scores = self._teacher(sequences)
        if [len(score) for score in scores] != [len(completion_ids) for _, completion_ids in sequences]:
            raise RunError("the teacher has not given one log-probability for each token that was sampled")
        remaining = iter(scores)
        return [replace(group, teacher_logprobs=tuple(next(remaining) for _ in group.completions)) for group in groups]

    def close(self) -> None:
        """Nothing is held: the engine is closed where it was started."""
