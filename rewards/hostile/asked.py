"""Answers that are right or wrong by what the question asks for, and chains of equal sides, honest and hostile."""

_SHARE = "A class has 40 pupils and 10 of them walk. What percentage of the class walks to school?"
_PART = "What is 25% of 100?"
_LEFT = "A shirt is sold at 20 percent off. How many dollars does it cost?"
_THIRDS = "Divide 11 by 3 and round to two decimals."
_ROPE = "Rope A is 3/2 m long. Rope B is as long as rope A. How many metres long is rope B?"
_LETTERS = "What is 3 times 4?\nA) 7\nB) 10\nC) 12\nD) 15\nE) 34"
_DAY = "On which day of the week does it fall?"
_PRIME = "Is 91 a prime number?"

RIGHT_BY_QUESTION: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    # prompt, gold, answers
    (_SHARE, "25", ("25%", "25\\%", "25 percent", "25 pct", "25")),
    ("What percent of 40 is 10?", "25\\%", ("25", "25%")),
    (_THIRDS, "3.67", ("\\approx 3.67", "approximately 3.67", "about 3.67", "\u2248 3.67", "x \\approx 3.67")),
    (_ROPE, "1.5", ("3/2", "\\frac{3}{2}", "3/2 m", "1 1/2")),
    (
        *(_LETTERS, "C"),
        (
            "C) 12",
            "(C) 12",
            "C. 12",
            "C: 12",
            "c",
            "Option C",
            "choice C because the others are odd",
            "C, since 3*4 is 12",
        ),
    ),
    (_LETTERS, "C", ("\\textbf{(C)}\\ 12", "\\text{C: } 12", "C) 12 apples", "The correct answer is option C")),
    (_DAY, "Tuesday", ("on Tuesday", "a Tuesday", "on a Tuesday", "Tuesday.")),
    (_PRIME, "No", ("No, it is not prime.", "No, it isn't.", "no, because 91 = 7 * 13", "No.")),
    ("Is it even?", "Yes", ("yes, because both sides are even", "Yes, it is.", "yes: 8 is 2 * 4")),
    ("When?", "June 20", ("June 20th", "June 20")),
    ("When?", "3:45 PM", ("3:45 p.m.", "3:45 pm", "3:45pm")),
    ("Which ratio?", "2:3", ("2 to 3", "2 : 3")),
)

WRONG_BY_QUESTION: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    # prompt, gold, answers
    (_SHARE, "25", ("0.25%", "25% or 30%", "75%", "2500%", "25%%", "between 20% and 25%")),
    (_SHARE, "0.25", ("25%", "0.25% or so")),
    (_PART, "25", ("25%", "25 percent", "25\\%")),
    (_LEFT, "16", ("16%", "16 percent")),
    (_THIRDS, "3.67", ("\\approx 3.66", "about 3.7", "3.67 \\pm 0.01", "3.67?", "\\approx 3.67 or 3.66", "\\neq 3.67")),
    ("Divide 22 by 6.", "3.67", ("\\approx 3.67", "about 3.67")),
    (_ROPE, "1.5", ("2/3", "6/4 or 3/2", "3/2 or 2/3")),
    ("Reduce 6/4 m.", "1.5", ("6/4", "6 / 4")),
    (_LETTERS, "C", ("C) 10", "B) 12", "A or C", "C, D", "not C", "C and D", "(C) or (D)", "d", "C/D", "Option B")),
    (_LETTERS, "C", ("C) 12 D) 15", "A, since C is wrong", "C because of A or B", "CC", "Cat", "Option C or D")),
    (_DAY, "Tuesday", ("not on Tuesday", "on Monday", "a Tuesday or a Monday", "the day before Tuesday", "Tuesdays")),
    (_PRIME, "No", ("No, it is.", "no, yes", "Yes, it isn't.", "No or yes", "no, but yes", "Not", "No, wait")),
    ("Is it even?", "Yes", ("yes, it isn't", "yes, no", "yes, but no", "Yes or no", "yesterday", "no, yes")),
    ("When?", "June 20", ("June 2", "July 20th", "June 20 or 21", "20th")),
    ("When?", "3:45 PM", ("3:45 a.m.", "3:54 pm", "2:45 PM")),
    ("Which ratio?", "2:3", ("3 to 2", "2 to 4", "2, 3")),
)

RIGHT_CHAINS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    # kind, style, gold, what stands where the answer should
    ("honest", "boxed", "72", ("71+1=72", "48 + 24 = 72", "6 \\times 12 = 72", "x = 48 + 24 = 72", "144/2 = 72")),
    ("honest", "think_answer", "72", ("71+1=72", "71 + 1 = 72", "100 - 28 = 72", "3 * 24 = 72", "36+36=2*36=72")),
    ("honest", "hash", "72", ("48 + 24 = 72", "(40 + 8) + 24 = 72")),
    ("honest", "answer_is", "72", ("48 + 24 = 72", "100 - 28 = 72", "48 + 24 = 72 clips", "71.5 + 0.5 = 72")),
    ("honest", "boxed", "1,500", ("1,000 + 500 = 1,500", "3 \\cdot 500 = 1500")),
    ("honest", "boxed", "0.75", ("\\frac{3}{4} = 0.75", "0.5 + 0.25 = 0.75", "1 - 0.25 = 0.75")),
    ("honest", "boxed", "(2,-1)", ("x=2, y=-1", "(x,y)=(2,-1)", "x = 2 \\text{ and } y = -1")),
    ("honest", "boxed", "4, 5", ("AB=4, CD=5", "4, 5", "5, 4")),
    ("honest", "boxed", "12", ("12 \\text{ where } n>0", "12 \\text{ for all } n")),
)

