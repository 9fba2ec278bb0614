"""Two evaluations of the same problems: the paired difference, and the problems that flipped with both texts."""

from collections.abc import Mapping, Sequence

from doubleback.eval.compare import ComparedEvaluations, Flip
from doubleback.eval.show.tables import COMPARED, at_equal_tokens, compared_rows
from doubleback.eval.summarise import UNDEFINED, by_problem
from doubleback.recipes.report.blocks import Block, Cards, Section, Table, Texts
from doubleback.recipes.report.sections.headline import paired_card, value_card
from doubleback.recipes.report.sections.measured import Measured
from doubleback.rewards.sample_lines import Line, is_correct, read_problems

MOST_FLIPS = 12
"""Problems whose texts are shown."""
SIDES = ("A", "B")


def compared_result(items: Sequence[Measured], compared: ComparedEvaluations) -> Section:
    """The paired difference, both side by side, and both at equal tokens."""
    size = f"{compared.num_problems} problems in both"
    cards = [
        value_card(f"pass@1 of {side}, {item.label}", item.summary["pass_at_k"].get("1", UNDEFINED), item.size)
        for side, item in zip(SIDES, items, strict=True)
    ]
    rows = compared_rows(items[0].summary, items[1].summary, compared)
    note = f"Intervals of 95 % and p are paired by problem: {compared.pass_at_1.method}."
    title, row, caption = at_equal_tokens(compared)
    blocks: list[Block] = [
        Cards([*cards, paired_card(compared.pass_at_1, "B - A")]),
        Table(f"{items[0].summary['suite']}: {size}", COMPARED, rows, note=note),
        Table(f"The longer of the two {title}", list(row), [tuple(row.values())], note=f"{caption}."),
    ]
    return Section("headline", "Result", blocks)


def flips(items: Sequence[Measured], compared: ComparedEvaluations) -> Section:
    """The problems that changed most, and of each a sample of both sides."""
    if not compared.flips:
        return Section("flips", "Flips", [], "no problem's share of right samples differs.")
    shown = compared.flips[:MOST_FLIPS]
    rows = [(it.problem, f"{it.first:.2f}", f"{it.second:.2f}", f"{it.second - it.first:+.2f}") for it in shown]
    prompts = {name: problem.prompt for item in items for name, problem in read_problems(item.evaluated.path).items()}
    groups = [{str(group[0]["problem"]): group for group in by_problem(item.evaluated.lines)} for item in items]
    columns = ("problem", "right in A", "right in B", "B - A")
    blocks: list[Block] = [Table("Share of right samples", columns, rows)]
    blocks += [_texts(flip, prompts.get(flip.problem, flip.problem), groups) for flip in shown]
    intro = f"{len(compared.flips)} problems are right more often on one side than on the other."
    if len(shown) < len(compared.flips):
        intro += f" The {MOST_FLIPS} that changed most, with a sample of each side:"
    return Section("flips", "Flips", blocks, intro)


def _texts(flip: Flip, prompt: str, groups: Sequence[Mapping[str, Sequence[Line]]]) -> Texts:
    """Of the better side a sample that is right, of the other one that is not."""
    is_right = (flip.first > flip.second, flip.second > flip.first)
    samples = [_telling(of[flip.problem], wanted) for of, wanted in zip(groups, is_right, strict=True)]
    texts = [
        (f"{side}: {it['verdict']}, answer {it.get('extracted') or 'none'}", str(it.get("completion") or ""))
        for side, it in zip(SIDES, samples, strict=True)
    ]
    return Texts(prompt, texts)


def _telling(group: Sequence[Line], is_right: bool) -> Line:
    return next((line for line in group if is_correct(line) == is_right), group[0])
