"""The backtracking meter: what a Countdown completion did, found by replaying its states. Pure Python, never raises.

Words such as "wait" measure style; here every operation is located in the search instead. The replay keeps the path of
number multisets from the given numbers to the current state. An operation whose operands stand in the current state
goes forward; one whose operands stand only in an earlier state of the path returns there, which is one backtrack; one
whose operands stand nowhere is an illegal step. The words of the traces make this exact: ` : ` (or nothing) after an
operation enters the state it leaves, a check (`no`, `yes`) does not, and `back` returns to the parent state. A state
of one number is never entered: trying the next operation beside a failed one is no backtrack.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from doubleback.eval.measures.branches import Branches, thought_of
from doubleback.eval.measures.moves import Move
from doubleback.rewards.builtin.countdown import grade
from doubleback.rewards.types import Verdict

# At most six digits: longer ones are no numbers of any problem, and int() refuses very long ones.
_STEP = re.compile(
    r"(?<![0-9])(?P<left>[0-9]{1,6})\s*(?P<operator>[-+*])\s*(?P<right>[0-9]{1,6})\s*=\s*(?P<result>[0-9]{1,6})"
    r"(?![0-9])(?:\s*(?P<check>no|yes)\b)?(?P<descends>\s*:)?"
)
_WORD = re.compile(r"[0-9]+|[^\W\d]+|\S")


@dataclass(frozen=True, slots=True)
class Replay:
    """What one completion did."""

    num_steps: int
    """Operations of the form `a op b = c`, legal or not."""
    num_branches: int
    """Entries into a state of two numbers. With three numbers: first operations that were followed."""
    num_backtracks: int
    """Operations made in an ancestor of the state that was reached before."""
    num_illegal_steps: int
    """Operations whose operands stand in no state of the path."""
    num_arithmetic_errors: int
    """Operations whose result is not `a op b`."""
    num_checks: int
    """Operations followed by `no` or `yes`."""
    num_false_checks: int
    """Checks that are untrue: `yes` is true where a legal step states the target and uses up the numbers, else `no`."""
    num_unparsed: int
    """Words that are neither part of a step nor a `back` that has a state to return to."""
    is_abandoned: bool
    """The thinking does not end in `yes`."""
    is_verified_backtrack: bool
    """The answer is right; two branches or more, a true `no` before the last, which differs from all earlier ones; the
    thinking ends in a true `yes`; every result is right."""
    moves: tuple[Move, ...] = field(default=(), compare=False, repr=False)
    """The operations one by one, for a person."""


@dataclass(frozen=True, slots=True)
class _Step:
    """One operation as written."""

    start: int
    end: int
    """Where it stands, in characters."""
    left: int
    operator: str
    right: int
    result: int
    check: str | None
    descends: bool

    @property
    def name(self) -> tuple[int, str, int]:
        """The same for `7 + 12` and `12 + 7`."""
        return max(self.left, self.right), self.operator, min(self.left, self.right)

    @property
    def value(self) -> int:
        """What the operation makes, whatever it says."""
        values = {"+": self.left + self.right, "-": self.left - self.right, "*": self.left * self.right}
        return values[self.operator]

    @property
    def is_right(self) -> bool:
        return self.value == self.result


@dataclass(slots=True)
class _Search:
    """The replay's position and tallies while it reads. Lives inside `replay` alone."""

    target: int
    path: list[Counter[int]]
    """The states from the given numbers to the current one. An empty state is one that an illegal step led to."""
    names: list[tuple[int, str, int]] = field(default_factory=list)
    """The operations between them."""
    branches: Branches = field(default_factory=Branches)
    has_gone_back: bool = False
    tally: Counter[str] = field(default_factory=Counter)
    ends_in_yes: bool = False
    ends_in_true_yes: bool = False
    moves: list[Move] = field(default_factory=list)


