"""Lists of numbers: sets and bare lists in any order, tuples and intervals in their own."""

import re

from doubleback.rewards.answers.rational import Numbers, parse_rationals


def same_numbers(given: str, wanted: str, in_order: bool = False) -> bool:
    """Whether two texts list the same numbers; False where one of them lists none.

    Ordered where one side is a tuple or an interval; a bare list stands for either a tuple or a set.
    """
    left, right = numbers_of(given), parse_rationals(wanted)
    if left is None or right is None:
        return False
    kinds = {left.brackets, right.brackets}
    if len(kinds) > 1 and kinds not in ({"", "()"}, {"", "{}"}):
        return False
    if in_order or left.is_ordered or right.is_ordered:
        return left.values == right.values
    return sorted(left.values) == sorted(right.values)


def numbers_of(text: str) -> Numbers | None:
    """As `parse_rationals`, and `x=2 or x=3` for one variable."""
    names = set(re.findall(r"([A-Za-z]) ?=", text))
    return parse_rationals(re.sub(r"[A-Za-z] ?= ?", "", text) if len(names) == 1 else text)
