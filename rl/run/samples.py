"""The samples of a group as lines of a file: as an evaluation keeps them, and with all that a training step knows."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from doubleback.rewards.jsonl import GZIPPED, to_lines
from doubleback.rewards.sample_lines import sample_line
from doubleback.rl.run.files import write_atomically
from doubleback.rl.types import Group, GroupRow


def sample_lines(group: Group) -> list[dict[str, Any]]:
    """A line for each completion of a scored group."""
    return [sample_line(group.problem, index, row.completion, row.score) for index, row in enumerate(group.rows())]


def rollout_lines(step: int, group: Group) -> list[dict[str, Any]]:
    """The same with the step, the tokens, what a teacher says of them where there is one, the advantage, null where
    none was assigned, and where the step learned from it how far trainer and engine were apart.
    """
    return [
        {
            "step": step,
            **line,
            "token_ids": row.completion.token_ids,
            "sampler_logprobs": row.completion.sampler_logprobs,
            "advantage": row.advantage,
            **({} if row.teacher_logprobs is None else {"teacher_logprobs": row.teacher_logprobs}),
            **_apart(row),
        }
        for line, row in zip(sample_lines(group), group.rows(), strict=True)
    ]


def _apart(row: GroupRow) -> dict[str, Any]:
    """`log_ratios`, log(trainer / engine) of each token in nats to six places, and `gap`, the mean of their sizes.

    Nothing where one of both said nothing. For example old_logprobs (-0.5, -1.0) against sampler_logprobs (-0.5, -1.5):
    {"gap": 0.25, "log_ratios": [0.0, 0.5]}.
    """
    old, sampled = row.old_logprobs, row.completion.sampler_logprobs
    if not old or not sampled:
        return {}
    ratios = [ours - theirs for ours, theirs in zip(old, sampled, strict=True)]
    gap = fmean(map(abs, ratios))
    # Finer than that is the rounding of float32, and costs ten times the bytes.
    return {"gap": float(f"{gap:.3g}"), "log_ratios": [round(ratio, 6) + 0.0 for ratio in ratios]}


def write_rollouts(path: Path, step: int, groups: Sequence[Group]) -> None:
    """Write one line a completion with everything that is known about it; gzipped where the name ends in .gz."""
    lines = [line for group in groups for line in rollout_lines(step, group)]
    write_atomically(path, to_lines(lines, is_gzipped=path.suffix == GZIPPED))
