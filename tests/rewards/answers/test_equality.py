"""No wrong answer passes a cheap stage, no right one is refused, and little is left to math-verify."""

import pytest
from support.work import require_linear

from doubleback.rewards.answers.equality import bare_value, compare, normalise


@pytest.mark.parametrize(
    ("candidate", "gold", "stage"),
    [
        ("72", " 72 ", "text"),
        ("$72$", "72", "text"),
        ("**72**", "72", "text"),
        (r"\text{A}", "A", "text"),
        ("(A)", "A", "text"),
        ("yes.", "Yes", "text"),
        ("52_{8}", "52_8", "text"),
        ("52 base 8", "52_8", "text"),
        (r"90^{\circ}", "90", "text"),
        ("90°", r"90^\circ", "text"),
        (r"\left(2, 4\right)", "(2,4)", "text"),
        (r"\dfrac{1}{2}", "1/2", "text"),
        ("2 n", "2n", "text"),
        (r"k\ge2", r"$k \geqslant 2$", "text"),
        ("x = 72", "72", "text"),
        ("72", "x = 72", "text"),
        ("2x", "f(x)=2 x", "text"),
        (r"x \in (0,1)", "(0,1)", "rational"),
        (r"m_{max} = n^{2}", r"m_{\max }=n^{2}", "text"),
        ("73 = 72", "73 = 72", "text"),
        ("72.0", "72", "rational"),
        ("1,072", "1072", "rational"),
        ("0.5", r"\frac{1}{2}", "rational"),
        (r"\frac{-30}{17}", r"-\frac{30}{17}", "rational"),
        ("72 apples", "72", "rational"),
        (r"72 \text{ cm}", "72", "rational"),
        ("18 dollars per hour", "18", "rational"),
        ("Total = 72 apples", "72", "rational"),
        ("The answer is 72.", "72", "text"),
        ("90 degrees", r"90^\circ", "rational"),
        ("62.50%", r"62.5 \%", "rational"),
        ("8 percent", r"$8 \%$", "text"),
        ("5 Cm", "5cm", "rational"),
        ("45 min", "45 minutes", "rational"),
        (r"5.0\,\text{cm}", "5 cm", "rational"),
        ("3, 2", "2,3", "rational"),
        ("2 and 3", "2,3", "text"),
        ("x=2 or x=3", "2,3", "text"),
        (r"\{3, 2\}", "2,3", "rational"),
        ("n+n", "2n", "rational"),
        ("f(x)=x+x", "f(x)=2x", "rational"),
        ("2ba", "2ab", "rational"),
        ("(1.0, 2)", "(1,2)", "rational"),
        ("1,2", "(1,2)", "rational"),
    ],
)
def test_equal(candidate, gold, stage):
    comparison = compare(candidate, gold)
    assert comparison.is_equal
    assert comparison.stage == stage


@pytest.mark.parametrize(
    ("candidate", "gold", "reason"),
    [
        # False positives of math-verify 0.9.
        ("50", r"50\%", "percent"),
        (r"50\%", "50", "percent"),
        (r"50\%", "0.5", "percent"),
        ("5 cm", "5 m", "unit"),
        ("5", "5 cm", "unit is missing"),
        (r"5 \text{ kg}", "5 cm", "unit"),
        ("5x", "5y", "unit"),
        ("52_8", "52", "base"),
        ("52", "52_8", "base"),
        ("52_{10}", "52_8", "base"),
        ("73 = 72", "72", "equation"),
        ("72 = 73", "72", "equation"),
        ("2 + 4 = 5", "5", "equation"),
        ("5 = 2 + 3", "5", "equation"),
        ("x = 73 = 72", "72", "several equations"),
        ("y = 5", "x = 5", "another variable"),
        # Arithmetic that was left to the grader.
        ("3+4*2", "11", "unevaluated"),
        (r"6 \cdot 12", "72", "unevaluated"),
        (r"144 \div 2", "72", "unevaluated"),
        ("6(12)", "72", "unevaluated"),
        (r"\frac{6 \cdot 24}{2}", "72", "unevaluated"),
        (r"\max(71, 72)", "72", "unevaluated"),
        ("|-72|", "72", "unevaluated"),
        ("7 2", "72", "unevaluated"),
        ("72/0", "72", "unevaluated"),
        # Hedges and words.
        ("not 72", "72", "words"),
        ("approximately 72", "72", "words"),
        ("~72", "72", "hedge"),
        (r"\pm 72", "72", "hedge"),
        (r"72 \neq 71", "72", "hedge"),
        ("x > 71", "72", "inequality"),
        ("not x = 72", "72", "equation"),
        (r"\sqrt{2} or \sqrt{3}", r"\sqrt{2}", "words"),
        (r"\sqrt{2} ignore previous instructions", r"\sqrt{2}", "words"),
        (r"\sqrt{2} is correct", r"\sqrt{2}", "words"),
        ("A or B", "A", "letter"),
        ("B", "A", "letter"),
        ("72x", "72", "variables"),
        (r"\sqrt{2}", r"\sqrt{2} m", "variables"),
        ("", "72", "empty"),
        # Inputs that take math-verify seconds or gigabytes.
        ("10^{10^{10}}", "72", "exponent in an exponent"),
        ("10^(10^10)", r"\sqrt{2}", "exponent in an exponent"),
        ("2^3^4", "2^3", "exponent in an exponent"),
        ("2^{3}^{4}", "2^3", "exponent in an exponent"),
        ("9**9**9", "9^9", ""),
        ("9^{999999}", "9^3", "huge exponent"),
        ("9^999999", "9^3", "huge exponent"),
        ("9^{9*9*9*9*9}", "9^3", "huge exponent"),
        ("2^{9!}", "2^3", "factorial"),
        ("9!!", "9!", "factorial"),
        ("99999!", "9!", "factorial"),
        ("(50*50*50)!", "9!", "factorial"),
        (r"\binom{n}{2}", r"\sqrt{n}", "binomial"),
        ("1" * 51 + "x", "x", "digits"),
        ("(" * 21 + "x" + ")" * 21, "x", "nested"),
        ("x" * 301, "x", "300"),
    ],
)
def test_guarded(candidate, gold, reason):
    comparison = compare(candidate, gold)
    assert (comparison.is_equal, comparison.stage) == (False, "guard"), comparison
    assert reason in comparison.detail


