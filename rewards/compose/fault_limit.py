"""Too many completions that could not be judged stop a run: what is left would be a biased sample."""

from collections.abc import Sequence

from doubleback.rewards.types import UNUSABLE, Completion, Problem, RunError, Score

NUM_SHOWN = 3
"""Examples in the message."""
SHOWN_CHARACTERS = 160
"""Of a completion, half from its beginning, half from its end."""


def refuse_faults(judged: Sequence[tuple[Problem, Completion, Score]], max_share: float) -> None:
    """RunError where the verdicts timeout and grader_error are more than `max_share` of a step; shows the slowest."""
    faults = [item for item in judged if item[2].verdict in UNUSABLE]
    if len(faults) <= max_share * len(judged):
        return
    counts = {verdict: sum(score.verdict == verdict for *_, score in faults) for verdict in sorted(UNUSABLE)}
    listed = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    worst = sorted(faults, key=lambda item: -(item[2].seconds or 0.0))[:NUM_SHOWN]
    raise RunError(
        "\n".join(
            [
                f"{len(faults)} of {len(judged)} completions of a step could not be judged ({listed}), more than "
                f"reward.max_faults={max_share:g} allows; mend the reward, raise its limits, or raise that share",
                *(
                    f"  problem {problem.id}: {score.verdict}, {score.detail}; completion {shorten(completion.text)!r}"
                    for problem, completion, score in worst
                ),
            ]
        )
    )


def shorten(text: str) -> str:
    """The text, or its beginning and its end."""
    half = SHOWN_CHARACTERS // 2
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:half]} ... {text[-half:]}"
