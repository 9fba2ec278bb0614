"""Whether two answers are the same, in stages: exact text, exact rational number, and what only math-verify can tell.

The stages here are pure Python, linear and take microseconds. They decide most pairs; the rest are undecided and go to
`doubleback.rewards.answers.symbolic`, in a process that can be killed. Guards refuse what math-verify is known to
accept and should not (measured on 0.9): absolute rounding of tiny numbers, dropped units and bases, percent against
number, false equations such as `73 = 72`, an expression copied from the question, and inputs that take seconds or
gigabytes.
"""

import re
from collections.abc import Callable

from doubleback.rewards.answers.expression import as_interval, end_of_chain
from doubleback.rewards.answers.notation import normalise as normalise
from doubleback.rewards.answers.rational import (
    ALTERING_WORDS,
    Numbers,
    currencies,
    number_in_words,
    parse_rational,
    parse_rationals,
    split_base,
    split_quantity,
    spoken_rational,
    unit_key,
)
from doubleback.rewards.answers.symbolic import Equality as Equality
from doubleback.rewards.answers.symbolic import foreign_words, is_unevaluated, refusal, variables
from doubleback.rewards.answers.words import chosen_letter, offers_a_choice, says_word, wants_percentage, wants_rounding

MAX_LENGTH = 300
"""Characters of a candidate that is read any further than its text."""

_CHOICE = re.compile(r"[A-J]")
_WORDS = re.compile(r"[Nn]o|[A-Za-z]{3,}(?:[ '-][A-Za-z]+)*")
_NUMERIC_FRACTION = re.compile(r"([-+]?)\\frac ?(?:\{([0-9]+)\}|([0-9])) ?(?:\{([0-9]+)\}|([0-9]))")
_ASSIGNMENT = re.compile(
    r"((?:\\[A-Za-z]+ ?)?(?:[A-Za-z]+(?: [A-Za-z]+)*)?(?:_(?:[0-9A-Za-z]|\{[^{}]*\}))?(?:\([A-Za-z]\))?)=([^=]+)"
)
_APPROXIMATE = re.compile(r"\\(?:approx|sim|simeq|pm|mp|neq?)(?![A-Za-z])|[≈±≠~?]|!=")
_ROUGHLY = re.compile(
    r"^(?:[a-z] ?)?(?:\\(?:approx|sim|simeq)(?![A-Za-z])|[≈~]|(?:approximately|about|roughly|around)\b) ?"
)
_QUALIFIER = re.compile(r",? ?\b(?:for (?:all|every|any)|where)\b(?!.*\b(?:or|else|otherwise|unless|except|not)\b).*")
_GROUPED = re.compile(r"-?[0-9]{1,3}(?:,[0-9]{3})+")
_DENOMINATOR = re.compile(r"/ ?([0-9]+)|\\frac ?\{?[-+]?[0-9]+?\}? ?\{?([0-9]+)\}?$")
_NAMES_BEFORE = re.compile(r"\([A-Za-z](?:, ?[A-Za-z])+\)=(.+)")
_NAMED = re.compile(r"([A-Za-z]{1,3}(?:_?[0-9])?)=([^=]+)")
_RATIO = re.compile("[0-9]+:[0-9]+")
_AND_BETWEEN = re.compile(r"(?<=\)) ?and ?(?=\()")
_AND_UNITS = re.compile(r"(?<=[a-z]),?(?: and)? (?=[0-9])")
_QUANTITIES = re.compile(r"[0-9]{1,9} [a-z]{1,12}(?: [0-9]{1,9} [a-z]{1,12})+")
_SET = re.compile(r"[(\[].*,.*[)\]]")
_PRIMED = re.compile("[0-9]['’][0-9]")
_ORDER = re.compile(r"[<>]|\\(?:le|ge|lt|gt)(?![A-Za-z])")


def bare_value(text: str) -> str:
    """What math-verify is given of an answer: normalised, and of `f(x) = 2x` the right side."""
    return _split_assignment(normalise(text))[1]


def _squash(text: str) -> str:
    """`text` for comparison as text: no spaces but between digits, and a fraction of digits as a/b."""
    if match := _NUMERIC_FRACTION.fullmatch(text):
        text = f"{match[1]}{match[2] or match[3]}/{match[4] or match[5]}"
    return re.sub(r"(?<![0-9]) | (?![0-9])", "", text)


def _echoes(text: str, question: str) -> bool:
    """Whether `text` stands in the question, whatever the spaces; part of a longer number does not."""
    needle, haystack = ("".join(part.replace("$", "").split()) for part in (text, question))
    position = haystack.find(needle)
    while position >= 0:
        beside = haystack[max(0, position - 1) : position] + haystack[position + len(needle) :][:1]
        if not re.search(r"[0-9]", beside):
            return True
        position = haystack.find(needle, position + 1)
    return False


def _split_assignment(text: str) -> tuple[str | None, str]:
    """The name and the value of `x=5`, `f(x)=2x` or `total=5`; None and the text else, as for `not x=5`."""
    match = _ASSIGNMENT.fullmatch(text)
    if match is None or not match[1].strip() or ALTERING_WORDS.intersection(match[1].lower().split()):
        return None, text
    return re.sub(r"[\\{} ]", "", match[1]), match[2].strip()


