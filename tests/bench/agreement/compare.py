"""Do `doubleback eval` and lm-evaluation-harness agree on completions and shares, and inspect on the verdicts?

    python tests/bench/agreement/compare.py EVAL [--lm-eval SAMPLES.jsonl] [--model MODEL] [--inspect LOG.json]

EVAL is the folder of an evaluation with one greedy sample a problem, SAMPLES what `lm_eval --log_samples` wrote of the
same questions, MODEL the folder that both sampled from: then a completion that differs is looked into, and LOG what
inspect wrote of EVAL's completions (`inspect_grades.py`). docs/evaluation.md has every command.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[2]))

from bench.agreement.rows import (
    INSPECT,
    Answered,
    Differing,
    common,
    differing,
    first_difference,
    of_inspect,
    of_lm_harness,
    ours,
    share,
)

from doubleback.eval.show.console import Console

TIE = 1e-4
"""Nats between the two likeliest tokens below which either may be taken."""
Sides = tuple[Mapping[str, Answered], Mapping[str, Answered]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("eval", type=Path)
    parser.add_argument("--lm-eval", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--inspect", type=Path)
    arguments = parser.parse_args()
    mine, console = ours(arguments.eval), Console()
    if arguments.lm_eval:
        theirs = of_lm_harness(arguments.lm_eval)
        console.print(agreement("lm-evaluation-harness", (mine, theirs)))
        if others := [question for question in common(mine, theirs) if mine[question].text != theirs[question].text]:
            console.print(completions((mine, theirs), others, arguments.model))
        console.print(verdicts(differing(mine, theirs)))
    if arguments.inspect:
        graded = of_inspect(arguments.inspect)
        console.print(agreement(f"inspect, {INSPECT}", (mine, graded)))
        console.print(verdicts(differing(mine, graded)))


def agreement(name: str, sides: Sides) -> Table:
    """What was asked and answered alike, and the share right of each reading."""
    mine, theirs = sides
    questions = common(mine, theirs)
    table = Table(title=f"{len(questions)} questions", title_justify="left")
    for column in ("figure", "doubleback", name):
        table.add_column(column)
    first = [side[questions[0]] for side in sides]
    for key in first[1].asked:
        table.add_row(key, *(str(answered.asked[key]) for answered in first))
    for key in ("prompt", "text") if first[1].prompt else ("text",):
        num_same = sum(getattr(mine[question], key) == getattr(theirs[question], key) for question in questions)
        table.add_row(f"the same {key}", f"{num_same} of {len(questions)}", "")
    for reading in first[1].readings:
        table.add_row(f"{reading}: right", *(f"{share(side, reading):.3f}" for side in sides))
        num_same = len(questions) - sum(row.reading == reading for row in differing(mine, theirs))
        table.add_row(f"{reading}: the same verdict", f"{num_same} of {len(questions)}", "")
    return table


def completions(sides: Sides, questions: Sequence[str], model: Path | None) -> Table:
    """Each completion that differs, and how far apart the two likeliest tokens are where it begins to."""
    order = {question: number for number, question in enumerate(sides[0])}
    table = Table(title="other completions", title_justify="left")
    for column in ("row", "begins", "nats", "doubleback", "the other"):
        table.add_column(column)
    for question in questions:
        texts = [side[question].text for side in sides]
        at = first_difference(*texts)
        gap = "not measured" if model is None else _gap(model, sides[0][question].prompt, texts)
        table.add_row(
            f"{order[question]}", f"character {at}", gap, *(repr(text[max(0, at - 8) : at + 24]) for text in texts)
        )
    return table


def _gap(folder: Path, prompt: str, texts: Sequence[str]) -> str:
    """Top-2 gap in nats, in float32, behind the tokens that both texts begin with, as they are encoded again."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    ids = [tokenizer(prompt + text)["input_ids"] for text in texts]
    same = ids[0][: first_difference(*ids)]
    with torch.no_grad():
        best = torch.log_softmax(model(torch.tensor([same])).logits[0, -1], -1).topk(2)
    gap = float(best.values[0] - best.values[1])
    tokens = " or ".join(repr(tokenizer.decode([token])) for token in best.indices)
    return f"{gap:.1e}{' (a tie)' if gap < TIE else ''}: {tokens}"


def verdicts(rows: Sequence[Differing]) -> Table:
    """Each verdict that is not shared, with its reason."""
    counts = ", ".join(f"{count} x {reason}" for reason, count in Counter(row.reason for row in rows).most_common())
    table = Table(title=f"{len(rows)} verdicts that differ{': ' if counts else ''}{counts}", title_justify="left")
    for column in ("row", "reading", "doubleback", "the other", "reason"):
        table.add_column(column)
    for row in rows:
        said = (f"{'right' if it.is_right else 'wrong'}: {it.answer}" for it in (row.ours, row.theirs))
        table.add_row(str(row.number), row.reading, *said, row.reason)
    return table


if __name__ == "__main__":
    main()
