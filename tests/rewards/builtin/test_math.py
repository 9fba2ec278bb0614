"""The reward `math`: right answers win, hacks do not, and nothing that is asked of it takes too long."""

import re
import resource
import threading
import time
from collections import Counter

import pytest
from support.rewarding import section
from support.work import cpu_seconds

from doubleback.rewards.builtin.math import MathCorrect
from doubleback.rewards.checks.golds import as_completion
from doubleback.rewards.compose.reward import load_reward
from doubleback.rewards.contract.call import Samples
from doubleback.rewards.hostile.cases import cases
from doubleback.rewards.types import Problem, Verdict
from doubleback.rewards.workers.pool import SYMBOLIC, WorkerPool


class Asked:
    """A pool that writes down what it is asked."""

    def __init__(self, pool):
        self.pool, self.questions = pool, []

    def submit(self, function, samples):
        self.questions.append(samples.completions)
        return self.pool.submit(function, samples)

    def result(self, future):
        return self.pool.result(future)


@pytest.fixture(scope="module")
def pool():
    with WorkerPool((SYMBOLIC,)) as pool:
        yield pool


@pytest.fixture(scope="module")
def reward():
    with load_reward(section(components={"math": 1.0})) as reward:
        reward.ready()
        yield reward


@pytest.mark.slow
def test_no_hostile_case_wins_and_no_honest_one_loses(reward):
    """Each by itself: correctness, and the time and the memory of this process.

    The largest case is a megabyte; none may take longer than it takes to find the words of one ten times over.
    """
    suite = cases()
    words_of_a_megabyte = cpu_seconds(lambda: re.findall(r"\w+", "a bc " * 200_000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wrong, slowest = [], (0.0, "")
    for case in suite:
        problem = Problem(case.name, case.prompt, {"answer": case.answer, "style": case.style})
        begun = time.thread_time()
        (score,) = reward(problem, [as_completion(case.completion)])
        slowest = max(slowest, (time.thread_time() - begun, case.name))
        if (score.verdict == Verdict.CORRECT) != case.is_honest:
            wrong.append((case.name, score.verdict, score.detail))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert wrong == []
    assert slowest[0] < 10 * words_of_a_megabyte, slowest
    assert grown < 100  # MiB
    assert sum(not case.is_honest for case in suite) >= 100
    assert sum(case.is_honest for case in suite) >= 30


# What the guards refuse beforehand in practice: were one to slip through, the worker is killed and the host lives on.
@pytest.mark.parametrize("bomb", ["10^{10^{10}}", "((((9!)!)!)!)", r"\sum_{k=1}^{10^{9}} \frac{1}{k^{k^{k}}}"])
def test_what_would_freeze_math_verify_is_killed(pool, bomb):
    future = pool.submit("symbolic", Samples(("",), (bomb,), {"golds": [["72"]]}))
    neighbour = pool.submit("symbolic", Samples(("",), ("x+1",), {"golds": [["1+x"]]}))
    (score,) = pool.result(future)
    assert score.verdict in (Verdict.TIMEOUT, Verdict.GRADER_ERROR, Verdict.WRONG)
    assert pool.result(neighbour)[0].verdict == Verdict.CORRECT


def test_stages_are_named():
    texts = [
        "\\boxed{72}",
        "\\boxed{144/2}",
        "\\boxed{\\sqrt{x}+1}",
        "\\boxed{}",
        "no answer",
        "\\boxed{72} or 73",
        "\\boxed{71}",
    ]
    golds = ["72", "72.0", "1+\\sqrt{x}", "72", "72", "72", "72"]
    scores = MathCorrect("boxed").scores(texts, answer=golds)
    assert [(score.verdict.value, score.detail.partition(":")[0]) for score in scores] == [
        ("correct", "text"),
        ("correct", "rational"),
        ("correct", "symbolic"),
        ("bad_format", "extraction"),
        ("no_answer", "extraction"),
        ("wrong", "extraction"),
        ("wrong", "rational"),
    ]
    assert scores[2].extracted == "\\sqrt{x}+1"


def test_a_last_number_is_no_answer_of_a_text_that_was_cut_off():
    texts = ["First, 12 * 3 = 36. Then 36 / 12 = 3", "The answer is 3. Let me check: 36 / 12 = 3"]
    whole, cut = (MathCorrect().scores(texts, answer=["3", "3"], is_truncated=[cut] * 2) for cut in (False, True))
    assert [score.verdict for score in whole] == [Verdict.CORRECT, Verdict.CORRECT]
    assert [score.verdict for score in cut] == [Verdict.TRUNCATED, Verdict.CORRECT]


def test_cheap_stages_start_no_process():
    function, asked = MathCorrect(), Asked(None)
    function.use(asked)
    assert function(["#### 72", "\\boxed{\\frac{1}{2}}", "It is 3"], answer=["72", "0.5", "4"]) == [1.0, 1.0, 0.0]
    assert asked.questions == []


def test_any_gold_of_a_list_is_right():
    assert MathCorrect()(["\\boxed{y+1}"] * 2, answer=[["x", "1+y"], ["x", "y"]]) == [1.0, 0.0]


def test_equal_questions_are_asked_once(pool):
    function, asked = MathCorrect(), Asked(pool)
    function.use(asked)
    assert function(["\\boxed{\\sqrt{y}+1}"] * 8, answer=["1+\\sqrt{y}"] * 8) == [1.0] * 8
    assert asked.questions == [("\\sqrt{y}+1",)]


@pytest.mark.slow
def test_a_gold_that_math_verify_cannot_read_is_an_error_not_a_zero():
    (score,) = MathCorrect().scores(["\\boxed{t(0,5]}"], answer=["t(0,4]"])
    assert (score.value, score.verdict) == (None, Verdict.GRADER_ERROR)
    assert "cannot parse the gold" in score.detail


@pytest.mark.slow
def test_messages_prompts_and_threads():
    completions = [[{"role": "assistant", "content": "\\boxed{2x}"}]]
    prompts = [[{"role": "user", "content": "Simplify $x+x$."}]]
    results = []
    thread = threading.Thread(target=lambda: results.append(MathCorrect()(completions, prompts, answer=["x+x"])))
    thread.start()
    thread.join()
    assert results == [[1.0]]
    copied = [[{"role": "assistant", "content": "\\boxed{x+x}"}]]
    assert MathCorrect()(copied, prompts, answer=["2x"]) == [0.0]
    assert MathCorrect()(copied, ["?"], question=["Simplify $x+x$."], answer=["2x"]) == [0.0]


@pytest.mark.slow
def test_a_style_of_the_row_goes_before_the_style_of_the_reward():
    text = "#### 72 \n \\boxed{73}"
    assert MathCorrect("hash")([text] * 2, answer=["72", "73"], style=["hash", "boxed"]) == [1.0, 1.0]


@pytest.mark.slow
def test_every_verdict_names_its_stage_and_its_rule():
    """So that a user can argue with it."""
    judged = []
    short = [case for case in cases() if len(case.completion) < 2_000]
    with load_reward({"components": {"math": {}}}) as reward:
        for case in short[::4]:
            columns = {"answer": case.answer, "style": case.style}
            judged += reward(Problem(case.name, case.prompt, columns), [as_completion(case.completion)])
    stages = Counter(re.fullmatch(r"(\w+): \S.*", score.detail, re.DOTALL)[1] for score in judged)
    assert set(stages) <= {"extraction", "guard", "text", "rational", "symbolic", "worker"}
    assert min(stages[stage] for stage in ("extraction", "guard", "text", "rational", "symbolic")) > 4
