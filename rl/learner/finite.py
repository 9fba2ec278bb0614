"""Numbers that are not finite stop a run: before the optimiser moves, before an adapter is pushed, before it is saved.

Every guard asks what is finite, never what is not: NaN is neither above nor below any bound.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor

from doubleback.rewards.types import RunError
from doubleback.rl.types import Group

WAY_OUT = "start anew with a lower optim.lr, a longer optim.warmup_steps or a lower optim.max_grad_norm"


def diverged(step: int, what: str, then: str) -> RunError:
    """The error of a run whose numbers ran away: `what` they are, and what `then` has been left undone."""
    return RunError(f"step {step}: {what} not finite; {then}, earlier checkpoints are kept: {WAY_OUT}")


def require_finite(step: int, measured: Mapping[str, float]) -> None:
    """RunError that names the first of the step's figures that is not finite; the optimiser has not moved then."""
    for name, value in measured.items():
        if not math.isfinite(value):
            raise diverged(step, f"{name} ({value}) is", "the adapter is as it was before the step")


def spoiled(tensors: Iterable[tuple[str, Tensor]]) -> str | None:
    """The name of the first tensor that is not finite throughout; None where all are."""
    return next((name for name, tensor in tensors if not bool(tensor.isfinite().all())), None)


def require_finite_groups(step: int, groups: Sequence[Group]) -> None:
    """RunError unless every number is finite that the learner takes of the groups, with the problem that it stands at.

    An engine that reports NaN or -inf for a token that it has just drawn computes the model wrong.
    """
    for group in groups:
        for name, values in _numbers(group):
            if odd := [value for value in values if not math.isfinite(value)]:
                raise RunError(
                    f"step {step}: problem {group.problem.id} has {name} of {odd[0]}; nothing is learned of it, "
                    f"earlier checkpoints are kept: {WAY_OUT}, or see with doubleback check whether the engine "
                    "computes this model"
                )


def _numbers(group: Group) -> list[tuple[str, Sequence[float]]]:
    sampled = [value for completion in group.completions for value in completion.sampler_logprobs]
    judged = [value for value in group.advantages if value is not None]
    return [
        ("a log-probability (engine)", sampled),
        ("a log-probability (teacher)", [value for values in group.teacher_logprobs for value in values]),
        ("a KL penalty (algorithm.kl_in=reward)", group.penalties),
        ("an advantage", judged),
    ]
