r"""The last stage of equality: math-verify, and what it may be asked.

`symbolic_equal` belongs in a process that can be killed: no bound holds for what sympy does with an expression.
`refusal` keeps the worst of it out beforehand (towers of exponents, factorials, prose), in the process of the caller.
"""

import logging
import re
from dataclasses import dataclass
from typing import Any

MAX_NESTING = 20
"""Open brackets at one place."""
MAX_DIGITS = 50
"""In a row."""
MAX_EXPONENT_DIGITS = 4
"""In all of one exponent: 2^{2017} passes, 10^{100000} and 9^{9*9*9*9*9} do not."""
MAX_FACTORIAL_DIGITS = 3
"""Before a factorial sign."""
TOLERANCE = 1e-6
"""Relative, between a rounded decimal and an exact value."""
EXACT_TOLERANCE = 1e-25
"""Relative, between two expressions without decimals, at 30 digits."""

_LETTERS = re.compile(r"[A-Za-z]+")
_FUNCTIONS = frozenset(
    _LETTERS.findall("sqrt cbrt sin cos tan cot sec csc arcsin arccos arctan log ln exp max min mod gcd lcm pi")
)
_SHORT_WORDS = frozenset(_LETTERS.findall("or is no if so to of in at by cm mm km kg mg ml lb oz ft yd mi hr"))
_COMMAND = re.compile(r"\\(?:begin|end) ?\{[a-z]+\*?\}|\\[A-Za-z]+")
_CLOSED_FORMS = frozenset(rf"\{name}" for name in ("sqrt", "frac", "log", "ln", "sin", "cos", "tan", "pi"))
_HEAVY = re.compile(r"\\(?:sum|prod|int|lim|iint|oint|binom|Gamma|zeta)(?![A-Za-z])")
_LEFT_SIDE = re.compile(r"[A-Za-z](?:\([A-Za-z]\))? ?=")
_OPERATOR = re.compile(r"[0-9)}\]!] ?(?:[-+*/:(!]|\\(?:cdot|times|div|frac|ast|left)(?![A-Za-z])|(?<= )[0-9])")


@dataclass(frozen=True, slots=True)
class Equality:
    """Whether a candidate equals a gold, and which stage said so."""

    is_equal: bool | None
    """None: undecided here, ask `symbolic_equal`."""
    stage: str
    """"text", "rational", "symbolic" or "guard"."""
    detail: str
    """Why, in a few words."""


def refusal(candidate: str, gold: str) -> str | None:
    """Why math-verify is not asked about `candidate`, both texts normalised; None where it may be."""
    if reason := _too_complex(candidate, gold):
        return f"too complex: {reason}"
    if words := foreign_words(candidate, gold):
        return f"words: {words[0]}"
    # math-verify drops what it takes for a unit: the letters must be the gold's.
    return None if variables(candidate) == variables(gold) else "other variables"


def foreign_words(text: str, gold: str = "") -> list[str]:
    """The words of `text` that are no function names, no products of the gold's variables and not in the gold."""
    gold_words = set(_LETTERS.findall(_COMMAND.sub(" ", gold)))
    letters = set("".join(gold_words))
    own_words = [word for word in _LETTERS.findall(_COMMAND.sub(" ", text)) if word not in _FUNCTIONS | gold_words]
    return [
        word
        for word in own_words
        if word.lower() in _SHORT_WORDS or (len(word) > 2 and not (letters and set(word) <= letters))
    ]


def variables(text: str) -> frozenset[str]:
    """The letters that stand for variables; not e and i, nor names of functions, nor the left side of `f(x) =`."""
    runs = _LETTERS.findall(_COMMAND.sub(" ", _LEFT_SIDE.sub(" ", text)))
    return frozenset("".join(run for run in runs if run not in _FUNCTIONS)) - {"e", "i"}


def is_unevaluated(text: str) -> bool:
    r"""Whether arithmetic on literals is left to do: `3+4*2`, `6(12)`, `2^{5-2}`, `7 2`; not `2^3` or `2\sqrt{2}`."""
    has_other_function = not _CLOSED_FORMS.issuperset(_COMMAND.findall(text)) or bool(re.search(r"[,;|]", text))
    return has_other_function or _OPERATOR.search(text) is not None


def _too_complex(text: str, gold: str) -> str | None:
    if re.search(rf"[0-9]{{{MAX_DIGITS + 1}}}", text):
        return f"more than {MAX_DIGITS} digits in a row"
    if _HEAVY.search(text) and not _HEAVY.search(gold):
        return "a sum, product, integral or binomial"
    if re.search(rf"!\s*!|[0-9]{{{MAX_FACTORIAL_DIGITS + 1}}}\s*!", text) or text.count("!") > 4:
        return "factorials"
    if re.search(r"[)}\]]\s*!", text) and not re.search(r"[)}\]]\s*!", gold):
        return "the factorial of an expression"
    if _HEAVY.search(text) and re.search(r"[0-9]{4}|\^", text):
        return "a large sum, product, integral or binomial"
    return _nesting_or_tower(text)


