"""Do `doubleback eval` and lm-evaluation-harness agree on completions and shares, and inspect on the verdicts?

    python tests/bench/agreement/compare.py EVAL [--lm-eval SAMPLES.jsonl] [--model MODEL] [--inspect LOG.json]

EVAL is the folder of an evaluation with one greedy sample a problem, SAMPLES what `lm_eval --log_samples` wrote of the
same questions (or `lm_eval_grades.py` of EVAL's completions), MODEL the folder that both sampled from, which looks into
completions that differ, and LOG what inspect wrote of EVAL's completions (`inspect_grades.py`). docs/evaluation.md has
every command.
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
        show("lm-evaluation-harness", (mine, theirs), console)
        if others := [question for question in common(mine, theirs) if mine[question].text != theirs[question].text]:
            console.print(completions((mine, theirs), others, arguments.model))
    if arguments.inspect:
        show(f"inspect, {INSPECT}", (mine, of_inspect(arguments.inspect)), console)


def show(name: str, sides: Sides, console: Console) -> None:
    """What agrees, and each verdict that does not; of restated golds the shares of each form instead."""
    console.print(agreement(name, sides))
    if forms := list(dict.fromkeys(answered.form for answered in sides[0].values() if answered.form)):
        console.print(by_form(name, sides, forms))
    else:
        console.print(verdicts(differing(*sides)))


def agreement(name: str, sides: Sides) -> Table:
    """What was asked and answered alike, and the share right of each reading."""
    mine, theirs = sides
    questions = common(mine, theirs)
    alone = [len(side) - len(questions) for side in sides]
    others = f", and {alone[0]} and {alone[1]} that one side alone answered" if any(alone) else ""
    table = Table(title=f"{len(questions)} questions{others}", title_justify="left")
    for column in ("figure", "doubleback", name):
        table.add_column(column)
    first = [side[questions[0]] for side in sides]
    for key in first[1].asked:
        table.add_row(key, *(str(answered.asked[key]) for answered in first))
    for key in ("prompt", "text") if first[1].prompt else ("text",):
        num_same = sum(getattr(mine[question], key) == getattr(theirs[question], key) for question in questions)
        table.add_row(f"the same {key}", f"{num_same} of {len(questions)}", "")
    for reading in first[1].readings:
        table.add_row(f"{reading}: right", *(f"{share(side, reading, questions):.3f}" for side in sides))
        num_same = len(questions) - sum(row.reading == reading for row in differing(mine, theirs))
        table.add_row(f"{reading}: the same verdict", f"{num_same} of {len(questions)}", "")
    return table


def by_form(name: str, sides: Sides, forms: Sequence[str]) -> Table:
    """The share of each form that either takes for right, and why they differ."""
    readings = list(next(iter(sides[1].values())).readings)
    table = Table(title="restated golds: right", title_justify="left")
    for column in ("form", *(f"{reading}: {side}" for reading in readings for side in ("doubleback", name)), "why"):
        table.add_column(column)
    for form in forms:
        questions = [question for question in common(*sides) if sides[0][question].form == form]
        parts = [{question: side[question] for question in questions} for side in sides]
        shares = [f"{share(part, reading, questions):.2f}" for reading in readings for part in parts]
        reasons = Counter(row.reason for row in differing(*parts))
        table.add_row(form, *shares, ", ".join(f"{count} x {reason}" for reason, count in reasons.most_common()))
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
