"""Which honest answers graders keep and which hostile ones they accept, side by side in one run.

    python tests/bench/graders.py [--gsm8k FILE] [--golds 100] [--timeout 2] [--graders ours math-verify TRL] [--honest]

Our `math`, math-verify called directly and TRL's accuracy_reward, each with a worker of its own, on the built-in suite
and, with --gsm8k, on golds of that file restated in forms that models use, and on the same changed by one.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.table import Table

from doubleback.eval.show.console import Console
from doubleback.rewards.builtin.math import MathCorrect
from doubleback.rewards.checks.graders import DIRECTLY, MATH_VERIFY
from doubleback.rewards.contract.call import Results, Samples
from doubleback.rewards.hostile.cases import Case, cases
from doubleback.rewards.rows import Source, read_data
from doubleback.rewards.types import UNUSABLE, Verdict
from doubleback.rewards.workers.messages import FunctionSpec, Limits
from doubleback.rewards.workers.pool import SYMBOLIC, WorkerPool

TRL = FunctionSpec("TRL", "trl.rewards:accuracy_reward", {}, "TRL")
GRADERS = ("ours", "math-verify", "TRL")
FORMS = {
    "plain": r"So it is $\boxed{{{0}}}$.",
    "a closing remark": r"So it is $\boxed{{{0}}}$. Hope this answer is helpful!",
    "a control token": r"So it is $\boxed{{{0}}}$.<|im_end|>",
    "in bold": r"So it is $\boxed{{\textbf{{{0}}}}}$.",
    "thin blanks": r"So it is $\boxed{{{1}}}$.",
    "a chain": r"So it is $\boxed{{{2}+1={0}}}$.",
    "a sentence": "The answer is {0}.",
}

Start = Callable[[Case], Callable[[], Results]]


def restated(golds: Sequence[int], is_honest: bool) -> list[Case]:
    """Every gold in every form, or the number above it."""
    found = []
    for gold in golds:
        said = gold if is_honest else gold + 1
        grouped = f"{said:,}".replace(",", r"\,")
        for name, form in FORMS.items():
            text = form.format(said, grouped, said - 1)
            found.append(Case(f"{name}: {gold}", name, text, str(gold), is_honest))
    return found


def gsm8k_golds(path: Path, number: int) -> list[int]:
    rows = read_data(Source(str(path)), required=[["answer"]]).rows
    golds = [row.data["answer"].rpartition("####")[2].strip().replace(",", "") for row in rows]
    return [int(gold) for gold in golds if gold.isdigit()][:number]


def by_ours(pool: WorkerPool) -> Start:
    function = MathCorrect()
    function.use(pool)
    return lambda case: function.start(
        Samples((case.prompt,), (case.completion,), {"answer": [case.answer], "style": [case.style]})
    )


def in_pool(pool: WorkerPool, name: str, is_messages: bool = False) -> Start:
    def start(case: Case) -> Callable[[], Results]:
        columns = {"answer": [case.answer], "solution": [rf"\boxed{{{case.answer}}}"]}
        future = pool.submit(name, Samples((case.prompt,), (case.completion,), columns), is_messages=is_messages)
        return lambda: pool.result(future)

    return start


def counted(start: Start, suite: Sequence[Case]) -> tuple[int, int, float]:
    """(how many are graded correct, how many could not be judged, seconds for all of them)."""
    begun = time.perf_counter()
    scores = [wait()[0] for wait in [start(case) for case in suite]]
    seconds = time.perf_counter() - begun
    num_correct = sum(score is not None and score.verdict == Verdict.CORRECT for score in scores)
    return num_correct, sum(score is None or score.verdict in UNUSABLE for score in scores), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gsm8k", type=Path, help="JSON lines with `answer`, as GSM8K has them")
    parser.add_argument("--golds", type=int, default=100, help="how many of its golds")
    parser.add_argument("--timeout", type=float, default=2.0, help="seconds a completion")
    parser.add_argument("--graders", nargs="+", choices=GRADERS, default=GRADERS)
    parser.add_argument("--honest", action="store_true", help="leave out the hostile half, on which others hang")
    arguments = parser.parse_args()
    suite = cases()
    sets = {
        "honest, boxed": [case for case in suite if case.is_honest and case.style == "boxed"],
        "honest, any style": [case for case in suite if case.is_honest],
    }
    if not arguments.honest:
        sets["hostile"] = [case for case in suite if not case.is_honest]
    if arguments.gsm8k:
        golds = gsm8k_golds(arguments.gsm8k, arguments.golds)
        sets |= {"GSM8K golds restated": restated(golds, True), "the same, changed by one": restated(golds, False)}
    table = Table(title=f"graders, {arguments.timeout:g} s a completion", title_justify="left")
    for column in ("set", "cases", "grader", "kept", "accepted", "errors", "seconds"):
        table.add_column(column, justify="left" if column in ("set", "grader") else "right")
    functions = {"ours": SYMBOLIC, "math-verify": DIRECTLY, "TRL": TRL}
    with WorkerPool([functions[name] for name in arguments.graders], Limits(timeout_seconds=arguments.timeout)) as pool:
        pool.ready()
        starts = {
            "ours": by_ours(pool),
            "math-verify": in_pool(pool, MATH_VERIFY),
            "TRL": in_pool(pool, TRL.name, is_messages=True),
        }
        for name, members in sets.items():
            for grader in arguments.graders:
                start = starts[grader]
                num_correct, num_errors, seconds = counted(start, members)
                kept, accepted = (f"{num_correct}", "") if members[0].is_honest else ("", f"{num_correct}")
                table.add_row(name, f"{len(members)}", grader, kept, accepted, f"{num_errors}", f"{seconds:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
