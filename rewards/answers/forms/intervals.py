r"""Intervals and inequalities of one variable: `x > 3`, `(3, \infty)` and `\{x : x > 3\}` are one set."""

import re

from doubleback.rewards.answers.forms.equations import TURNED

_LESS = {"<": ")", "\\le": "]"}
_MORE = {">": "(", "\\ge": "["}
_RELATION = re.compile(r"(<|>|\\le(?![A-Za-z])|\\ge(?![A-Za-z]))")
_BOUND = re.compile(
    r"-?(?:[0-9]{1,20}(?:\.[0-9]{1,20})?|\\infty|\\frac\{[0-9]{1,20}\}\{[0-9]{1,20}\}|[0-9]{1,20}/[0-9]{1,20}"
    r"|\\frac[0-9]{2})"
)
_OPEN_INTERVAL = re.compile(r"([\])\[(])([^\[\]()]{1,80}),([^\[\]()]{1,80})([\])\[(])")
_SET_OF = re.compile(
    r"\\\{ ?([A-Za-z])(?: ?(?:\\in|∈) ?(?:\\mathbb ?\{?R\}?|\\R|ℝ))? ?(?:\||:|\\mid) ?(.{1,200}) ?\\\}"
)
_NOT_ONE = re.compile(r"[A-Za-z] ?\\ne ?(.{1,40})|\\mathbb ?\{?R\}? ?(?:\\setminus|\\backslash|-) ?\\\{(.{1,40})\\\}")
_BETWEEN = re.compile(r" ?(?:\band\b|\\land(?![A-Za-z])|\\wedge(?![A-Za-z])) ?")
_EITHER = re.compile(r" ?\bor\b ?|\\lor ?|\\vee ?|\\cup ?")


def as_interval(text: str) -> str:
    r"""The interval that an inequality of one variable states: `x>3` is `(3,\infty)`, `-2\le x<5` is `[-2,5)`,
    `]3,4[` is `(3,4)`, `x<1 or x>4` a union, `x\ne 3` all but 3. The text itself where it is no such thing. `text` is
    normalised.
    """
    if match := _NOT_ONE.fullmatch(text):
        left_out = (match[1] or match[2]).strip()
        return f"(-\\infty,{left_out})\\cup({left_out},\\infty)" if _BOUND.fullmatch(left_out) else text
    inner = _SET_OF.fullmatch(text)
    found = [_one_interval(part.strip()) for part in _EITHER.split(inner[2] if inner else text)]
    names = {name for _, name in found if name} | ({inner[1]} if inner else set())
    if len(names) > 1 or any(interval is None for interval, _ in found):
        return text
    return "\\cup".join(interval for interval, _ in found if interval)


def _one_interval(text: str) -> tuple[str | None, str]:
    """The interval and the name of its variable; None where the text states none."""
    if match := _OPEN_INTERVAL.fullmatch(text):
        left, right = {"]": "("}.get(match[1], match[1]), {"[": ")"}.get(match[4], match[4])
        is_one = left in "([" and right in ")]"
        upper = match[3].strip().replace("+\\infty", "\\infty")
        return (f"{left}{match[2].strip()},{upper}{right}" if is_one else None), ""
    halves = _BETWEEN.split(text)
    if len(halves) == 2:
        return _between(*halves)
    sides = [side.strip() for side in _RELATION.split(text)]
    if len(sides) == 3 and re.fullmatch("[A-Za-z]", sides[2]):
        sides = [sides[2], TURNED[sides[1]], sides[0]]
    if len(sides) == 3 and re.fullmatch("[A-Za-z]", sides[0]) and _BOUND.fullmatch(sides[2]):
        is_above = sides[1] in _MORE
        interval = f"{_MORE[sides[1]]}{sides[2]},\\infty)" if is_above else f"(-\\infty,{sides[2]}{_LESS[sides[1]]}"
        return interval, sides[0]
    is_double = len(sides) == 5 and re.fullmatch("[A-Za-z]", sides[2]) is not None
    if is_double and _BOUND.fullmatch(sides[0]) and _BOUND.fullmatch(sides[4]):
        if sides[1] in _LESS and sides[3] in _LESS:
            return f"{'(' if sides[1] == '<' else '['}{sides[0]},{sides[4]}{_LESS[sides[3]]}", sides[2]
        if sides[1] in _MORE and sides[3] in _MORE:
            return f"{_MORE[sides[3]]}{sides[4]},{sides[0]}{')' if sides[1] == '>' else ']'}", sides[2]
    return None, ""


def _between(one: str, other: str) -> tuple[str | None, str]:
    r"""`x\ge -2` and `x<7`: what lies above the first and below the second, whichever comes first."""
    (left, name), (right, other_name) = _one_interval(one.strip()), _one_interval(other.strip())
    if left is None or right is None or name != other_name or not name:
        return None, ""
    if not left.endswith("\\infty)"):
        left, right = right, left
    if not (left.endswith(",\\infty)") and right.startswith("(-\\infty,")):
        return None, ""
    return left.removesuffix("\\infty)") + right.removeprefix("(-\\infty,"), name