def compare(candidate: str, gold: str, question: str = "", by_text: bool = True) -> Equality:
    """Whether `candidate` equals `gold`, as far as text, exact rationals and guards can tell.

    `question` is the prompt: an expression copied from it is no answer, even where its value is right. Without
    `by_text` equal texts count for nothing: that tells whether the later stages can read a gold at all.
    """
    if by_text and candidate.strip() and candidate.strip() == gold.strip():
        return Equality(True, "text", "same text")
    if not candidate.strip():
        return _refused("empty")
    if len(candidate) > MAX_LENGTH:
        return _refused(f"too complex: {len(candidate)} characters, more than {MAX_LENGTH}")
    if currencies(gold) and currencies(candidate) not in (frozenset(), currencies(gold)):
        return _refused("another currency")
    ours, theirs = normalise(candidate), normalise(gold)
    ours = re.sub(r"(?<=[0-9]) to (?=[0-9])", ":", ours) if _RATIO.fullmatch(theirs) else ours
    ours = _AND_BETWEEN.sub(",", ours) if "," in theirs else ours
    ours = _AND_UNITS.sub(" ", ours) if _QUANTITIES.fullmatch(theirs) else ours
    if _is_list_for_a_number(ours, theirs):
        return _refused("a list for a number")
    if by_text and _squash(ours) == _squash(theirs):
        return Equality(True, "text", "same text but for notation")
    ours = ours if _QUALIFIER.search(theirs) else _QUALIFIER.sub("", ours).strip()
    found = (stage(ours, theirs, question) for stage in _STAGES)
    undecided = Equality(None, "symbolic", "undecided by text and rational value")
    return next((comparison for comparison in found if comparison is not None), undecided)


def _is_list_for_a_number(ours: str, theirs: str) -> bool:
    """Whether one side is a grouped number, `1,250`, and the other two numbers: `1, 250`, `(1,250)`, `1 and 250`."""
    is_grouped = _GROUPED.fullmatch(theirs) is not None
    if is_grouped:
        return re.search(r"[0-9], +[0-9]|^\\?[({\[].*,.*[)}\]]$|[0-9] (?:and|or) [0-9]", ours) is not None
    return _GROUPED.fullmatch(ours) is not None and re.match(r"[(\[{\\].*,", theirs) is not None


def _refused(reason: str) -> Equality:
    return Equality(False, "guard", reason)


def _by_words(ours: str, theirs: str, question: str) -> Equality | None:
    """Golds that are words, or the letter of a choice, are compared as text."""
    if _WORDS.fullmatch(theirs):
        is_equal = says_word(ours, theirs)
        return Equality(is_equal, "text", "same words" if is_equal else "not the gold's words")
    if len(foreign_words(theirs)) > 1:
        return _refused("the gold is prose, and this is not its text")
    if _CHOICE.fullmatch(theirs):
        is_chosen = _split_assignment(ours)[1] == theirs or chosen_letter(ours, question) == theirs
        return Equality(True, "text", "the gold's letter") if is_chosen else _refused("not the gold's letter")
    return None


def _by_interval(ours: str, theirs: str, question: str) -> Equality | None:
    r"""`x > 3` and `(3, \infty)` are one set."""
    is_set = _SET.fullmatch(theirs) or _ORDER.search(theirs)
    intervals = (as_interval(ours), as_interval(theirs)) if is_set else (ours, theirs)
    return None if intervals == (ours, theirs) else compare(*intervals, question)


def _by_marks(ours: str, theirs: str, question: str) -> Equality | None:
    """Signs that change what a number means must stand on both sides: percent, a base, a relation."""
    if ("%" in ours) != ("%" in theirs):
        if ours.count("%") + theirs.count("%") == 1 and wants_percentage(question):
            return compare(ours.replace("%", " ").strip(), theirs.replace("%", " ").strip(), question)
        return _refused("percent on one side only")
    if "%" in ours:
        value = parse_rational(ours.replace("%", "", 1).strip())
        if value is None:
            return _refused("not one percentage")
        return _exact(value == parse_rational(theirs.replace("%", "", 1).strip()))
    our_digits, our_base = split_base(ours)
    their_digits, their_base = split_base(theirs)
    if our_base != their_base:
        return _refused("another base, or a base on one side only")
    if our_base is not None:
        return Equality(our_digits.upper() == their_digits.upper(), "text", "digits in the same base")
    if _ROUGHLY.match(ours) and wants_rounding(question):
        return compare(_ROUGHLY.sub("", ours), theirs, question)
    if _APPROXIMATE.search(ours) and not _APPROXIMATE.search(theirs):
        return _refused("an approximation or a hedge")
    if _ORDER.search(ours) and not _ORDER.search(theirs):
        return _refused("an inequality for a value")
    return None


