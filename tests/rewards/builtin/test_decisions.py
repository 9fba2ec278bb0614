"""On some answers reasonable teams differ: each decision of docs/rewards.md, held with examples of its own."""

import re

import pytest
from support.paths import ROOT

from doubleback.rewards.builtin.math import MathCorrect

DECISIONS = {
    # decision: (answer, gold, question) each
    "right: the question has said the unit": [("40", "40\\%", "What percentage of the 5 apples are the 2 red ones?")],
    "right: one notation": [("y**3 + 1", "y^3+1", "")],
    "right: one sign": [("\\varnothing", "\\emptyset", ""), ("$\\emptyset$", "\\varnothing", "")],
    "right: it names one of the choices": [("\\sqrt{18}", "3\\sqrt{2}", "Which is larger, $\\sqrt{18}$ or $4$?")],
    "right: a repeating decimal is exact": [("0.\\overline{6}", "\\frac{2}{3}", ""), ("0.1\\bar{6}", "1/6", "")],
    "right, below a million": [("nineteen", "19", ""), ("Forty-two", "42", "")],
    "right: a decimal comma, where the gold is that number": [("2{,}74", "2.74", ""), ("0{,}5", "0.5", "")],
    "right: a clock of 24 hours": [("3:05 PM", "15:05", ""), ("12:10 AM", "00:10", "")],
    "right: `and` lists": [("B and D", "B, D", "")],
    "wrong: a comma in a gold is a list, `2,3`": [("2.5", "2,5", ""), ("\\frac{5}{2}", "2,5", "")],
    "wrong: groups are of three digits": [("1,23,456", "123456", ""), ("1,2345", "12345", "")],
    "wrong: a gold with a unit wants it": [("7", "7 pears", "")],
    "wrong: a gold with a note, or with the text of its option, wants that too": [
        ("7", "7 (pieces)", ""),
        ("B", "(B) 7", ""),
        ("(B)", "(B) 7", ""),
    ],
    "wrong: a unit in several words is those words": [("7\\text{ m}^3", "7 \\text{ cubic meters}", "")],
    "wrong: letters keep their case": [("x^2+c", "x^2+C", ""), ("2N", "2n", "")],
    "wrong: letters without a comma are a product or a name": [("BD", "B, D", "")],
    "wrong: a column is no point, and no sum of unit vectors": [
        ("(4,5)", "\\begin{pmatrix}4\\\\5\\end{pmatrix}", ""),
        ("4\\mathbf{i}+5\\mathbf{j}", "\\begin{pmatrix}4\\\\5\\end{pmatrix}", ""),
    ],
    "wrong: a sign is not said in words": [("\\text{infinity}", "\\infty", ""), ("no solutions", "\\emptyset", "")],
    "wrong: a decimal gold is exact": [("1/7", "0.142857", ""), ("2/3", 0.6666666666666666, "")],
    "wrong: a rounded value is no exact one": [("0.142857", "\\frac{1}{7}", "")],
    "right: an irrational value to a millionth of it": [("1.41421356", "\\sqrt{2}", ""), ("3.1415927", "\\pi", "")],
    "wrong: an irrational value with fewer digits": [("1.414", "\\sqrt{2}", ""), ("3.14", "\\pi", "")],
    "wrong: dots do not say what repeats": [("0.6666...", "\\frac{2}{3}", "")],
    "wrong: left to evaluate": [("\\cos^2 t + \\sin^2 t", "1", ""), ("\\log_2 8", "3", "")],
    "wrong: another statement": [("4", "4 \\pmod 9", "")],
    "wrong: it reads as a no": [("No. 15", "15", "")],
}
WHOLE = {
    "talks about a tag, opens nothing": ("<think>a</think>See my `<think>` part: \\boxed{15}", "15", True),
    "wrong where the engine cut it off, else right": ("First 15 * 2 = 30, then 30 / 2 = 15", "15", True),
}


@pytest.mark.parametrize(
    ("decision", "answer", "gold", "question"),
    [(decision, *case) for decision, items in DECISIONS.items() for case in items],
)
def test_each_decision_is_kept(decision, answer, gold, question):
    (value,) = MathCorrect("boxed")(completions=[f"So $\\boxed{{{answer}}}$."], answer=[gold], question=[question])
    assert value == float(decision.startswith("right"))


@pytest.mark.parametrize(("completion", "gold", "is_right"), WHOLE.values(), ids=WHOLE)
def test_each_decision_about_a_whole_text_is_kept(completion, gold, is_right):
    assert MathCorrect()(completions=[completion], answer=[gold]) == [float(is_right)]


def test_each_decision_stands_in_the_table_of_the_documents():
    section = (ROOT / "docs" / "rewards.md").read_text(encoding="utf-8").split("reasonable teams differ")[1]
    rows = re.findall(r"^\| (.+?) \| .+ \| .+ \|$", section.split("\n## ")[0], re.MULTILINE)
    assert [decision for decision in (*DECISIONS, *WHOLE) if decision not in rows] == []
