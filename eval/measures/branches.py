"""What the replays of searches share: the thought of a completion, and whether its branches doubled back."""

from collections.abc import Hashable
from dataclasses import dataclass, field


def thought_of(completion: str) -> str:
    """The thinking of a completion; of one without `</think>` what stands before `<answer>`, or all of it."""
    before, closing, _ = completion.rpartition("</think>")
    return (before if closing else completion.partition("<answer>")[0]).replace("<think>", " ", 1)


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