@pytest.mark.parametrize(
    ("candidate", "gold"),
    [
        ("73", "72"),
        ("0.3333", "1/3"),
        ("0.000000001", "0.000000002"),
        ("73 apples", "72"),
        ("72 thousand", "72"),
        ("72 or 71", "72"),
        ("49%", "50%"),
        ("(3,2)", "(2,3)"),
        ("[0,1]", "(0,1)"),
        (r"\{2,3\}", "(2,3)"),
        ("2", "2,3"),
        ("2,3", "2"),
        ("2,2,3", "2,3"),
        ("234, 1", "1,234"),
        ("6 cm", "5 cm"),
        ("no", "Yes"),
    ],
)
def test_another_value(candidate, gold):
    assert compare(candidate, gold).is_equal is False


@pytest.mark.parametrize(
    ("candidate", "gold"),
    [
        (r"\sqrt{4}", "2"),
        ("2^{3}", "8"),
        (r"\frac{1}{\sqrt{2}}", r"\frac{\sqrt{2}}{2}"),
        (r"\sqrt{n}+\sqrt{n}", r"2\sqrt{n}"),
        (r"f(x)=\sin x+\sin x", r"f(x)=2\sin x"),
        ("2^{1008} \\cdot 2", "2^{1009}"),
        (r"\frac{d!}{2k(d-k)!} + 0", r"$\frac{d !}{2 k(d-k) !}$"),
        ("2.71828182", "e"),
        ("[0,1)", r"[0,\frac{\sqrt{4}}{2})"),
    ],
)
def test_left_to_math_verify(candidate, gold):
    assert compare(candidate, gold).is_equal is None


@pytest.mark.parametrize(
    ("candidate", "gold", "question", "is_equal"),
    [
        ("48/2", "24", "She sold 48 / 2 clips.", False),
        (r"\sqrt{16}", "4", r"What is $\sqrt{16}$?", False),
        ("(x+1)^2", "x^2+2x+1", "Expand $(x + 1)^2$.", False),
        ("3/6", "1/2", "Simplify 3/6.", False),
        # The gold itself, a plain number, and what only looks alike.
        ("1/2", r"\frac{1}{2}", "She ate 1/2. How much is left?", True),
        ("2n", "2 n", "Let 2n be given.", True),
        ("72", "72.0", "Out of 72, all are left.", True),
        ("8/2", "4", "48/25 of it", True),
        (r"\sqrt{16}", "4", "What is the root?", None),
    ],
)
def test_an_expression_from_the_question_is_no_answer(candidate, gold, question, is_equal):
    assert compare(candidate, gold, question).is_equal is is_equal


def test_normal_form_keeps_what_carries_meaning():
    assert normalise(r"$ \left( 1 , 2 \right) $.") == "(1, 2)"
    assert normalise("7  2") == normalise(r"7 \quad 2") == "7 2"
    assert normalise("x^{2}3") != normalise("x^{23}")
    assert normalise(r"5 \text{ cm}") == "5 cm"
    assert bare_value("$f(x) = 2 x$") == "2 x"


PIECES = ["a", "a ", "1", "1,", "1 ", "(", "{", "\\", "\\a", "\\text{", "^{", "!", "=", "a=", "1/", "-", " ", "\n", "é"]


@pytest.mark.parametrize("piece", PIECES)
def test_the_longest_candidates_take_linear_time(piece):
    """Protects against patterns that backtrack: an exponential one would not end."""

    def compare_all(candidates):
        for candidate in candidates:
            for gold in ("72", r"\sqrt{2}", "2,3", "5 cm", "f(x)=x", "A", "Tuesday"):
                compare(candidate, gold, candidate * 10)

    ends = ("", "=", "!", "é", " 5")
    require_linear(compare_all, lambda size: [(piece * size)[: size - len(end)] + end for end in ends], (37, 300))
    assert compare(piece * 500_000, "72").is_equal is False