def replay(completion: str, numbers: Sequence[int], target: int) -> Replay:
    """What the thinking of a completion did on the problem (numbers, target), and whether it doubled back to success.

    With three numbers, the branches of `is_verified_backtrack` are first operations; with four, pairs of them. A
    completion without `</think>` is read up to `<answer>` or its end.
    """
    search = _Search(target, [Counter(numbers)])
    thought = thought_of(completion)
    position = 0
    for match in _STEP.finditer(thought):
        _read_words(search, thought[position : match.start()])
        _take(search, _step_of(match))
        position = match.end()
    _read_words(search, thought[position:])
    return Replay(
        num_steps=search.tally["step"],
        num_branches=len(search.branches.names),
        num_backtracks=search.tally["backtrack"],
        num_illegal_steps=search.tally["illegal"],
        num_arithmetic_errors=search.tally["arithmetic"],
        num_checks=search.tally["check"],
        num_false_checks=search.tally["false check"],
        num_unparsed=search.tally["unparsed"],
        is_abandoned=not search.ends_in_yes,
        # The answer is graded where it matters alone: that takes a third of the replay's time.
        is_verified_backtrack=_has_doubled_back(search)
        and grade(completion, numbers, target).verdict == Verdict.CORRECT,
        moves=tuple(search.moves),
    )


def _step_of(match: re.Match[str]) -> _Step:
    left, right, result = (int(match[name]) for name in ("left", "right", "result"))
    descends = match["descends"] is not None
    return _Step(*match.span(), left, match["operator"], right, result, match["check"], descends)


def _read_words(search: _Search, text: str) -> None:
    """Follow `back` and count what means nothing."""
    for word in _WORD.findall(text):
        search.ends_in_yes = search.ends_in_true_yes = False
        if word == "back" and len(search.path) > 1:
            search.path.pop()
            search.names.pop()
            search.has_gone_back = True
        else:
            search.tally["unparsed"] += 1


def _take(search: _Search, step: _Step) -> None:
    """Locate a step in the path, count what it is, and enter the state it leaves."""
    operands = Counter((step.left, step.right))
    depth = next((i for i in reversed(range(len(search.path))) if operands <= search.path[i]), None)
    is_legal = depth is not None
    if depth is not None:
        search.tally["backtrack"] += search.has_gone_back or depth < len(search.path) - 1
        search.has_gone_back = False
        del search.path[depth + 1 :], search.names[depth:]
    left_over = search.path[-1] - operands + Counter([step.result]) if is_legal else Counter()
    search.tally["step"] += 1
    search.tally["illegal"] += not is_legal
    search.tally["arithmetic"] += not step.is_right
    is_solved = is_legal and left_over.total() == 1 and step.result == search.target
    is_check_true = _judge(search, step, is_solved)
    search.moves.append(_move(step, len(search.path) - 1, is_legal, left_over, is_check_true))
    # An illegal step is entered only where the text says so, to keep the number of `back`s in step with the path.
    if step.check is None and (left_over.total() > 1 or step.descends):
        _enter(search, step, left_over)


def _move(step: _Step, depth: int, is_legal: bool, left_over: Counter[int], is_check_true: bool | None) -> Move:
    """The step for a person: what is left after it, and what is wrong with it."""
    faults = [] if is_legal else ["no such numbers are left"]
    faults += [] if step.is_right else [f"makes {step.value}"]
    left = " ".join(map(str, sorted(left_over.elements())))
    return Move(step.start, step.end, depth, left, ", ".join(faults), step.check or "", is_check_true)


def _judge(search: _Search, step: _Step, is_solved: bool) -> bool | None:
    """Count the check of a step, and say whether it is true; None without one.

    It is held against the result as stated: a slip of arithmetic counts once.
    """
    is_yes = step.check == "yes"
    is_true = is_yes == is_solved
    if step.check is not None:
        search.tally["check"] += 1
        search.tally["false check"] += not is_true
        search.branches.num_true_noes += is_true and not is_yes
    search.ends_in_yes, search.ends_in_true_yes = is_yes, is_yes and is_true
    return None if step.check is None else is_true


def _enter(search: _Search, step: _Step, state: Counter[int]) -> None:
    search.path.append(state)
    search.names.append(step.name)
    if state.total() == 2:
        search.branches.enter(tuple(search.names))


def _has_doubled_back(search: _Search) -> bool:
    """Whether a last, new branch ended in a true `yes` after an earlier one had met a true `no`."""
    return search.branches.have_doubled_back() and search.ends_in_true_yes and search.tally["arithmetic"] == 0
