"""An evaluation: everything that it measured, pass@k over k, verdicts, what deserves a look, and how it was asked."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from doubleback.eval.compare import Evaluated
from doubleback.eval.show.tables import cell, evaluation_rows
from doubleback.eval.summarise import UNDEFINED
from doubleback.recipes.publish.private import shareable
from doubleback.recipes.report.blocks import Block, Card, Cards, Chart, Charts, Code, Finding, Findings, Section, Table
from doubleback.recipes.report.charts import Axes, Line, estimates_line, line_chart
from doubleback.recipes.report.sections.headline import INTERVALS, value_card
from doubleback.rewards.sample_lines import num_tokens
from doubleback.rewards.types import UNUSABLE, Verdict, shortened

MANY_CUT_OFF, LOST_TO_FORM = 0.05, 0.02
NO_MEASURES = ("num_problems", "measures")
CHECKED = (
    "Looked at: samples that were not judged, cut-offs, right answers in another form than was asked for, banned words."
)
OPTIONS = ("n", "temperature", "max_tokens", "seed", "prompt", "limit", "adapter", "dtype")
"""Settings that are options of `doubleback eval`, as they are; `thinking`, `engine` and `ban` are others."""
DEFAULT_ENGINE = "vllm"


@dataclass(frozen=True, slots=True)
class Measured:
    """One evaluation of the page."""

    label: str
    evaluated: Evaluated

    @property
    def summary(self) -> Mapping[str, Any]:
        """What summary.json holds."""
        return self.evaluated.summary

    @property
    def size(self) -> str:
        """How many problems, how many samples."""
        return f"{self.summary['num_problems']} problems x {self.summary['n']} samples"

    @property
    def asked(self) -> dict[str, Any]:
        """How it was asked: its settings, without secrets and folders. What was found are mappings."""
        found = {name for name, value in self.summary.items() if isinstance(value, Mapping)}
        settings = {key: value for key, value in self.summary.items() if key not in (*found, *NO_MEASURES)}
        return dict(shareable(settings)[0])


def result(item: Measured) -> Section:
    """pass@1 and pass@k of the largest k as cards, everything else as a table."""
    summary, curve = item.summary, item.summary["pass_at_k"]
    ks = sorted({1, max(map(int, curve), default=1)})
    cards = [value_card(f"pass@{k}", curve.get(str(k), UNDEFINED), item.size) for k in ks]
    strict, flexible = (summary["extraction"][name]["value"] for name in ("strict", "flexible"))
    if None not in (strict, flexible):
        value, detail = f"{strict:.3f} / {flexible:.3f}", "in the form that was asked for, and in any"
        cards.append(Card("right by strict / flexible extraction", value, detail))
    tokens = sum(num_tokens(line) or 0 for line in item.evaluated.lines)
    cards.append(Card("tokens sampled", f"{tokens:,}", f"{cell(summary['mean_tokens'], 1)} a completion"))
    table = Table(f"{summary['suite']}: {item.size}", ("measure", "value"), evaluation_rows(summary), note=INTERVALS)
    return Section("headline", "Result", [Cards(cards), table])


def looks(items: Sequence[Measured], differs: Mapping[str, tuple[Any, Any]]) -> Section:
    """What went wrong in the samples, and which settings differ between A and B."""
    found = [
        finding if len(items) == 1 else Finding(finding.level, f"{item.label}: {finding.title}", finding.text)
        for item in items
        for finding in _looks(item)
    ]
    for key, (one, other) in differs.items():
        found.append(Finding("look", f"{key} differs", f"{in_words(one)} in A, {in_words(other)} in B."))
    nothing = "Nothing else stood out" if found else "Nothing stood out"
    return Section("looks", "What deserves a look", [Findings([*found, Finding("fine", nothing, CHECKED)])])


def _looks(item: Measured) -> Iterator[Finding]:
    summary = item.summary
    for verdict in sorted(UNUSABLE):
        of = [line for line in item.evaluated.lines if line["verdict"] == verdict]
        if of:
            example = next((line["detail"] for line in of if line.get("detail")), "no reason is given")
            text = f"{verdict}: they stand in no figure of right and wrong. The first: {shortened(example)}."
            yield Finding("wrong", f"{len(of)} samples were not judged", text)
    cut_off = summary["cut_off_rate"]["value"]
    if cut_off is not None and cut_off >= MANY_CUT_OFF:
        without = summary["verdicts"].get(Verdict.TRUNCATED, 0.0)
        text = f"{cut_off:.1%} of them; {without:.1%} of all had given no answer by then."
        yield Finding("look", "Completions are cut off", text)
    strict, flexible = (summary["extraction"][name]["value"] for name in ("strict", "flexible"))
    if None not in (strict, flexible) and flexible - strict >= LOST_TO_FORM:
        text = f"{flexible - strict:.1%} of the samples are right in another form than was asked for."
        yield Finding("look", "Right answers are lost to their form", text)
    if banned := summary.get("banned_rate", UNDEFINED)["value"]:
        yield Finding("look", "What is banned was said", f"In {banned:.1%} of the samples, spelt in several tokens.")


def curves(items: Sequence[Measured]) -> Section:
    """pass@k and all of k right over k; how the verdicts are spread."""
    axes = Axes(over="k", of="share of the problems", limits=(0, 1.02), is_log2=True)
    curves = {"pass_at_k": "pass@k", "pass_all_k": "pass^k, all of k right"}
    is_curve = any(len(item.summary["pass_at_k"]) > 1 for item in items)  # one k is a number, which the table has
    charts: list[Chart | None] = [
        line_chart(title, [_curve(item, name) for item in items], axes) for name, title in curves.items() if is_curve
    ]
    drawn = [chart for chart in charts if chart is not None]
    shares = [[f"{item.summary['verdicts'].get(verdict, 0):.1%}" for item in items] for verdict in Verdict]
    rows = [(str(verdict), *of) for verdict, of in zip(Verdict, shares, strict=True) if set(of) != {"0.0%"}]
    verdicts = Table("Verdicts", ("verdict", *_columns(items, "share of the samples")), rows)
    return Section("curves", "Curves and verdicts", [*([Charts(drawn)] if drawn else []), verdicts])


def _curve(item: Measured, name: str) -> Line:
    curve = item.summary[name]
    return estimates_line(item.label, [float(k) for k in curve], list(curve.values()))


def asked(items: Sequence[Measured]) -> Section:
    """How they were asked: a column each."""
    settings = [item.asked for item in items]
    keys = list(dict.fromkeys(key for of in settings for key in of))
    rows = [(key, *(in_words(of.get(key)) for of in settings)) for key in keys]
    table = Table("How it was asked", ("key", *_columns(items, "value")), rows, is_numeric=False)
    return Section("settings", "Settings", [table], "Of paths of this machine the last name is left.")


def commands(items: Sequence[Measured]) -> Section:
    """To be given in the folder that holds the evaluations."""
    names = [item.label for item in items]
    blocks: list[Block] = [
        Code(f"Measure {item.label} again", _again(item)) for item in items if {"model", "suite"} <= item.asked.keys()
    ]
    if len(items) == 2:
        blocks.append(Code("Compare them in the terminal", shlex.join(["doubleback", "compare", *names])))
    blocks.append(Code("Write this report again", shlex.join(["doubleback", "report", *names])))
    return Section("commands", "Commands", blocks, "They are for the folder that holds what is compared.")


def _again(item: Measured) -> str:
    asked = item.asked
    words = ["doubleback", "eval", str(asked["model"]), "--suite", str(asked["suite"])]
    for key in OPTIONS:
        if asked.get(key) is not None:
            words += [f"--{key.replace('_', '-')}", str(asked[key])]
    if asked.get("thinking") is not None:
        words += ["--thinking", "on" if asked["thinking"] else "off"]
    if asked.get("engine") not in (None, DEFAULT_ENGINE, "endpoint"):  # nobody wrote down where the endpoint is
        words += ["--engine", str(asked["engine"])]
    for word in asked.get("ban") or ():
        words += ["--ban", str(word)]
    return shlex.join([*words, "--out", f"{Path(item.label).name}-again"])


def _columns(items: Sequence[Measured], of_one: str) -> list[str]:
    return [of_one] if len(items) == 1 else [item.label for item in items]


def in_words(value: Any) -> str:
    """A setting: nothing, a list, or the value itself."""
    if value is None:
        return "-"
    return value if isinstance(value, str) else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
