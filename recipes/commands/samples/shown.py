"""The samples of a step in the terminal: the best and the worst, with what their scores are made of. Loads no torch."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from doubleback.eval.show.console import Console, panel
from doubleback.rewards.jsonl import complete_lines
from doubleback.rewards.sample_lines import ROLLOUTS, num_tokens, read_problems, with_columns
from doubleback.rewards.types import ConfigError, Verdict
from doubleback.rewards.visible import visible
from doubleback.rl.run.names import SAMPLES_END, step_name, step_of

MOST_CHARACTERS = 700
"""Of a completion and of a prompt that are shown: what is longer is cut in the middle."""


def show_samples(run: Path, step: int | None, number: int, console: Console) -> bool:
    """Print the `number` best and worst samples of a step by their scores, of None of the newest that has some; whether
    there are any. Those that could not be judged come last. ConfigError where `step` has none, with those that have.
    """
    steps = sorted(
        found for path in (run / ROLLOUTS).glob(f"*{SAMPLES_END}") if (found := step_of(path.name)) is not None
    )
    if step is not None and step not in steps:
        there = f"it has those of {steps[0]} to {steps[-1]}" if steps else "it has none"
        raise ConfigError(f"--step {step}: {run} has no samples of that step; {there}")
    if not steps:
        return False
    shown = steps[-1] if step is None else step
    lines = with_columns(
        complete_lines(run / ROLLOUTS / f"{step_name(shown)}{SAMPLES_END}"), read_problems(run).values()
    )
    judged = sorted((line for line in lines if line["score"] is not None), key=lambda line: -line["score"])
    num_best = min(number, (len(judged) + 1) // 2)
    num_worst = min(number, len(judged) - num_best)
    groups = {
        "best": judged[:num_best],
        "worst": judged[len(judged) - num_worst :],
        "not judged": [line for line in lines if line["score"] is None][:number],
    }
    console.print(f"samples     of step {shown}: {len(lines):,}", soft_wrap=True)
    for name, chosen in groups.items():
        for line in chosen:
            console.print(panel(_sample(line), f"{name}: problem {line['problem']}, sample {line['sample']}"))
    return True


def _sample(line: dict[str, Any]) -> Text:
    is_right = line["verdict"] == Verdict.CORRECT
    text = Text.assemble((str(line["verdict"]), "green" if is_right else "red"))
    text.append(f"  {', '.join(_facts(line))}\n")
    if line["detail"]:
        text.append(f"{visible(str(line['detail']))}\n")
    if "prompt" in line:
        text.append(
            f"{visible(_cut(line['prompt'] if isinstance(line['prompt'], str) else str(line['prompt'])))}\n", "dim"
        )
    text.append(visible(_cut(line["completion"])))
    return text


def _facts(line: dict[str, Any]) -> Iterable[str]:
    """Score and what it is the sum of, advantage, answer, length."""
    if line["score"] is not None:
        parts = " ".join(f"{value:+.3g} {name}" for name, value in _numbers(line["weighted"]))
        yield f"score {line['score']:.3g}{f' = {parts}' if parts else ''}"
    if line.get("advantage") is not None:
        yield f"advantage {line['advantage']:+.3g}"
    if line["extracted"] is not None:
        yield f"answer {visible(str(line['extracted']))!r}"
    if (tokens := num_tokens(line)) is not None:
        yield f"{tokens} tokens{', cut off' if line['finish_reason'] == 'length' else ''}"


def _numbers(weighted: dict[str, Any]) -> Sequence[tuple[str, float]]:
    return [(name, value) for name, value in weighted.items() if isinstance(value, int | float)]


def _cut(text: str) -> str:
    if len(text) <= MOST_CHARACTERS:
        return text
    half, left_out = MOST_CHARACTERS // 2, len(text) - MOST_CHARACTERS // 2 * 2
    return f"{text[:half]} ... ({left_out:,} characters) ... {text[-half:]}"
