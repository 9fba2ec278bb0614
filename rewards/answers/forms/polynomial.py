r"""Exact polynomials with rational coefficients: `2ba` is `2ab`, and `(x+1)^2` is `x^2+2x+1`.

Grammar of a normalised text, in which a missing sign multiplies:

    sum     = ["+" | "-"] product (("+" | "-") product)*
    product = power (["*" | "/" | "\cdot" | "\times" | "\div"] power)*
    power   = atom ["^" exponent]
    atom    = number | letter | "\frac" atom atom | "(" sum ")" | "{" sum "}"

Division is by constants alone. Length, terms, degree and digits are limited, so the worst input costs milliseconds.
A letter stands for itself, e and i too: what is equal for every value of its letters is equal.
"""

import re
from collections.abc import Mapping
from fractions import Fraction

MAX_LENGTH = 200
"""Characters."""
MAX_TERMS = 36
"""Of any polynomial on the way."""
MAX_DEGREE = 16
"""Of any polynomial on the way, and the largest exponent of a letter."""
MAX_POWER = 64
"""The largest exponent of a number."""
MAX_BITS = 1024
"""Of a numerator or denominator."""
MAX_DEPTH = 16
"""Nested brackets."""

Monomial = tuple[tuple[str, int], ...]
"""Letters and their exponents, sorted: x^2 y is (("x", 2), ("y", 1)); () for a constant."""
Polynomial = Mapping[Monomial, Fraction]
"""No coefficient is 0; the zero polynomial is empty."""

_GREEK = (
    "alpha|beta|gamma|delta|varepsilon|epsilon|zeta|eta|vartheta|theta|iota|kappa|lambda|mu|nu|xi|pi|rho|sigma|tau|phi"
    "|varphi|chi|psi|omega|Gamma|Delta|Theta|Lambda|Sigma|Phi|Psi|Omega"
)
_TOKEN = re.compile(
    rf" |\\(?:frac|cdot|times|div)(?![A-Za-z])|\\(?:{_GREEK})(?![A-Za-z])"
    r"|[0-9]+(?:\.[0-9]+)?|\.[0-9]+|[A-Za-z](?:_[0-9A-Za-z]|_\{[0-9A-Za-z]{1,4}\})?|[-+*/^(){}]"
)
_SHORT_FRACTION = re.compile(r"\\frac ?([0-9])(?:([0-9])(?![0-9])|(?= ?\{))")
_NO_PRODUCT = re.compile(
    r"(?<![\\A-Za-z])(?:[A-Za-z]{4,}|sin|cos|tan|cot|sec|csc|log|ln|exp|max|min|mod|gcd|lcm|and|not|nor|the|for|all|any"
    r"|or|is|no|if|so|to|of|in|at|by|cm|mm|km|kg|mg|ml|lb|oz|ft|yd|mi|hr)(?![A-Za-z])"
)
_SIGNS = {"\\cdot": "*", "\\times": "*", "\\div": "/"}


def parse_polynomial(text: str) -> Polynomial | None:
    """The polynomial that a normalised text writes; None for anything else, and for what is too large."""
    if len(text) > MAX_LENGTH or _NO_PRODUCT.search(text):
        return None
    tokens = _tokens(_SHORT_FRACTION.sub(lambda match: f"\\frac{{{match[1]}}}{_braced(match[2])}", text))
    if not tokens:
        return None
    parser = _Parser(tokens)
    value = parser.sum(0)
    return value if value is not None and parser.position == len(tokens) else None


def constant(text: str) -> Fraction | None:
    """The value of arithmetic on numbers, `2(5+7)^2 - 1`; None where a letter stands in it, or it is no arithmetic."""
    value = parse_polynomial(text)
    if value is None or any(value.keys() - {()}):
        return None
    return value.get((), Fraction(0))


def is_proportional(left: Polynomial, right: Polynomial) -> Fraction | None:
    """The factor that makes `right` of `left`; None where none does, and where one of them is 0."""
    if not left or left.keys() != right.keys():
        return None
    factors = {right[monomial] / left[monomial] for monomial in left}
    return factors.pop() if len(factors) == 1 else None


def subtract(left: Polynomial, right: Polynomial) -> Polynomial:
    """`left - right`."""
    return _add(left, right, -1)


def letters(polynomial: Polynomial) -> frozenset[str]:
    """The letters that stand in it."""
    return frozenset(letter for monomial in polynomial for letter, _ in monomial)


def degree(polynomial: Polynomial) -> int:
    """The largest sum of exponents of a monomial; 0 for a constant."""
    return max((_total(monomial) for monomial in polynomial), default=0)


def _braced(digit: str | None) -> str:
    return f"{{{digit}}}" if digit else ""


def _tokens(text: str) -> list[str]:
    """The tokens but for blanks; empty where the text has anything else, or two numbers side by side."""
    tokens: list[str] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            return []
        position = match.end()
        if match[0] != " ":
            tokens.append(_SIGNS.get(match[0], match[0]))
    return tokens


