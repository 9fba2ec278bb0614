"""How fast rewards are, side by side in one run: `python tests/bench/rewards.py [--repeats 7] [--countdown-steps 6]`.

1,024 GSM8K-style completions by our `math`, by math-verify called directly, and by TRL's accuracy_reward; then what
scoring takes of a countdown step, from a short training run with vLLM. Medians over the repeats, which alternate.
"""

import argparse
import json
import logging
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from rich.table import Table

from doubleback.eval.show.console import Console
from doubleback.recipes.recipe.loading import load_recipe
from doubleback.rewards.builtin.countdown import Split, problems
from doubleback.rewards.checks.golds import as_completion
from doubleback.rewards.compose.config import RewardConfig
from doubleback.rewards.compose.reward import Reward, load_reward
from doubleback.rewards.jsonl import complete_lines
from doubleback.rewards.types import Completion, Problem

NUM_COMPLETIONS = 1024
GROUP_SIZE = 16

Graded = tuple[Problem, list[Completion]]


def gsm8k_like(seed: int) -> list[Graded]:
    """Groups of worked solutions in four styles: right, off by one, hedged, without an answer, and a few symbolic."""
    rng = random.Random(seed)
    groups = []
    for number in range(NUM_COMPLETIONS // GROUP_SIZE):
        left, right = rng.randint(2, 2000), rng.randint(2, 90)
        gold = left + right
        problem = Problem(
            f"p{number}", f"Ann has {left} beads and buys {right} more.", {"answer": f"...\n#### {gold:,}"}
        )
        groups.append((problem, [_solution(rng, left, right) for _ in range(GROUP_SIZE)]))
    return groups


def _solution(rng: random.Random, left: int, right: int) -> Completion:
    """A completion whose adapter hash says whether it is right."""
    error = rng.choice([0, 0, 0, 1, -1])
    total = left + right + error
    shown = rng.choice([f"{total}", f"{total:,}", f"\\${total}.00", f"{total} beads", f"\\frac{{{2 * total}}}{{2}}"])
    steps = "".join(f"Step {n}: {left} + {n} = {left + n} beads. " for n in range(rng.randint(5, 40)))
    texts = [
        f"{steps}So she has {left} + {right} = $\\boxed{{{shown}}}$.",
        f"<think> {steps} </think> <answer> {shown} </answer>",
        f"{steps}\n#### {shown}",
        f"{steps}The answer is {shown}.",
        f"{steps}So it is $\\boxed{{{total}}}$ or $\\boxed{{{total + 1}}}$.",
        f"<think> {steps} </think> I cannot tell.",
    ]
    form = rng.randrange(len(texts))
    is_right = error == 0 and form < 4  # the last two do not commit themselves
    return replace(as_completion(texts[form]), adapter_hash="right" if is_right else "wrong")


def by_doubleback(reward: Reward, groups: Sequence[Graded]) -> int:
    waiting = [reward.start(problem, completions) for problem, completions in groups]
    return sum(score.verdict == "correct" for finish in waiting for score in finish())


def by_math_verify(groups: Sequence[Graded]) -> int:
    from math_verify import parse, verify

    correct = 0
    for problem, completions in groups:
        gold = parse(problem.columns["answer"].rpartition("####")[2])
        correct += sum(verify(gold, parse(completion.text)) for completion in completions)
    return correct


def by_trl(groups: Sequence[Graded]) -> int:
    from trl.rewards import accuracy_reward

    correct = 0
    for problem, completions in groups:
        gold = problem.columns["answer"].rpartition("####")[2].strip()
        messages = [[{"role": "assistant", "content": completion.text}] for completion in completions]
        correct += sum(value == 1.0 for value in accuracy_reward(messages, solution=[gold] * len(messages)))
    return correct


def measure(runs: dict[str, Callable[[Sequence[Graded]], int]], repeats: int) -> dict[str, tuple[list[float], int]]:
    """Name -> (seconds of each repeat, number graded correct in the first), after one repeat to warm up.

    Each repeat has completions of its own, the same for all: a cache of one repeat is of no use to the next.
    """
    found: dict[str, tuple[list[float], int]] = {name: ([], run(gsm8k_like(0))) for name, run in runs.items()}
    for repeat in range(1, repeats + 1):
        groups = gsm8k_like(repeat)
        for name, run in runs.items():
            begun = time.perf_counter()
            run(groups)
            found[name][0].append(time.perf_counter() - begun)
    return found


def countdown_share(steps: int) -> tuple[float, float]:
    """(median seconds to score a step's rollouts again, median seconds of a step) of a short run of the recipe."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        small = [f"steps={steps}", "eval.test_problems=2", "eval.validation_problems=2", "eval.n=2", "eval.k=[1]"]
        command = [sys.executable, "-m", "doubleback.recipes", "train", "countdown", *small, "--out", str(out)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={"OMP_NUM_THREADS": "2", **os.environ})
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()][1:]
        rollouts = [complete_lines(path) for path in sorted((out / "rollouts").iterdir())]
    known = {problem.id: problem for problem in problems(3, Split.TRAIN)}
    recipe = load_recipe("countdown")
    seconds = []
    with load_reward(recipe.reward, recipe.sampling.max_tokens) as reward:
        for rollout in rollouts:
            groups = [rollout[start : start + GROUP_SIZE] for start in range(0, len(rollout), GROUP_SIZE)]
            given = [(known[group[0]["problem"]], [_completion(row) for row in group]) for group in groups]
            begun = time.perf_counter()
            for problem, completions in given:
                reward(problem, completions)
            seconds.append(time.perf_counter() - begun)
    return median(seconds), median(line["seconds/step"] for line in lines)


def _completion(row: dict) -> Completion:
    return Completion(row["completion"], tuple(row["token_ids"]), (), row["finish_reason"], 0, "", row["seed"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--countdown-steps", type=int, default=6, help="0: leave that part out")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    console = Console()
    with load_reward(RewardConfig.model_validate({"components": {"math": 1.0}})) as reward:
        reward.ready()
        runs = {
            "doubleback math": lambda groups: by_doubleback(reward, groups),
            "math-verify, directly": by_math_verify,
            "TRL accuracy_reward": by_trl,
        }
        found = measure(runs, arguments.repeats)
    right = sum(completion.adapter_hash == "right" for _, group in gsm8k_like(0) for completion in group)
    title = f"{NUM_COMPLETIONS:,} GSM8K-style completions, median of {arguments.repeats}; {right} are right"
    table = Table(title=title, title_justify="left")
    for column in ("grader", "seconds", "range", "times ours", "graded correct"):
        table.add_column(column, justify="left" if column == "grader" else "right")
    ours = median(found["doubleback math"][0])
    for name, (times, correct) in found.items():
        spread = f"{min(times):.3f} to {max(times):.3f}"
        table.add_row(name, f"{median(times):.3f}", spread, f"{median(times) / ours:.1f}", f"{correct}")
    console.print(table)
    if arguments.countdown_steps:
        scoring, step = countdown_share(arguments.countdown_steps)
        console.print(
            f"countdown: scoring {scoring * 1000:.1f} ms of a step of {step * 1000:.0f} ms: {scoring / step:.2%}",
            highlight=False,
        )


if __name__ == "__main__":
    main()