def _by_equation(ours: str, theirs: str, question: str) -> Equality | None:
    """`x = 5` is 5; `73 = 72` and `2 + 3 = 5` are not."""
    if "=" not in ours:
        value = _split_assignment(theirs)
        if "=" in theirs and value[0] is None and "," not in theirs:
            return _refused("a value for an equation")
        return compare(ours, value[1], question) if value[0] else None
    if parse_rational(theirs) is not None and (end := end_of_chain(ours)) is not None:
        return compare(end, theirs, question)
    is_one = ours.count("=") == 1 or not theirs.startswith("(")
    if is_one and parse_rationals(theirs) and _same_list(ours, theirs):
        return _exact(True)
    if "=" not in theirs and (named := _without_names(ours)) is not None:
        return compare(named, theirs, question)
    if ours.count("=") > max(1, theirs.count("=")):
        return _refused("several equations")
    (our_name, our_value), (their_name, their_value) = _split_assignment(ours), _split_assignment(theirs)
    if our_name is None and "=" not in theirs:
        return _refused("an equation for a value")
    if our_name is None or (their_name is None and "=" in theirs):
        return None
    if their_name not in (None, our_name):
        return _refused("another variable")
    return compare(our_value, their_value, question)


def _by_value(ours: str, theirs: str, question: str) -> Equality | None:
    """A gold that is one number wants one number, alone or beside plain words."""
    gold = parse_rational(theirs)
    if gold is None:
        return None
    value = parse_rational(ours)
    value = spoken_rational(ours) if value is None else value
    if value is None and _numbers(ours) is not None:
        # "1,234" may be a list too.
        return _exact(_same_list(ours, theirs, in_order=True))
    if value is None and (number := number_in_words(ours)) is not None:
        value = parse_rational(number)
    if value is not None:
        # A reduced fraction is a value; `48/2` is a division that was left to the grader.
        found = _DENOMINATOR.search(ours)
        is_reduced = found is not None and int(found[1] or found[2]) == value.denominator
        is_fraction = ("/" in ours or "frac" in ours) and not is_reduced
        if value == gold and is_fraction and _echoes(ours, question):
            return _refused("echoes the question")
        return _exact(value == gold)
    if is_unevaluated(ours) or _PRIMED.search(ours):
        return _refused("unevaluated")
    return None


def _by_list(ours: str, theirs: str, question: str) -> Equality | None:
    gold = parse_rationals(theirs)
    if gold is None:
        return None
    if parse_rationals(ours) is not None or parse_rational(ours) is not None:
        return _exact(_same_list(ours, theirs))
    return None


def _by_unit(ours: str, theirs: str, question: str) -> Equality | None:
    """`5 cm` and `5 m` and `5` are three answers."""
    gold = split_quantity(theirs)
    if gold is None:
        return None
    value = split_quantity(ours)
    if value is None:
        return _refused("the unit is missing") if parse_rational(ours) is not None else None
    if unit_key(value.unit) == unit_key(gold.unit):
        return _exact(parse_rational(value.number) == parse_rational(gold.number))
    return None if variables(ours) == variables(theirs) else _refused("another unit")


def _by_admission(ours: str, theirs: str, question: str) -> Equality | None:
    """What may not reach math-verify: copied, long to evaluate, or with words and letters that it would drop."""
    if _echoes(ours, question) and not offers_a_choice(question):
        return _refused("echoes the question")
    return _refused(reason) if (reason := refusal(ours, theirs)) else None


_STAGES: tuple[Callable[[str, str, str], Equality | None], ...] = (
    _by_words,
    _by_interval,
    _by_marks,
    _by_equation,
    _by_value,
    _by_list,
    _by_unit,
    _by_admission,
)


def _exact(is_equal: bool) -> Equality:
    return Equality(is_equal, "rational", "same value" if is_equal else "another value")


def _without_names(text: str) -> str | None:
    """The tuple that `(x,y)=(2,-1)` and `x=2, y=-1` state, in the order of the names; None for anything else."""
    if match := _NAMES_BEFORE.fullmatch(text):
        return match[1]
    named = [_NAMED.fullmatch(part.strip()) for part in re.split(r",| and ", text)]
    names = [match[1] for match in named if match]
    is_in_order = len(names) == len(named) >= 2 and names == sorted(set(names))
    return f"({', '.join(match[2] for match in named if match)})" if is_in_order else None


def _same_list(ours: str, theirs: str, in_order: bool = False) -> bool:
    """Ordered where one side is a tuple or an interval; a bare list stands for either a tuple or a set."""
    left, right = _numbers(ours), parse_rationals(theirs)
    if left is None or right is None:
        return False
    kinds = {left.brackets, right.brackets}
    if len(kinds) > 1 and kinds not in ({"", "()"}, {"", "{}"}):
        return False
    if in_order or left.is_ordered or right.is_ordered:
        return left.values == right.values
    return sorted(left.values) == sorted(right.values)


def _numbers(text: str) -> Numbers | None:
    """As `parse_rationals`, and `x=2 or x=3` for one variable."""
    names = set(re.findall(r"([A-Za-z]) ?=", text))
    return parse_rationals(re.sub(r"[A-Za-z] ?= ?", "", text) if len(names) == 1 else text)
