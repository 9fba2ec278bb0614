"""Holds `math` against published verdicts: GSM8K's own example solutions of four systems, row by row.

    python tests/bench/agreement/example_solutions.py example_model_solutions.jsonl

The file is in grade_school_math/data of the repository openai/grade-school-math, commit 3101c7d. A row has a question,
its ground truth with "A: GOLD" as its last line, and for each system a solution and `is_correct`.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

from rich.table import Table

from doubleback.eval.show.console import Console
from doubleback.rewards.checks.golds import as_completion
from doubleback.rewards.compose.config import RewardConfig
from doubleback.rewards.compose.reward import load_reward
from doubleback.rewards.types import Problem, Verdict


def main(path: Path) -> None:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    published, ours, differ = defaultdict(int), defaultdict(int), []
    with load_reward(RewardConfig(components={"math": 1.0}), max_tokens=512) as reward:
        for number, row in enumerate(rows, 1):
            gold = row["ground_truth"].rpartition("A: ")[2]
            problem = Problem(f"{number}", row["question"], {"answer": gold})
            systems = {name: it for name, it in row.items() if isinstance(it, dict)}
            scores = reward(problem, [as_completion(it["solution"]) for it in systems.values()])
            for (name, system), score in zip(systems.items(), scores, strict=True):
                is_right = score.verdict == Verdict.CORRECT
                published[name] += system["is_correct"]
                ours[name] += is_right
                if is_right != system["is_correct"]:
                    differ.append(f"row {number}, {name}: {score.verdict}, {score.detail}")
    table = Table(title=f"{len(rows)} problems; {len(differ)} verdicts differ", title_justify="left")
    for column in ("system", "published", "ours", "gap in points"):
        table.add_column(column, justify="left" if column == "system" else "right")
    for name, number in published.items():
        shares = [100 * it / len(rows) for it in (number, ours[name])]
        table.add_row(name, *(f"{it:.2f} %" for it in shares), f"{shares[1] - shares[0]:.2f}")
    Console().print(table)
    print(*differ, sep="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