RIGHT_SETS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    # kind, style, gold, what stands where the answer should
    ("honest", "boxed", "(3,\\infty)", ("x>3", "3<x", "]3,\\infty[", "x > 3")),
    ("honest", "boxed", "[-2,5)", ("-2\\le x<5", "5>x\\ge -2", "[-2,5[", "-2 \\leq x < 5")),
    ("honest", "boxed", "(-\\infty,1)\\cup(4,\\infty)", ("x<1 \\text{ or } x>4", "]-\\infty,1[\\cup]4,\\infty[")),
    ("honest", "boxed", "x\\ge 2", ("[2,\\infty)", "2 \\le x", "x \\geqslant 2")),
    ("honest", "boxed", "0.\\overline{36}", ("\\frac{4}{11}", "4/11", "0.\\overline{36}")),
    ("honest", "boxed", "\\frac{1}{3}", ("0.\\overline{3}", "0.\\bar{3}")),
    ("honest", "boxed", "1e-3", ("10^{-3}", "0.001")),
    ("honest", "boxed", "14-i", ("14.0-1.0i", "14 - 1i", "-i+14")),
    ("honest", "boxed", "(1,2),(3,4)", ("(1,2) \\text{ and } (3,4)", "(1, 2), (3, 4)")),
    ("honest", "boxed", "1 \\text{ hour } 30 \\text{ minutes}", ("1 hour and 30 minutes", "1 hour, 30 minutes")),
)

WRONG_SETS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    # kind, style, gold, what stands where the answer should
    (
        "set",
        "boxed",
        "(3,\\infty)",
        ("x<3", "x\\ge 3", "3>x", "[3,\\infty[", "x>4", "x>3 \\text{ or } x<1"),
    ),
    ("set", "boxed", "[-2,5)", ("-2<x<5", "-2\\le x\\le 5", "]-2,5[", "5<x\\le -2", "-2\\le x", "-2\\le y<6")),
    ("set", "boxed", "(-\\infty,1)\\cup(4,\\infty)", ("x<1", "x>4", "1<x<4", "x\\le 1 \\text{ or } x>4")),
    ("set", "boxed", "x\\ge 2", ("(2,\\infty)", "2 \\ge x", "(-\\infty,2]", "2")),
    (
        "rounding",
        "boxed",
        "0.\\overline{36}",
        ("0.36", "\\frac{36}{100}", "0.3636", "0.\\overline{3}"),
    ),
    ("rounding", "boxed", "\\frac{1}{3}", ("0.\\overline{33}4", "0.\\bar{4}", "0.0\\overline{3}")),
    ("near", "boxed", "1e-3", ("10^{-4}", "10^{3}", "-10^{-3}", "10^{-30}")),
    ("near", "boxed", "14-i", ("14.0-1.1i", "14+1.0i", "14.0-10i", "14")),
)

WRONG_CHAINS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    # kind, style, gold, what stands where the answer should
    ("equation", "boxed", "72", ("71+3=72", "72 = 71+1", "72 = 48 + 24", "48 + 24 = 72 = 73", "x = 48 + 25 = 72")),
    ("equation", "think_answer", "72", ("72 = 8 * 9", "8 * 8 = 72", "72 + 1 = 73", "144/3 = 72", "36+36=2*37=72")),
    ("equation", "answer_is", "72", ("48 + 25 = 72", "72 + 0 = 73", "72/0 = 72", "48 + 24 = 70 + 2", "48 + 24 =")),
    ("equation", "hash", "72", ("48 - 24 = 72", "2 = 144/72", "72 = 72 + 0")),
    ("equation", "boxed", "0.75", ("\\frac{4}{3} = 0.75", "0.5 + 0.2 = 0.75", "3/4 = 0.8")),
    ("equation", "boxed", "(2,-1)", ("x=-1, y=2", "y=2, x=-1", "(x,y)=(-1,2)", "x=2", "x=2, x=-1")),
    (
        "comma",
        "boxed",
        "1,250",
        ("\\{1,250\\}", "1, 250", "(1,250)", "[1,250]", "1 \\text{ and } 250", "1,25"),
    ),
    ("comma", "boxed", "(1,250)", ("1,250", "1250", "(1250)", "(250,1)")),
    ("comma", "answer_is", "2,345", ("2, 345", "2 and 345", "2 or 345", "(2,345)")),
    (
        "qualifier",
        "boxed",
        "12",
        ("13 \\text{ where } n=12", "12 \\text{ where } n>0 \\text{ or } 13", "n \\text{ where } n=12"),
    ),
)
