"""What the replays of searches share: the thought of a completion, whether its branches doubled back, the measures."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from doubleback.eval.measures.measure import Measure


class Replayed(Protocol):
    """What the replay of any search says of it."""

    @property
    def num_backtracks(self) -> int:
        """How often it went back and on."""

    @property
    def num_false_checks(self) -> int:
        """How many of its checks are untrue."""

    @property
    def is_verified_backtrack(self) -> bool:
        """Whether it doubled back to a right answer, and erred nowhere."""


R = TypeVar("R", bound=Replayed)


def thought_of(completion: str) -> str:
    """The thinking of a completion; of one without `</think>` what stands before `<answer>`, or all of it.

    A character stands where it does in the completion.
    """
    before, closing, _ = completion.rpartition("</think>")
    return (before if closing else completion.partition("<answer>")[0]).replace("<think>", " " * len("<think>"), 1)


@dataclass(slots=True)
class Branches:
    """The branches that a search entered so far, and the true `no`s that it met."""

    names: list[Hashable] = field(default_factory=list)
    """Of the branches, in the order in which they were entered; equal where one was entered again."""
    num_true_noes: int = 0
    before: list[int] = field(default_factory=list)
    """For each branch, the true `no`s before it."""

    def enter(self, name: Hashable) -> None:
        """Enter a branch."""
        self.names.append(name)
        self.before.append(self.num_true_noes)

    def have_doubled_back(self) -> bool:
        """Whether there are two or more, and the last is new and came after a true `no`."""
        return len(self.names) >= 2 and self.before[-1] > 0 and self.names[-1] not in self.names[:-1]


def search_measures(
    columns: Mapping[str, Any],
    replayed: Callable[[Mapping[str, Any], str], R],
    errors: tuple[str, str],
    num_errors: Callable[[R], int],
) -> Mapping[str, Measure]:
    """The measures of a task whose completions are replayed, from its `columns`. The replay's own errors go by the name
    and label `errors`: the share of completions that have any of `num_errors`.
    """
    name, label = errors
    return {
        "verified_backtrack": Measure(
            "verified backtracks", columns, lambda row, text: replayed(row, text).is_verified_backtrack
        ),
        name: Measure(label, columns, lambda row, text: num_errors(replayed(row, text)) > 0),
        "false_check_rate": Measure(
            "false yes/no", columns, lambda row, text: replayed(row, text).num_false_checks > 0
        ),
        "backtracks": Measure(
            "backtracks", columns, lambda row, text: replayed(row, text).num_backtracks, by_verdict=True
        ),
    }
