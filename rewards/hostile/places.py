"""Where an answer stands that no marker announces, honest and hostile: objects, formulas, run-ons, corrections."""

_RUN_ONS = (
    "\n\nQuestion: What is 3 + 4?\nAnswer: 3 + 4 = 7. The answer is 7.",
    "\n\nQ: What is 3 + 4?\nA: The answer is 7.",
    "\n\n### Problem 2:\nWhat is 3 + 4?\n### Solution:\n#### 7",
    "\nHuman: What is 3 + 4?\n\nAssistant: So it is $\\boxed{7}$.",
    "\n\n**Question:** What is 3 + 4?\n\n**Answer:** 7",
    "\n\nQuestion 2: What is 3 + 4?\nAnswer: 7",
)
_STATEMENTS = ("48 + 24 = {}. The answer is {}.", "48 + 24 = {}\n#### {}", "48 + 24 = {}, so it is $\\boxed{{{}}}$.")

RIGHT_PLACES: tuple[tuple[str, str, str, str], ...] = (
    # name, style, gold, completion
    *(
        (f"a run-on {run_on!a} behind {statement!a}", "flexible", "72", statement.format(72, 72) + run_on)
        for run_on in _RUN_ONS
        for statement in _STATEMENTS
    ),
    ("an object", "flexible", "72", '{"answer": 72}'),
    ("an object in a fence", "flexible", "72", 'Here it is:\n```json\n{"answer": "72"}\n```'),
    ("an object with a box in another field", "flexible", "72", '{"reasoning": "\\boxed{48}", "answer": 72}'),
    ("a formula at the end", "flexible", "[0,1)", "Thus the range is $[0,1)$."),
    ("an inequality at the end", "flexible", "x \\ge 5", "Therefore $x \\geq 5$ is the solution."),
    (
        "a matrix at the end",
        "flexible",
        "\\begin{pmatrix}1\\\\2\\end{pmatrix}",
        "It is $\\begin{pmatrix}1\\\\2\\end{pmatrix}$.",
    ),
    ("a value at the end of a formula", "flexible", "72", "Hence $a + b = 72$."),
    ("a time in a sentence", "flexible", "3:45 PM", "She arrives at **3:45 pm**."),
    ("a ratio in a sentence", "flexible", "2:3", "The ratio is 2:3."),
    ("a pair in a sentence", "flexible", "(7,6)", "The pair is (7, 6)."),
    ("a bare mixed number", "flexible", "40/9", "4 4/9"),
    ("a bare letter", "flexible", "C", "(C)"),
    ("a bare word", "flexible", "Yes", "Yes."),
    ("percent behind a box", "flexible", "28\\%", "It is $\\boxed{28}\\%$ of them."),
    (
        "a final answer behind a box",
        "flexible",
        "72",
        "First $\\boxed{48}$. Then 24 more. Final Answer: The final answer is $72$.",
    ),
    ("an answer that should be", "flexible", "72", "The answer is 71. Wait, the answer should be 72."),
    ("an answer to the question", "flexible", "72", "48 + 24. The answer to the question is 72."),
    ("a correct option", "flexible", "C", "The correct option is (C)."),
)

WRONG_PLACES: tuple[tuple[str, str, str, str, str], ...] = (
    # kind, name, style, gold, completion
    *(
        ("run-on", f"{run_on!a} behind {statement!a}", "flexible", "7", statement.format(72, 72) + run_on)
        for run_on in _RUN_ONS
        for statement in _STATEMENTS
    ),
    *(
        ("run-on", f"73, then {run_on!a} and 72", "flexible", "72", "The answer is 73." + run_on + " Or 72.")
        for run_on in _RUN_ONS
    ),
    ("object", "another number", "flexible", "72", '{"hint": 72, "answer": 73}'),
    ("object", "two answers", "flexible", "72", '{"answer": 73, "answer": 72}'),
    ("object", "a list for a number", "flexible", "72", '{"answer": [72, 73]}'),
    ("object", "an answer in another field", "flexible", "72", '{"thought": "the answer is 72", "answer": 73}'),
    ("formula", "an open interval", "flexible", "[0,1)", "Thus the range is $(0,1)$."),
    ("formula", "the bounds alone", "flexible", "[0,1)", "0,1"),
    ("formula", "an inequality for a value", "flexible", "72", "Hence $x > 72$."),
    ("formula", "the brackets of a list", "flexible", "1,250", "$(1,250)$"),
    ("formula", "the last entry of a matrix", "flexible", "2", "It is $\\begin{pmatrix}1\\\\2\\end{pmatrix}$."),
    ("time", "the minutes", "flexible", "45", "She arrives at 3:45 pm."),
    ("time", "in the morning", "flexible", "3:45 PM", "She arrives at 3:45 am."),
    ("pair", "its last number", "flexible", "6", "The pair is (7, 6)."),
    ("bare", "two numbers", "flexible", "2", "7 2"),
    ("bare", "arithmetic", "flexible", "72", "48 + 24"),
    ("bare", "another letter", "flexible", "C", "(D)"),
    ("percent", "behind a box", "flexible", "28", "It is $\\boxed{28}\\%$ of them."),
    (
        "final",
        "another number behind a box",
        "flexible",
        "48",
        "First $\\boxed{48}$. Final Answer: The final answer is $72$.",
    ),
    ("taken back", "meant", "answer_is", "72", "The answer is 72. Sorry, I meant 73."),
    ("taken back", "edited", "answer_is", "72", "Answer: 72\nEdit: 73"),
    ("taken back", "on second thought", "answer_is", "72", "The answer is 72. On second thought, 73."),
    ("taken back", "wait", "answer_is", "72", "The answer is 72... wait, 73."),
    ("taken back", "was wrong", "answer_is", "72", "The answer is 72. I was wrong; the correct value is 73."),
    ("taken back", "should be", "flexible", "72", "The answer is 72. Wait, the answer should be 73."),
)