class _Parser:
    """Reads tokens from the left; every method gives the value it has read, or None where there is none."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.position = 0

    def _next(self) -> str:
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def sum(self, depth: int) -> Polynomial | None:
        total: Polynomial | None = {}
        sign = "+" if self._next() not in ("+", "-") else ""
        while total is not None and (sign or self._next() in ("+", "-")):
            if not sign:
                sign = self._next()
                self.position += 1
            term = self._product(depth)
            total = None if term is None else _limited(_add(total, term, 1 if sign == "+" else -1))
            sign = ""
        return total

    def _product(self, depth: int) -> Polynomial | None:
        product = self._power(depth)
        while product is not None and self._next() not in ("", "+", "-", ")", "}", "^"):
            sign = self._next() if self._next() in ("*", "/") else ""
            self.position += bool(sign)
            # `7 2` and `x2` are no products; `1/2x` may be two things.
            if not sign and (self._next()[0].isdigit() or self._is_behind_a_slash()):
                return None
            factor = self._power(depth)
            if factor is None:
                return None
            product = _divide(product, factor) if sign == "/" else _multiply(product, factor)
        return product

    def _is_behind_a_slash(self) -> bool:
        return self.position >= 2 and self.tokens[self.position - 2] == "/"

    def _power(self, depth: int) -> Polynomial | None:
        base = self._atom(depth)
        if base is None or self._next() != "^":
            return base
        self.position += 1
        token = self._next()
        is_braced = token == "{"
        self.position += is_braced
        sign = -1 if is_braced and self._next() == "-" else 1
        self.position += sign < 0
        digits = self._next()
        self.position += 1
        # Without braces LaTeX takes one digit: x^12 is x^1 2.
        if not digits.isdigit() or len(digits) > (2 if is_braced else 1):
            return None
        if is_braced:
            if self._next() != "}":
                return None
            self.position += 1
        return _raise(base, sign * int(digits))

    def _atom(self, depth: int) -> Polynomial | None:
        token = self._next()
        self.position += 1
        if not token or depth > MAX_DEPTH:
            return None
        if token[0].isdigit() or token[0] == ".":
            return _limited({(): Fraction(token)} if Fraction(token) else {})
        if token == "\\frac":
            above, below = self._atom(depth + 1), self._atom(depth + 1)
            return None if above is None or below is None else _divide(above, below)
        if token in "({":
            inner = self.sum(depth + 1)
            is_closed = self._next() == {"(": ")", "{": "}"}[token]
            self.position += 1
            return inner if is_closed else None
        return {((token, 1),): Fraction(1)} if token[0].isalpha() or token[0] == "\\" else None


def _total(monomial: Monomial) -> int:
    return sum(exponent for _, exponent in monomial)


def _add(left: Polynomial, right: Polynomial, factor: int) -> Polynomial:
    total = dict(left)
    for monomial, coefficient in right.items():
        total[monomial] = total.get(monomial, Fraction(0)) + factor * coefficient
    return {monomial: coefficient for monomial, coefficient in total.items() if coefficient}


def _multiply(left: Polynomial, right: Polynomial) -> Polynomial | None:
    if len(left) * len(right) > MAX_TERMS**2:
        return None
    product: dict[Monomial, Fraction] = {}
    for one, coefficient in left.items():
        for other, factor in right.items():
            exponents = dict(one)
            for letter, exponent in other:
                exponents[letter] = exponents.get(letter, 0) + exponent
            monomial = tuple(sorted(exponents.items()))
            product[monomial] = product.get(monomial, Fraction(0)) + coefficient * factor
    return _limited({monomial: coefficient for monomial, coefficient in product.items() if coefficient})


def _divide(left: Polynomial, right: Polynomial) -> Polynomial | None:
    """Division by a constant; None for any other, and by 0."""
    if right.keys() != {()}:
        return None
    return _limited({monomial: coefficient / right[()] for monomial, coefficient in left.items()})


def _raise(base: Polynomial, exponent: int) -> Polynomial | None:
    is_constant = base.keys() <= {()}
    if is_constant and abs(exponent) <= MAX_POWER and (base or exponent > 0):
        value = base.get((), Fraction(0))
        is_small = max(value.numerator.bit_length(), value.denominator.bit_length()) * abs(exponent) <= MAX_BITS
        return dict.fromkeys(base, value**exponent) if is_small else None
    if exponent < 1 or exponent * degree(base) > MAX_DEGREE:
        return None
    power: Polynomial | None = base
    for _ in range(exponent - 1):
        power = None if power is None else _multiply(power, base)
    return power


def _limited(polynomial: Polynomial) -> Polynomial | None:
    is_small = len(polynomial) <= MAX_TERMS and degree(polynomial) <= MAX_DEGREE
    numbers = (number for each in polynomial.values() for number in (each.numerator, each.denominator))
    return polynomial if is_small and all(number.bit_length() <= MAX_BITS for number in numbers) else None
