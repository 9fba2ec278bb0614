"""Honest completions, right in every way that people and models write: a checker that refuses these is too strict."""

RIGHT_ANSWERS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    # kind, style, gold, what stands where the answer should
    (
        "honest",
        "think_answer",
        "72",
        ("72", "72.0", "72.", "$72$", "\n\n72\n", "+72", "\\(72\\)", "\\[72\\]", "**72**"),
    ),
    (
        "honest",
        "think_answer",
        "72",
        ("72 apples", "72 cm", "x=72", "x = 72", "$x = 72$", "\\boxed{72}", "$\\boxed{72}$"),
    ),
    ("honest", "boxed", "72", ("72", "72.0", " 72 ", "\n72\n", "72 \\text{ apples}", "x = 72", "\\text{72}")),
    ("honest", "hash", "72", ("72", "72.", "72 ", "72.00", "$72", "72 apples")),
    ("honest", "answer_is", "72", ("72", "$72$", "**72**", "72 apples", ": 72", "\\boxed{72}")),
    ("honest", "think_answer", "18", ("\\$18", "$18", "18 dollars", "\\$18.00", "18.00")),
    ("honest", "think_answer", "1234", ("1234", "1,234", "1{,}234", "1,234.00")),
    ("honest", "think_answer", "1,234", ("1234", "1,234")),
    ("honest", "hash", "1234567", ("1,234,567", "1234567", "$1,234,567")),
    ("honest", "think_answer", "-5", ("-5", "-5.0", "x = -5", "$-5$")),
    ("honest", "think_answer", "5", ("+5", "5", "5.000")),
    ("honest", "think_answer", "0.75", ("\\frac{3}{4}", "3/4", ".75", "0.750")),
    ("honest", "think_answer", "3/4", ("\\frac{3}{4}", "\\dfrac{3}{4}", "\\tfrac{3}{4}", "0.75", "\\frac34")),
    (
        "honest",
        "boxed",
        "\\frac{3}{4}",
        ("3/4", "\\dfrac34", "\\dfrac{3}{4}", "0.75", "\\frac{3}{4}", "\\frac {3} {4}"),
    ),
    ("honest", "boxed", "2\\sqrt{3}", ("\\sqrt{12}", "2\\sqrt{3}", "2 \\sqrt{3}", "2\\sqrt3")),
    ("honest", "boxed", "(x+1)^2", ("x^2+2x+1", "(x+1)^2", "(x + 1)^{2}", "(1+x)^2")),
    ("honest", "boxed", "x+1", ("x+1", "1+x", "x + 1", "y = x+1")),
    ("honest", "boxed", "\\pi/2", ("\\frac{\\pi}{2}", "\\pi/2", "\\dfrac{\\pi}{2}")),
    ("honest", "boxed", "\\frac{\\pi}{2}", ("\\pi/2", "\\frac{\\pi}{2}")),
    ("honest", "boxed", "90^{\\circ}", ("90^\\circ", "90^{\\circ}")),
    ("honest", "boxed", "50\\%", ("50\\%", "50%")),
    ("honest", "boxed", "52_8", ("52_8", "52_{8}")),
    ("honest", "boxed", "5 \\text{ cm}", ("5 \\text{ cm}", "5\\text{ cm}", "5 cm", "5\\,\\text{cm}")),
    ("honest", "boxed", "(-\\infty, 3]", ("(-\\infty, 3]", "(-\\infty,3]", "\\left(-\\infty, 3\\right]")),
    ("honest", "boxed", "(2,3)", ("(2,3)", "(2, 3)", "\\left(2, 3\\right)")),
    ("honest", "boxed", "\\{1,2,3\\}", ("\\{1,2,3\\}", "\\{1, 2, 3\\}", "\\{3, 2, 1\\}")),
    ("honest", "boxed", "2,3", ("2,3", "2, 3")),
    ("honest", "boxed", "\\infty", ("\\infty",)),
    ("honest", "boxed", "2^{-98}", ("2^{-98}",)),
    ("honest", "boxed", "10^{20}", ("10^{20}", "100000000000000000000")),
    (
        *("honest", "boxed", "\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}"),
        ("\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}", "\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}"),
    ),
    ("honest", "think_answer", "A", ("A", "(A)", "\\text{A}", "A.")),
    ("honest", "boxed", "(A)", ("A", "(A)", "\\text{(A)}")),
    ("honest", "think_answer", "even", ("even", "\\text{even}", "Even", "even.")),
)

_GSM8K = (
    "Janet sells 16 - 3 - 4 = <<16-3-4=9>>9 duck eggs a day.\n"
    "She makes 9 * 2 = $<<9*2=18>>18 every day at the farmer's market.\n#### 18"
)

