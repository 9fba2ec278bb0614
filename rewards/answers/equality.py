"""Whether two answers are the same, in stages: exact text, exact rational number, and what only math-verify can tell.

The stages here are pure Python, linear and take microseconds. They decide most pairs; the rest are undecided and go to
`doubleback.rewards.answers.symbolic`, in a process that can be killed. Guards refuse what math-verify is known to
accept and should not (measured on 0.9): absolute rounding of tiny numbers, dropped units and bases, percent against
number, false equations such as `73 = 72`, an expression copied from the question, and inputs that take seconds or
gigabytes.
"""

import re
from collections.abc import Callable

from doubleback.rewards.answers.forms.chains import end_of_chain
from doubleback.rewards.answers.forms.equations import is_rearranged
from doubleback.rewards.answers.forms.intervals import as_interval
from doubleback.rewards.answers.forms.lists import numbers_of, same_numbers
from doubleback.rewards.answers.forms.names import names_in, split_assignment, without_names
from doubleback.rewards.answers.forms.polynomial import letters, parse_polynomial
from doubleback.rewards.answers.forms.reading import is_list_for_a_number, read_for
from doubleback.rewards.answers.forms.spoken import currencies, spoken_rational
from doubleback.rewards.answers.forms.times import as_moment
from doubleback.rewards.answers.notation import normalise as normalise
from doubleback.rewards.answers.notation import squash
from doubleback.rewards.answers.rational import (
    number_in_words,
    parse_rational,
    parse_rationals,
    split_base,
    split_quantity,
    unit_key,
)
from doubleback.rewards.answers.symbolic import Equality as Equality
from doubleback.rewards.answers.symbolic import foreign_words, is_unevaluated, refusal, variables
from doubleback.rewards.answers.words import (
    chosen_letter,
    echoes,
    number_of_clause,
    offers_a_choice,
    says_word,
    value_of_sentence,
    wants_chance,
    wants_percentage,
    wants_rounding,
)

MAX_LENGTH = 300
"""Characters of a candidate that is read any further than its text."""

_CHOICE = re.compile(r"[A-J]")
_WORDS = re.compile(r"[Nn]o|[A-Za-z]{3,}(?:[ '-][A-Za-z]+)*")
_APPROXIMATE = re.compile(r"\\(?:approx|sim|simeq|pm|mp|neq?)(?![A-Za-z])|[≈±≠~?]|!=")
_ROUGHLY = re.compile(
    r"^(?:[a-z] ?)?(?:\\(?:approx|sim|simeq)(?![A-Za-z])|[≈~]|(?:approximately|about|roughly|around)\b) ?"
)
_DENOMINATOR = re.compile(r"/ ?([0-9]+)|\\frac ?\{?[-+]?[0-9]+?\}? ?\{?([0-9]+)\}?$")
_SET = re.compile(r"[(\[].*,.*[)\]]")
_PRIMED = re.compile("[0-9]['’][0-9]")
_RELATION = re.compile(r"[=<>]|\\(?:le|ge)(?![A-Za-z])")
_ORDER = re.compile(r"[<>]|\\(?:le|ge|lt|gt)(?![A-Za-z])")


def bare_value(text: str) -> str:
    """What math-verify is given of an answer: normalised, and of `f(x) = 2x` the right side."""
    return split_assignment(normalise(text))[1]


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
    given, wanted = normalise(candidate), normalise(gold)
    if not (_WORDS.fullmatch(wanted) or _CHOICE.fullmatch(wanted)):
        given = value_of_sentence(given) or given
    if is_list_for_a_number(given, wanted):
        return _refused("a list for a number")
    given, wanted = read_for(given, wanted)
    if by_text and squash(given) == squash(wanted):
        return Equality(True, "text", "same text but for notation")
    decisions = (stage(given, wanted, question) for stage in _STAGES)
    undecided = Equality(None, "symbolic", "undecided by text and rational value")
    return next((decision for decision in decisions if decision is not None), undecided)


def _refused(reason: str) -> Equality:
    return Equality(False, "guard", reason)


