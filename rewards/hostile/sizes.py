"""Inputs that are large or deep, built on call. Gold is 72 throughout.

The megabyte ones are aimed at quadratic scans, the others at the regular expressions and the grammar of math-verify.
"""

from collections.abc import Iterator

MEGABYTE = 1_000_000
"""Characters, about."""

_THOUGHT = "<think> 48 + 24 = 72. </think> "


def build_large() -> Iterator[tuple[str, str, str, str]]:
    """(kind, name, style, completion): none of these answers 72."""
    for name, style, head, piece, tail in _REPEATED:
        yield "size", f"a megabyte of {name}", style, head + piece * (MEGABYTE // len(piece)) + tail
    for name, style, text in _long_numbers():
        yield "size", name, style, text
    for name, piece, num_pieces, tail in _REGEX_BOMBS:
        yield "regex", f"{name} times {num_pieces}", "think_answer", _answered(piece * num_pieces + tail)
    for name, opening, core, closing, depth in _NESTED:
        yield "nesting", f"{name}, {depth} deep", "think_answer", _answered(opening * depth + core + closing * depth)
    for name, answer in _matrices():
        yield "nesting", name, "think_answer", _answered(answer)


def build_long_but_right() -> Iterator[tuple[str, str, str]]:
    """(name, style, completion): long thinking as reasoning models do it, then 72."""
    doubts = "".join(f"Wait, is it {number}? Let me check: 48 + 24 = 72, not {number}.\n" for number in range(60, 2060))
    yield "100 KB of doubts, then the answer", "think_answer", f"<think>{doubts}</think> <answer> 72 </answer>"
    boxes = "".join(f"Perhaps $\\boxed{{{number}}}$.\n" for number in range(1000))
    yield "a thousand boxes while thinking, then one", "boxed", f"<think>{boxes}</think> So $\\boxed{{72}}$."
    lines = "".join(f"Step {number}: add {number}.\n" for number in range(1000))
    yield "a thousand lines of solution, then ####", "hash", f"{lines}#### 72"
    yield "40 KB of blank space around the answer", "think_answer", _answered(" \n" * 10_000 + "72" + "\n " * 10_000)


def _answered(text: str) -> str:
    return f"{_THOUGHT}<answer> {text} </answer>"


_REPEATED: tuple[tuple[str, str, str, str, str], ...] = (
    # what is repeated, style, what stands before it, the piece, what stands after it
    ("spaces in the answer", "think_answer", _THOUGHT + "<answer>", " ", "</answer>"),
    ("line ends in the answer", "think_answer", _THOUGHT + "<answer>", "\r\n", "</answer>"),
    ("spaces in the box", "boxed", "72 \\boxed{", " ", "}"),
    ("spaces between command and brace", "boxed", "72 \\boxed", " ", "{73}"),
    ("spaces after the hashes", "hash", "72 ####", " ", ""),
    ("spaces after the words", "answer_is", "72. The answer is", " ", "?"),
    ("<answer>", "think_answer", _THOUGHT, "<answer>", "72"),
    ("<answer>, any style", "flexible", "", "<answer>", "72"),
    ("empty answers", "think_answer", _THOUGHT + "<answer> 72 </answer> ", "<answer></answer>", ""),
    ("different answers", "think_answer", _THOUGHT, "<answer>72</answer><answer>73</answer>", ""),
    ("</answer>", "think_answer", _THOUGHT + "<answer> 73", "</answer>", "72"),
    ("</think>", "think_answer", "<think> 72 <answer> 72 </answer>", "</think>", ""),
    ("<think>", "flexible", "", "<think>", "72"),
    ("think blocks", "think_answer", "<answer> 72 </answer>", "<think> 72 </think>", ""),
    ("<", "think_answer", _THOUGHT + "<answer> 72 ", "<", ""),
    ("\\boxed{", "boxed", "", "\\boxed{", "72"),
    ("\\boxed{, any style", "flexible", "", "\\boxed{", "72"),
    ("different boxes", "boxed", "", "\\boxed{72} \\boxed{73} ", ""),
    ("opening braces in a box", "boxed", "\\boxed{72", "{", ""),
    ("closing braces", "think_answer", _THOUGHT + "<answer> 73", "}", "</answer>"),
    ("backslashes in a box", "boxed", "\\boxed{72", "\\", "}"),
    ("hashes", "hash", "72 ", "#", ""),
    ("hashes, any style", "flexible", "72 ", "#", ""),
    ("'the answer is'", "answer_is", "", "the answer is ", ""),
    ("digits", "flexible", "", "7", ""),
    ("digits in the answer", "think_answer", _THOUGHT + "<answer>", "72", "</answer>"),
    ("digits after the point", "think_answer", _THOUGHT + "<answer>72.", "0", "1</answer>"),
    ("minus signs", "last_number", "72 ", "-", "1"),
    ("two numbers", "think_answer", _THOUGHT + "<answer>", "72 73 ", "</answer>"),
    ("NUL bytes", "think_answer", _THOUGHT + "<answer>7", "\x00", "2</answer>"),
    ("zero-width spaces", "think_answer", _THOUGHT + "<answer>7", "\u200b", "3</answer>"),
    ("words", "think_answer", _THOUGHT + "<answer>", "seventy two ", "or so</answer>"),
)

_REGEX_BOMBS: tuple[tuple[str, str, int, str], ...] = (
    # name, piece, how often, what stands after it
    ("dollar signs", "$", 50_000, "73"),
    ("dollar signs and spaces", "$ ", 20_000, "73"),
    ("escaped dollar signs", "\\$", 20_000, "73"),
    ("display delimiters", "\\[", 20_000, "73"),
    ("\\text{", "\\text{", 5_000, "73"),
    ("\\text{ }", "\\text{ }", 5_000, "73"),
    ("1,", "1,", 50_000, "1"),
    ("1 and a space", "1 ", 50_000, "1"),
    ("1.", "1.", 20_000, "1"),
    ("1/", "1/", 20_000, "1"),
    ("1=", "1=", 10_000, "1"),
    (") (", ") (", 20_000, ""),
    ("spaces between numbers", " " * 5_000 + "7", 4, ""),
    ("thousands groups", ",000", 20_000, ""),
    ("percent signs", "73%", 10_000, ""),
    ("carets", "^", 20_000, "73"),
    ("subscripts", "7_{1}", 5_000, ""),
    ("and", "73 and ", 10_000, "74"),
    ("signs", "+-", 20_000, "73"),
    ("\\frac without arguments", "\\frac", 10_000, "73"),
    ("\\sqrt without arguments", "\\sqrt", 10_000, "73"),
    ("\\left(", "\\left(", 5_000, "73"),
    ("degrees", "73^\\circ", 5_000, ""),
    ("units", "cm ", 20_000, "73"),
    ("factorials", "!", 10_000, "73"),
    ("a letter", "a", 50_000, "!"),
)

_NESTED: tuple[tuple[str, str, str, str, int], ...] = (
    # name, opening, core, closing, depth
    ("parentheses", "(", "73", ")", 5_000),
    ("parentheses never closed", "(", "73", "", 5_000),
    ("braces", "{", "73", "}", 100_000),
    ("brackets", "[", "73", "]", 5_000),
    ("fractions", "\\frac{1}{1+", "73", "}", 2_000),
    ("a continued fraction", "1+\\cfrac{1}{", "73", "}", 300),
    ("roots", "\\sqrt{1+", "73", "}", 2_000),
    ("cube roots", "\\sqrt[3]{2+", "5", "}", 300),
    ("exponents", "2^{", "2", "}", 500),
    ("factorials", "(", "9", "!)", 200),
    ("sines", "\\sin(", "1", ")", 500),
    ("logarithms", "\\log(", "10^{10^{10}}", ")", 100),
    ("sums", "\\sum_{i=1}^{9}(", "i", ")", 30),
    ("integrals", "\\int_0^1(", "x", ")dx", 20),
    ("absolute values", "|", "-73", "|", 500),
    ("boxes", "\\boxed{", "73", "}", 10_000),
    ("boxes never closed", "\\boxed{", "72", "", 10_000),
    ("subscripts", "x_{", "1", "}", 500),
    ("signs", "-(", "73", ")", 1_001),
    ("binomials", "\\binom{10^{9}}{", "5", "}", 50),
    ("\\left and \\right", "\\left(", "73", "\\right)", 1_000),
    ("sets", "\\{", "73", "\\}", 500),
)


def _long_numbers() -> Iterator[tuple[str, str, str]]:
    yield "every number up to 100", "think_answer", _answered(", ".join(map(str, range(101))))
    yield "every number up to 100, boxed", "boxed", " ".join(f"\\boxed{{{number}}}" for number in range(101))
    yield "every number up to 72, in one sentence", "answer_is", f"The answer is {' or '.join(map(str, range(73)))}."
    yield (
        "every answer up to 72 in a region of its own",
        "think_answer",
        _THOUGHT + " ".join(f"<answer> {number} </answer>" for number in range(73)),
    )
    yield "4,301 digits, one more than int() reads", "think_answer", _answered("7" * 4_301)
    yield "an exponent of a thousand digits", "think_answer", _answered("10^{" + "9" * 1_000 + "}")


def _matrices() -> Iterator[tuple[str, str]]:
    row = " & ".join(["73"] * 60)
    yield "a matrix of 3,600 entries", "\\begin{pmatrix}" + " \\\\ ".join([row] * 60) + "\\end{pmatrix}"
    small = " & ".join(f"x_{{{number}}}" for number in range(12))
    determinant = "\\det\\begin{pmatrix}" + " \\\\ ".join([small] * 12) + "\\end{pmatrix}"
    yield "a symbolic determinant", determinant
    yield "matrices that never end", "\\begin{pmatrix}" * 1_000 + "73"
