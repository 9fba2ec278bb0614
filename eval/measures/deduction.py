"""The meter of knights and knaves: what a completion assumed, derived and left. Pure Python, never raises.

The words of a thought are replayed on the worlds that are still open, which at first are all of them:

    if A-knight               an assumption, which opens a branch; a further one opens a branch of that branch
    A: B-lies so B-knave      a derivation: by what A says, as far as the facts go, B is a knave
    A: B-lies true yes        a check: what A says is true, and fits every world that is open (`no`: none; `open`:
                              some, and it settles nobody)
    back                      leaves all assumptions and what was derived from them

An assumption about somebody who is settled already leaves those since which that is so. What stands in the thought is
held against the facts as stated there: a derivation that is wrong counts once, and goes on. What somebody says, and
whether it is true, may be left out, but not be wrong.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from doubleback.eval.measures.branches import Branches, thought_of
from doubleback.eval.measures.moves import Move
from doubleback.rewards.builtin.knights import (
    KNAVE,
    KNIGHT,
    NAMES,
    Worlds,
    fact,
    fitting,
    grade,
    solutions,
    where,
    where_true,
    worlds,
)
from doubleback.rewards.types import Verdict

_FACT = r"[A-D]-(?:knight|knave)"
_QUOTE = r"(?:[A-D](?:-(?:honest|lies))?\s+|and\s+|or\s+|alike\s+|differ\s+){0,5}"
_OUTCOME = rf"(?:(?P<check>yes|no|open)|so\s+(?P<derived>{_FACT}))\b"
_STEP = re.compile(
    rf"\bif\s+(?P<assumed>{_FACT})\b"
    rf"|\b(?P<speaker>[A-D]):\s*(?P<quoted>{_QUOTE})(?:(?P<truth>true|false)\s+)?{_OUTCOME}"
)
_WORD = re.compile(r"\w+|\S")


@dataclass(frozen=True, slots=True)
class Deduction:
    """What one completion did."""

    num_assumptions: int
    """Branches entered."""
    num_derivations: int
    """Derivations, right or not."""
    num_backtracks: int
    """Times that the search went on after it had left an assumption."""
    num_errors: int
    """Derivations that what the speaker says does not force, words put into somebody's mouth, `true` and `false` where
    that is not so, and assumptions about somebody settled without any."""
    num_checks: int
    num_false_checks: int
    """Checks that are untrue of the worlds that were open."""
    num_unparsed: int
    """Words that are no step, nor a `back` that has an assumption to leave."""
    is_abandoned: bool
    """The thinking does not end in `yes`."""
    is_verified_backtrack: bool
    """The answer is right; two branches or more, a true `no` before the last, which differs from all earlier ones; the
    thinking ends in a true `yes` where the one open world is the solution; no error."""
    moves: tuple[Move, ...] = field(default=(), compare=False, repr=False)
    """The assumptions, derivations and checks one by one, for a person."""


@dataclass(slots=True)
class _Search:
    """The replay's position and tallies while it reads. Lives inside `replay` alone."""

    statements: tuple[str, ...]
    path: list[Worlds]
    """The worlds that are open: without any assumption, and behind each on the path."""
    assumed: list[str] = field(default_factory=list)
    """The assumptions on the path."""
    branches: Branches = field(default_factory=Branches)
    has_gone_back: bool = False
    tally: Counter[str] = field(default_factory=Counter)
    last_check: str = ""
    """`yes`, `no`, `open`, or nothing where the last word was no check."""
    moves: list[Move] = field(default_factory=list)


def replay(completion: str, statements: Sequence[str]) -> Deduction:
    """What the thinking of a completion did with these statements, and whether it doubled back to success.

    A completion without `</think>` is read up to `<answer>` or its end.
    """
    search = _Search(tuple(statements), [worlds(len(statements))])
    thought = thought_of(completion)
    position = 0
    for match in _STEP.finditer(thought):
        _read_words(search, thought[position : match.start()])
        search.moves.append(_moved(search, match))
        position = match.end()
    _read_words(search, thought[position:])
    is_right = grade(completion, statements).verdict == Verdict.CORRECT
    return Deduction(
        num_assumptions=len(search.branches.names),
        num_derivations=search.tally["derivation"],
        num_backtracks=search.tally["backtrack"],
        num_errors=search.tally["error"],
        num_checks=search.tally["check"],
        num_false_checks=search.tally["false check"],
        num_unparsed=search.tally["unparsed"],
        is_abandoned=search.last_check != "yes",
        is_verified_backtrack=is_right and _has_doubled_back(search),
        moves=tuple(search.moves),
    )