def _by_words(given: str, wanted: str, question: str) -> Equality | None:
    """Golds that are words, or the letter of a choice, are compared as text."""
    if _WORDS.fullmatch(wanted):
        is_equal = says_word(given, wanted)
        return Equality(is_equal, "text", "same words" if is_equal else "not the gold's words")
    if len(foreign_words(wanted)) > 1:
        return _refused("the gold is prose, and this is not its text")
    if _CHOICE.fullmatch(wanted):
        is_chosen = split_assignment(given)[1] == wanted or chosen_letter(given, question) == wanted
        return Equality(True, "text", "the gold's letter") if is_chosen else _refused("not the gold's letter")
    return None


def _by_interval(given: str, wanted: str, question: str) -> Equality | None:
    r"""`x > 3` and `(3, \infty)` are one set."""
    gold = split_assignment(wanted)[1]
    if not (_SET.fullmatch(gold) or _ORDER.search(gold) or "\\ne" in gold):
        return None
    if given.startswith("\\{") and as_interval(given) == given and not gold.startswith("\\{"):
        return _refused("a set of elements for an interval or a tuple")
    intervals = (as_interval(given), as_interval(gold))
    return None if intervals == (given, gold) else compare(*intervals, question)


def _by_moment(given: str, wanted: str, question: str) -> Equality | None:
    """`3:45 p.m.` is 15:45, and `on March 5th` is March 5."""
    moment = as_moment(wanted)
    return Equality(True, "text", "same time") if moment is not None and as_moment(given) == moment else None


def _by_chain(given: str, wanted: str, question: str) -> Equality | None:
    """`48 + 24 = 72` says 72."""
    end = end_of_chain(given) if "=" in given and "=" not in wanted else None
    return None if end is None else compare(end, wanted, question)


def _by_arrangement(given: str, wanted: str, question: str) -> Equality | None:
    """`2x - y + 1 = 0` is `y = 2x + 1`."""
    if not _RELATION.search(wanted) or echoes(given, question) or not is_rearranged(given, wanted, question):
        return None
    return Equality(True, "rational", "the same relation")


def _by_marks(given: str, wanted: str, question: str) -> Equality | None:
    """Signs that change what a number means must stand on both sides: percent, a base, a relation."""
    if ("%" in given) != ("%" in wanted):
        bare, bare_gold = given.replace("%", " ").strip(), wanted.replace("%", " ").strip()
        is_one = given.count("%") + wanted.count("%") == 1
        if is_one and (wants_percentage(question) or (wants_chance(question) and _is_above_one(bare_gold))):
            return compare(bare, bare_gold, question)
        return _refused("percent on one side only")
    if "%" in given:
        value = parse_rational(given.replace("%", "", 1).strip())
        if value is None:
            return _refused("not one percentage")
        return _exact(value == parse_rational(wanted.replace("%", "", 1).strip()))
    (digits, base), (gold_digits, gold_base) = split_base(given), split_base(wanted)
    if base != gold_base:
        return _refused("another base, or a base on one side only")
    if base is not None:
        return Equality(digits.upper() == gold_digits.upper(), "text", "digits in the same base")
    if _ROUGHLY.match(given) and wants_rounding(question):
        return compare(_ROUGHLY.sub("", given), wanted, question)
    if _APPROXIMATE.search(given) and not _APPROXIMATE.search(wanted):
        return _refused("an approximation or a hedge")
    if _ORDER.search(given) and not _ORDER.search(wanted):
        return _refused("an inequality for a value")
    return None


def _is_above_one(text: str) -> bool:
    value = parse_rational(text)
    return value is not None and value > 1


def _by_equation(given: str, wanted: str, question: str) -> Equality | None:
    """`x = 5` is 5; `73 = 72` and `2 + 3 = 5` are not."""
    listed_gold = without_names(wanted) if wanted.count("=") > 1 else None
    if listed_gold and ("=" not in given or names_in(given) == names_in(wanted)):
        return compare(without_names(given) or given, listed_gold, question)
    if "=" not in given:
        name, value = split_assignment(wanted)
        if "=" in wanted and name is None and "," not in wanted:
            return _refused("a value for an equation")
        return compare(given, value, question) if name else None
    return _by_names(given, wanted, question) or _by_assignment(given, wanted, question)


