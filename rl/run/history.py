"""What of a run's past is not in its folder any more: lines of metrics, and rollouts of steps. Loads no torch."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from doubleback.rewards.jsonl import complete_lines, content
from doubleback.rewards.sample_lines import ROLLOUTS
from doubleback.rl.run.names import METRICS, SAMPLES_END, step_name

NUM_COMPLETIONS = "rollout/num_completions"
"""The metric of a step that has rollouts."""


def is_torn(path: Path) -> bool:
    """Whether a file of lines ends in the middle of one."""
    written = content(path) if path.exists() else b""
    return bool(written) and not written.endswith(b"\n")


def lost_history(run: Path, step: int) -> list[str]:
    """A line for each thing that is gone or torn of a run that was saved at `step`; none where all is there.

    ConfigError where a line of metrics in the middle cannot be read.
    """
    lines = complete_lines(run / METRICS)
    findings = []
    if is_torn(run / METRICS):
        findings.append(f"{METRICS} ends in the middle of a line, which is left out: that step is computed again")
    known = {line.get("step") for line in lines}
    if missing := [number for number in range(step + 1) if number not in known]:
        findings.append(
            f"{METRICS} has no line of {in_words(missing)} any more: curves have a gap there, and checkpoint.best and "
            "patience are reckoned without"
        )
    if missing := list(_without_rollouts(run, lines, step)):
        findings.append(f"{ROLLOUTS}/ has no file of {in_words(missing)} any more")
    return findings


def in_words(steps: Iterable[int]) -> str:
    """Steps in their order, as ranges: `steps 2 to 4, 7`."""
    ranges: list[tuple[int, int]] = []
    for step in sorted(steps):
        if ranges and step == ranges[-1][1] + 1:
            ranges[-1] = ranges[-1][0], step
        else:
            ranges.append((step, step))
    named = ", ".join(f"{first}" if first == last else f"{first} to {last}" for first, last in ranges)
    return f"step{'' if len(ranges) == 1 and ranges[0][0] == ranges[0][1] else 's'} {named}"


def _without_rollouts(run: Path, lines: Sequence[dict[str, Any]], step: int) -> Iterator[int]:
    for line in lines:
        number = line.get("step")
        if not isinstance(number, int) or number > step or line.get(NUM_COMPLETIONS) is None:
            continue
        if not (run / ROLLOUTS / f"{step_name(number)}{SAMPLES_END}").is_file():
            yield number
