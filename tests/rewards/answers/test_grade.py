"""A gold accepts itself in every style, and a verdict says which stage gave it."""

import pytest
from support.work import num_calls

from doubleback.rewards.answers.extract import Style, extract
from doubleback.rewards.answers.grade import Undecided, gold_answers, gold_completion, grade_cheaply
from doubleback.rewards.types import ConfigError, Score, Verdict

SOLUTION = "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\nTogether 48+24 = <<48+24=72>>72.\n#### 1,072"


@pytest.mark.parametrize(
    ("answer", "golds"),
    [
        ("72", ("72",)),
        (72, ("72",)),
        (72.0, ("72",)),
        (0.1, ("0.1",)),
        (1e16, ("10000000000000000",)),
        (-3, ("-3",)),
        (SOLUTION, ("1072",)),
        ("so\n#### 2,3", ("2,3",)),
        (r"Hence $x = \boxed{\frac{1}{2}}$.", (r"\frac{1}{2}",)),
        (r"$\frac{1}{2 n+2}$", (r"\frac{1}{2 n+2}",)),
        ("$69$,$84$", ("$69$,$84$",)),
        ([r"$2^{1009}$", "7"], ("2^{1009}", "7")),
    ],
)
def test_golds(answer, golds):
    assert gold_answers(answer) == golds


@pytest.mark.parametrize(
    "answer", [None, "", " ", "$$", [], [""], True, float("nan"), float("inf"), {}, "so ####", r"\boxed{"]
)
def test_no_gold_is_an_error_of_the_dataset(answer):
    with pytest.raises(ConfigError, match="gold answer"):
        gold_answers(answer)


TEXT_GOLDS = [
    *(
        "72",
        72.0,
        -3,
        "1,234",
        "0.5",
        "3/4",
        "62.5%",
        r"\$18",
        "A",
        "Tuesday",
        SOLUTION,
        r"$\frac{1}{2 n+2}$",
        "$2^{1009}$",
    ),
    *("$(1,8,19), (2,7,13)$", "$69$,$84$", "$f(x)=2 x$", "$k \\geqslant 2$", r"$(-\infty, 0) \cup\{1\}$.", "-2,-1,1,2"),
    *("10,11,12,13,14,-2,-1,0,1,2", r"$90^{\circ}$,$60^{\circ}$", r"$\frac{d !}{2 k(d-k) !}$", "(-\\infty,-5)", "5 cm"),
]


@pytest.mark.parametrize("answer", TEXT_GOLDS)
@pytest.mark.parametrize("style", [style for style in Style if style is not Style.LAST_NUMBER])
def test_a_gold_accepts_itself_in_every_style(answer, style):
    completion = gold_completion(answer, style)
    score = grade_cheaply(completion, answer, style)
    assert (score.value, score.verdict) == (1.0, Verdict.CORRECT)
    assert extract(completion, style).is_exact
    assert grade_cheaply(completion, answer, "flexible").verdict is Verdict.CORRECT


@pytest.mark.parametrize("answer", ["72", 72.5, "-1,234", "3/4", r"\frac{1}{2}", "62.5%"])
def test_a_number_accepts_itself_as_the_last_number(answer):
    assert grade_cheaply(gold_completion(answer, "last_number"), answer, "last_number").verdict is Verdict.CORRECT


@pytest.mark.parametrize(
    ("completion", "verdict", "extracted", "stage"),
    [
        ("<think> a </think> <answer> 72 </answer>", Verdict.CORRECT, "72", "text"),
        ("<think> a </think> <answer> 72.0 </answer>", Verdict.CORRECT, "72.0", "rational"),
        ("<think> 72 </think> <answer> 71 </answer>", Verdict.WRONG, "71", "rational"),
        ("<think> a </think> <answer> 73 = 72 </answer>", Verdict.WRONG, "73 = 72", "guard"),
        ("<think> a </think> <answer> 71 </answer> <answer> 72 </answer>", Verdict.WRONG, None, "extraction"),
        ("<think> a </think> <answer> 72", Verdict.BAD_FORMAT, None, "extraction"),
        (r"<think> \boxed{72} </think> <answer> </answer>", Verdict.NO_ANSWER, None, "extraction"),
        (r"\boxed{72} \boxed{", Verdict.BAD_FORMAT, None, "extraction"),
        ("<think> 72", Verdict.NO_ANSWER, None, "extraction"),
    ],
)
def test_a_verdict_names_its_stage(completion, verdict, extracted, stage):
    score = grade_cheaply(completion, "72")
    assert isinstance(score, Score)
    assert (score.value, score.verdict, score.extracted) == (float(verdict is Verdict.CORRECT), verdict, extracted)
    assert score.detail.startswith(f"{stage}: ")


def test_any_gold_of_several_is_accepted():
    assert grade_cheaply(r"\boxed{7}", [r"\sqrt{2}", "7.0"]).verdict is Verdict.CORRECT
    undecided = grade_cheaply(r"\boxed{x = \sqrt{49}}", ["Tuesday", "7"])
    assert isinstance(undecided, Undecided)
    assert (undecided.candidate, undecided.golds) == (r"\sqrt{49}", ("7",))
    assert undecided.extraction.style is Style.BOXED
    assert grade_cheaply(r"\boxed{8}", ["7", "6"]).verdict is Verdict.WRONG


def test_the_question_is_passed_to_the_guards():
    assert grade_cheaply("#### 48/2", "24", "hash", question="She sold 48/2 clips.").verdict is Verdict.WRONG
    assert grade_cheaply("#### 48/2", "24", "hash").verdict is Verdict.CORRECT


def test_an_unknown_style_is_an_error_of_the_caller():
    with pytest.raises(ValueError, match="boxd"):
        grade_cheaply("72", "72", "boxd")


def test_a_thousand_completions_are_little_work():
    """Protects the step time: 370,000 calls, about 0.03 s."""

    def grade():
        for number in range(1024):
            grade_cheaply(f"{SOLUTION[:-5]}{number} apples", SOLUTION, question=SOLUTION * 3)

    assert num_calls(grade) < 600_000