def _by_names(given: str, wanted: str, question: str) -> Equality | None:
    """`x = 2, y = -1` is (2, -1), and `x = 2 or x = 3` is 2, 3."""
    is_one = given.count("=") == 1 or not wanted.startswith("(")
    if is_one and same_numbers(given, wanted):
        return _exact(True)
    is_set_for_a_tuple = wanted.startswith("(") and len(names_in(given)) == 1
    listed = without_names(given) if "=" not in wanted and not is_set_for_a_tuple else None
    return None if listed is None else compare(listed, wanted, question)


def _by_assignment(given: str, wanted: str, question: str) -> Equality | None:
    """A name before a value counts for nothing where the gold has none, and must be the gold's where it has one."""
    (name, value), (gold_name, gold_value) = split_assignment(given), split_assignment(wanted)
    if name is None and given.count("=") > max(1, wanted.count("=")):
        return _refused("several equations")
    if name is None and "=" not in wanted:
        return _refused("an equation for a value")
    if name is None or (gold_name is None and "=" in wanted):
        return None
    if gold_name not in (None, name):
        return _refused("another variable")
    return compare(value, gold_value, question)


def _by_value(given: str, wanted: str, question: str) -> Equality | None:
    """A gold that is one number wants one number, alone or beside plain words."""
    gold = parse_rational(wanted)
    if gold is None:
        return None
    value = parse_rational(given)
    value = spoken_rational(given) if value is None else value
    if value is None and numbers_of(given) is not None:
        # "1,234" may be a list too.
        return _exact(same_numbers(given, wanted, in_order=True))
    if value is None and (number := number_in_words(given) or number_of_clause(given)) is not None:
        value = parse_rational(number)
    if value is not None:
        # A reduced fraction is a value; `48/2` is a division that was left to the grader.
        denominator = _DENOMINATOR.search(given)
        is_reduced = denominator is not None and int(denominator[1] or denominator[2]) == value.denominator
        is_fraction = ("/" in given or "frac" in given) and not is_reduced
        if value == gold and is_fraction and echoes(given, question):
            return _refused("echoes the question")
        return _exact(value == gold)
    if is_unevaluated(given) or _PRIMED.search(given):
        return _refused("unevaluated")
    return None


def _by_list(given: str, wanted: str, question: str) -> Equality | None:
    gold = parse_rationals(wanted)
    if gold is None:
        return None
    if parse_rationals(given) is not None or parse_rational(given) is not None:
        return _exact(same_numbers(given, wanted))
    return None


def _by_unit(given: str, wanted: str, question: str) -> Equality | None:
    """`5 cm` and `5 m` and `5` are three answers."""
    gold = split_quantity(wanted)
    if gold is None:
        return None
    value = split_quantity(given)
    if value is None:
        return _refused("the unit is missing") if parse_rational(given) is not None else None
    if unit_key(value.unit) == unit_key(gold.unit):
        return _exact(parse_rational(value.number) == parse_rational(gold.number))
    return None if variables(given) == variables(wanted) else _refused("another unit")


def _by_echo(given: str, wanted: str, question: str) -> Equality | None:
    """What was copied from the question is no answer to it, unless it offers a choice."""
    return _refused("echoes the question") if echoes(given, question) and not offers_a_choice(question) else None


def _by_polynomial(given: str, wanted: str, question: str) -> Equality | None:
    """`2ba` is `2ab`, and `(x+1)^2` is `x^2+2x+1`."""
    gold = parse_polynomial(split_assignment(wanted)[1])
    if gold is None or not letters(gold):
        return None
    is_same = parse_polynomial(split_assignment(given)[1]) == gold
    return Equality(True, "rational", "the same polynomial") if is_same else None


def _by_admission(given: str, wanted: str, question: str) -> Equality | None:
    """What may not reach math-verify: long to evaluate, or with words and letters that it would drop."""
    return _refused(reason) if (reason := refusal(given, wanted)) else None


_STAGES: tuple[Callable[[str, str, str], Equality | None], ...] = (
    _by_moment,
    _by_words,
    _by_interval,
    _by_chain,
    _by_arrangement,
    _by_marks,
    _by_equation,
    _by_value,
    _by_list,
    _by_unit,
    _by_echo,
    _by_polynomial,
    _by_admission,
)


def _exact(is_equal: bool) -> Equality:
    return Equality(is_equal, "rational", "same value" if is_equal else "another value")