def _nesting_or_tower(text: str) -> str | None:
    """Reads once: brackets that are exponents, what powers stand in them, and how many digits."""
    stack: list[bool] = []
    digits = 0
    follows_power = in_bare_exponent = False
    for character in text.replace("**", "^").replace(" ", ""):
        in_exponent = any(stack) or in_bare_exponent
        if character == "^" and (in_exponent or follows_power):
            return "an exponent in an exponent"
        if character == "!" and any(stack):
            return "a factorial in an exponent"
        if character in "([{":
            stack.append(follows_power)
            digits = 0 if follows_power else digits
        elif character in ")]}" and stack:
            in_bare_exponent = stack.pop()
        elif character.isdigit() and (any(stack) or follows_power or in_bare_exponent):
            digits = digits + 1 if in_exponent else 1
            if digits > MAX_EXPONENT_DIGITS:
                return "a huge exponent"
        if character not in "([{)]}":
            in_bare_exponent = follows_power or (in_bare_exponent and character.isdigit())
        if len(stack) > MAX_NESTING:
            return f"more than {MAX_NESTING} nested brackets"
        follows_power = character == "^"
    return None


def symbolic_equal(candidate: str, gold: str) -> Equality:
    """Whether math-verify takes `candidate` for `gold`, and the values stand a relative comparison.

    Only in a process that can be killed: this may take any time and memory, and may raise. ValueError where the gold
    cannot be parsed, for then no answer could be right. math-verify's own timeouts are off, since they use SIGALRM.
    """
    from math_verify import LatexExtractionConfig, parse, verify

    logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that its timeouts are off
    config = (LatexExtractionConfig(boxed_match_priority=0),)
    parsed = [
        # Boxed on both sides: bare, math-verify loses the gold on 21 % of MATH.
        parse(rf"\boxed{{{text}}}", config, fallback_mode="no_fallback", parsing_timeout=None, raise_on_error=True)
        for text in (gold, candidate)
    ]
    if not parsed[0]:
        raise ValueError(f"math-verify cannot parse the gold {gold!r}")
    if not parsed[1]:
        return Equality(False, "symbolic", "math-verify cannot parse the answer")
    expected, value = parsed[0][0], parsed[1][0]
    if not verify(expected, value, timeout_seconds=None):
        return Equality(False, "symbolic", "not equal to math-verify")
    if not _stands(expected, value):
        return Equality(False, "guard", "equal to math-verify, but another value at 30 digits")
    return Equality(True, "symbolic", "equal to math-verify")


def _stands(expected: Any, value: Any) -> bool:
    """Whether the values agree relatively: math-verify rounds to 6 decimals, so 2^{-99} is 2^{-98} to it."""
    from sympy import Expr, Rel  # type: ignore[import-untyped]

    if isinstance(value, Rel) and isinstance(expected, Rel):
        return bool(value.lhs != expected.lhs) or _stands(expected.rhs, value.rhs)
    if isinstance(value, Rel) or isinstance(expected, Rel):
        # math-verify compares an assignment by its right side.
        return _stands(getattr(expected, "rhs", expected), getattr(value, "rhs", value))
    numbers, expected_numbers = _numbers(value), _numbers(expected)
    if numbers or expected_numbers:
        return len(numbers) == len(expected_numbers) and all(map(_is_close, numbers, expected_numbers))
    return not (isinstance(expected, Expr) and isinstance(value, Expr)) or _agree_at_a_point(expected, value)


def _numbers(expression: Any) -> list[Any]:
    """The real numbers in a number, set, tuple or interval, sorted, at 30 digits."""
    from sympy import Expr, FiniteSet, Interval, Tuple

    if isinstance(expression, Interval):
        parts = [expression.start, expression.end]
    else:
        parts = list(expression.args) if isinstance(expression, FiniteSet | Tuple) else [expression]
    values = [part.doit().evalf(30) for part in parts if isinstance(part, Expr) and part.is_number]
    return sorted(value for value in values if value.is_extended_real)


def _is_close(left: Any, right: Any) -> bool:
    return bool(left == right or abs(left - right) <= TOLERANCE * max(abs(left), abs(right)))


def _agree_at_a_point(expected: Any, value: Any) -> bool:
    """Whether two expressions agree where their variables are set to unremarkable rationals."""
    from sympy import Float, Rational

    symbols = sorted(expected.free_symbols | value.free_symbols, key=str)
    point = {symbol: Rational(37 + 10 * index, 29 + index) for index, symbol in enumerate(symbols)}
    difference, size = ((expected - value).subs(point).evalf(30), abs(expected.subs(point).evalf(30)))
    if not (difference.is_number and size.is_number) or size.is_zero:
        return True
    tolerance = TOLERANCE if expected.has(Float) or value.has(Float) else EXACT_TOLERANCE
    return bool(abs(difference) <= tolerance * size)