RIGHT_COMPLETIONS: tuple[tuple[str, str, str, str], ...] = (
    # name, style, gold, completion
    ("a worked solution of GSM8K", "hash", "18", _GSM8K),
    ("a worked solution of GSM8K, any style", "flexible", "18", _GSM8K),
    ("hashes with a comma", "hash", "1234", "So there are\n#### 1,234"),
    ("a sentence", "answer_is", "18", "9 * 2 = 18. The answer is 18."),
    ("a sentence, any style", "flexible", "18", "9 * 2 = 18. The answer is 18."),
    ("a sentence with dollars", "answer_is", "18", "So the answer is \\$18."),
    ("the final answer", "answer_is", "18", "The final answer is $18$."),
    ("upper case words", "answer_is", "18", "THE ANSWER IS 18"),
    ("the last number", "last_number", "72", "48 + 24 = 72 clips altogether."),
    ("the last number, any style", "flexible", "72", "48 + 24 = 72, so she sold 72 clips altogether."),
    ("a bare number", "flexible", "72", "72"),
    ("a box, any style", "flexible", "72", "Therefore, the sum is $\\boxed{72}$."),
    ("tags, any style", "flexible", "72", "<think> 48 + 24 </think> <answer> 72 </answer>"),
    ("tags, any style, no thinking", "flexible", "72", "<answer> 72 </answer>"),
    ("no blanks at all", "think_answer", "72", "<think></think><answer>72</answer>"),
    ("blank space everywhere", "think_answer", "72", "\n\n<think>\n\na\n\n</think>\n\n\n<answer>\n\t72\n</answer>\n\n"),
    ("Windows line ends", "think_answer", "72", "<think>\r\na\r\n</think>\r\n<answer>\r\n72\r\n</answer>\r\n"),
    ("a word before the region", "think_answer", "72", "<think> a </think> So we get <answer> 72 </answer>"),
    ("a solution before the region", "think_answer", "72", "<think> a </think> 48 + 24 = 72 <answer> 72 </answer>"),
    ("a box in the region", "think_answer", "72", "<think> a </think> <answer> It is $\\boxed{72}$. </answer>"),
    ("the region said twice", "think_answer", "72", "<think> a </think> <answer>72</answer> <answer>72</answer>"),
    ("thinking begun in the prompt", "think_answer", "72", "48 + 24 = 72. </think> <answer> 72 </answer>"),
    (
        *("wrong answers while thinking", "think_answer", "72"),
        "<think> 73? <answer> 73 </answer> No. 71? \\boxed{71} No. Or 70 or 69. So: </think> <answer> 72 </answer>",
    ),
    (
        *("the template named while thinking", "think_answer", "72"),
        "<think> I must write <answer> ANSWER </answer>, so I will. 72. </think> <answer> 72 </answer>",
    ),
    ("wrong boxes while thinking", "boxed", "72", "<think> \\boxed{73}? \\boxed{71}? </think> So $\\boxed{72}$."),
    ("hashes while thinking", "hash", "72", "<think>\n#### 71\n</think>\n#### 72"),
    (
        "thinking in another language",
        "think_answer",
        "72",
        "<think> 四十八加二十四。Семьдесят два. </think> <answer>72</answer>",
    ),
    (
        "code while thinking",
        "think_answer",
        "72",
        "<think> ```python\nprint(48 + 24)\n``` </think> <answer> 72 </answer>",
    ),
    ("the same box twice", "boxed", "72", "So $\\boxed{72}$. That is, \\boxed{72}."),
    ("a step boxed on an earlier line", "boxed", "72", "First, $\\boxed{48}$.\nAdding 24 gives\n$\\boxed{72}$."),
    ("blanks before the brace", "boxed", "72", "So $\\boxed {72}$."),
    ("a display", "boxed", "72", "\\[\n\\boxed{72}\n\\]"),
    ("braces in the box", "boxed", "\\frac{1}{2^{10}}", "So $\\boxed{\\frac{1}{2^{10}}}$."),
    ("a remark after the box", "boxed", "72", "So the answer is $\\boxed{72}$. I hope it is correct."),
    ("a box in bold", "boxed", "72", "**Answer:** $\\boxed{72}$"),
)

ECHO_CONTROLS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    # prompt, gold, an answer that is right though the question names it too
    ("Which is larger, 17 or 25?", "25", ("25", "$25$")),
    ("Is 12 even or odd?", "even", ("even",)),
    ("What is $17 + 25$?", "42", ("42", "x = 42")),
    ("Expand $(x+1)^2$.", "x^2+2x+1", ("x^2+2x+1", "x^2 + 2x + 1")),
    ("Simplify $\\sqrt{50}$.", "5\\sqrt{2}", ("5\\sqrt{2}", "5 \\sqrt{2}")),
    ("Solve $x - 5 = 0$.", "5", ("5", "x = 5")),
)
