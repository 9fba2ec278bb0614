"""Writes an evaluation of no model: golds of GSM8K restated in forms that models use, each judged as `eval` would.

    python tests/bench/agreement/restated.py TEST.jsonl FOLDER [--golds 50]

`lm_eval_grades.py` and `inspect_grades.py` have others grade it, and `compare.py FOLDER` shows what each takes for
right.
"""

import argparse
import json
from pathlib import Path

from doubleback.eval.compare import SAMPLES, SUMMARY
from doubleback.eval.judge import load_judge
from doubleback.eval.prompts.prompt import load_prompt
from doubleback.eval.suites.suite import load_suite
from doubleback.rewards.checks.golds import as_completion
from doubleback.rewards.jsonl import to_lines
from doubleback.rewards.sample_lines import PROBLEMS, problem_line, sample_line
from doubleback.rewards.types import Problem

PROMPT = "gsm8k_train_5shot"
FORMS = {
    "as published": "{solution}",
    "in dollars": "So it is that.\n#### ${gold}",
    "with cents": "So it is that.\n#### {gold}.00",
    "with a unit": "So it is that.\n#### {gold} apples",
    "a full stop": "So it is that.\n#### {gold}.",
    "a remark behind it": "So it is that.\n#### {gold}\n\nI checked this 2 times.",
    "a sentence": "The answer is {gold}.",
    "in a box": "So it is $\\boxed{{{gold}}}$.",
    "in bold": "**{gold}**",
    "two answers": "So it is that.\n#### {gold}\n#### {other}",
    "two answers, the second right": "So it is that.\n#### {other}\n#### {gold}",
    "another number": "So it is that.\n#### {other}",
    "another number in a sentence": "The answer is {other}, not {gold}.",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--golds", type=int, default=50)
    arguments = parser.parse_args()
    suite, prompt = load_suite("gsm8k", arguments.data), load_prompt(PROMPT)
    problems, completions = [], []
    for item in suite.items[: arguments.golds]:
        solution = item.columns["answer"]
        gold = solution.rpartition("####")[2].strip().replace(",", "")
        for form, text in FORMS.items():
            question = f"({form}) {item.question}"
            columns = {"question": question, "answer": solution, "form": form}
            problems.append(Problem(f"{item.id}:{form}", question, columns))
            said = text.format(solution=solution, gold=gold, other=int(gold) + 1)
            completions.append(as_completion(said))
    with load_judge(suite.config, prompt, None) as judge:
        scores = [judge(problem, [said])[0] for problem, said in zip(problems, completions, strict=True)]
    rows = zip(problems, completions, scores, strict=True)
    arguments.folder.mkdir(parents=True)
    (arguments.folder / PROBLEMS).write_bytes(to_lines(map(problem_line, problems)))
    (arguments.folder / SAMPLES).write_bytes(to_lines(sample_line(problem, 0, *said) for problem, *said in rows))
    settings = {"n": 1, "style": prompt.style, "stop": [], "max_tokens": None, "temperature": 0.0}
    (arguments.folder / SUMMARY).write_text(json.dumps(settings), encoding="utf-8")


if __name__ == "__main__":
    main()