def _read_words(search: _Search, text: str) -> None:
    """Follow `back` and count what means nothing."""
    for word in _WORD.findall(text):
        search.last_check = ""
        if word == "back" and search.assumed:
            _leave(search, 0)
        else:
            search.tally["unparsed"] += 1


def _leave(search: _Search, depth: int) -> None:
    """Go back to the place with so many assumptions."""
    search.has_gone_back |= depth < len(search.assumed)
    del search.path[depth + 1 :], search.assumed[depth:]


def _moved(search: _Search, match: re.Match[str]) -> Move:
    """Take a step, and describe it for a person: what its tallies say of it, and which worlds are open after it."""
    errors, false_checks = search.tally["error"], search.tally["false check"]
    _take(search, match)
    # An assumption stands where it was made, what follows it one branch deeper.
    depth = max(len(search.assumed) - (match["assumed"] is not None), 0)
    num_open = len(search.path[-1])
    leaves = f"{num_open} world{'' if num_open == 1 else 's'} open"
    fault = "does not follow" if search.tally["error"] > errors else ""
    is_true = None if not search.last_check else search.tally["false check"] == false_checks
    return Move(*match.span(), depth, leaves, fault, search.last_check, is_true)


def _take(search: _Search, match: re.Match[str]) -> None:
    search.last_check = ""
    named = {match[group][0] for group in ("assumed", "speaker", "derived") if match[group]}
    if not named <= set(NAMES[: len(search.statements)]):
        search.tally["error"] += 1
        return
    if match["speaker"]:
        search.tally["error"] += _is_misquoted(search, match)
    if match["assumed"]:
        _assume(search, match["assumed"])
    elif match["check"]:
        _check(search, match["speaker"], match["check"])
    else:
        _derive(search, match["speaker"], match["derived"])
    search.tally["backtrack"] += search.has_gone_back
    search.has_gone_back = False


def _is_misquoted(search: _Search, match: re.Match[str]) -> bool:
    """Whether a step says of its speaker's statement what is not so: its words, or that it is true, or false."""
    statement, opened = search.statements[NAMES.index(match["speaker"])], search.path[-1]
    true_in = where_true(statement, opened)
    is_so = {None: True, "true": true_in == opened, "false": not true_in}[match["truth"]]
    return not is_so or " ".join(match["quoted"].split()) not in ("", statement)


def _assume(search: _Search, assumed: str) -> None:
    """Enter a branch, at the deepest place of the path where the person may still be of either kind."""
    depths = reversed(range(len(search.path)))
    opens = (depth for depth in depths if 0 < len(where(assumed, search.path[depth])) < len(search.path[depth]))
    depth = next(opens, None)
    if depth is None:
        search.tally["error"] += 1
        return
    _leave(search, depth)
    search.path.append(where(assumed, search.path[-1]))
    search.assumed.append(assumed)
    search.branches.enter(frozenset(search.assumed))


def _derive(search: _Search, speaker: str, derived: str) -> None:
    """Hold a derivation against its speaker's statement, and go on with what it says where that is possible."""
    left = search.path[-1] & _fitting(search, speaker)
    is_right = bool(left) and left == where(derived, left)
    search.tally["derivation"] += 1
    search.tally["error"] += not is_right
    search.path[-1] = where(derived, search.path[-1]) or search.path[-1]


def _check(search: _Search, speaker: str, check: str) -> None:
    opened, left = search.path[-1], search.path[-1] & _fitting(search, speaker)
    settles = any(_settled(person, left) and not _settled(person, opened) for person in NAMES[: len(search.statements)])
    is_true = {"yes": left == opened, "no": not left, "open": bool(left) and left != opened and not settles}[check]
    search.tally["check"] += 1
    search.tally["false check"] += not is_true
    search.branches.num_true_noes += is_true and check == "no"
    search.last_check = check


def _settled(person: str, opened: Worlds) -> bool:
    return not (where(fact(person, KNIGHT), opened) and where(fact(person, KNAVE), opened))


def _fitting(search: _Search, speaker: str) -> Worlds:
    place = NAMES.index(speaker)
    return fitting(place, search.statements[place], len(search.statements))


def _has_doubled_back(search: _Search) -> bool:
    """Whether a last, new branch ended in the solution after an earlier one had met a true `no`."""
    # The last `yes` is true wherever the one world that is open is the solution.
    is_solved = search.last_check == "yes" and search.path[-1] == solutions(search.statements)
    return search.branches.have_doubled_back() and is_solved and search.tally["error"] == 0
