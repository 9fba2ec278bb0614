"""The curves: what was measured, with its intervals, and what the steps say of themselves."""

import math
from collections.abc import Iterator, Sequence

from doubleback.recipes.report.blocks import Chart, Charts, Note, Section
from doubleback.recipes.report.charts import Axes, Line, line_chart
from doubleback.recipes.report.content import RunContent, estimate_line, metric_charts, pass_rate_line

SHARE = Axes(of="share", limits=(0, 1.02))
OF_STEPS: tuple[tuple[str, dict[str, str], Axes], ...] = (
    ("Entropy", {"learner/entropy": "entropy"}, Axes(of="nats a token", limits=(0, None))),
    ("Gradient norm", {"learner/grad_norm": "gradient norm"}, Axes(of="L2 norm before clipping", form="{:.2e}")),
    ("Loss", {"learner/loss": "loss"}, Axes(form="{:.2e}")),
    (
        "Divergence",
        {"learner/kl_ref": "from the reference", "learner/kl_teacher": "from the teacher"},
        Axes(of="KL, nats a token", form="{:.2e}"),
    ),
    (
        "Tokens held back",
        {
            "learner/clip_low": "clipped below",
            "learner/clip_high": "clipped above",
            "learner/dual_clip": "dual clip",
            "learner/importance_capped": "importance capped",
        },
        Axes(of="share of the trained tokens", limits=(0, None), form="{:.2%}"),
    ),
    (
        "Groups and completions",
        {
            "rollout/zero_variance": "groups without spread",
            "rollout/cut_off": "completions cut off",
            "rollout/unusable": "completions not judged",
        },
        Axes(of="share", limits=(0, None)),
    ),
    (
        "Gap between engine and trainer",
        {"gap/mean_abs": "mean", "gap/max_abs": "largest"},
        Axes(of="nats, of sampled tokens", is_log=True, form="{:.2e}"),
    ),
    ("Level of the problems", {"problems/level": "level"}, Axes(of="level", form="{:g}")),
)
NONE = "no step and no evaluation is written down yet."


def curves(runs: Sequence[RunContent]) -> Section:
    """Pass rates first, then reward, form, length, the task's own measures, and the learner's numbers."""
    charts = [chart for chart in _charts(runs) if chart is not None]
    if not charts:
        return Section("curves", "Curves", [], NONE)
    zero = [label for _, metrics, _ in OF_STEPS for name, label in metrics.items() if _is_zero(runs, name)]
    notes = [Note(f"At zero in every step: {', '.join(zero)}.")] if zero else []
    intro = "Bands are 95 % intervals over problems"
    intro += "; that of the reward is one standard deviation over completions." if len(runs) == 1 else "."
    return Section("curves", "Curves", [Charts(charts), *notes], intro)


def _charts(runs: Sequence[RunContent]) -> Iterator[Chart | None]:
    yield from _pass_rates(runs)
    means = [run.line("reward/mean", run.label) for run in runs]
    yield line_chart("Reward", means if len(runs) > 1 else [_reward(runs[0])], Axes(of="mean of a step"))
    yield from _estimates(runs)
    yield from _strands(runs)
    for title, metrics, axes in OF_STEPS:
        telling = {name: label for name, label in metrics.items() if not _is_zero(runs, name)}
        yield from metric_charts(runs, title, telling, axes)


def _is_zero(runs: Sequence[RunContent], metric: str) -> bool:
    """Whether it was measured and never anything else."""
    values = [line[metric] for run in runs for line in run.trained if metric in line]
    return bool(values) and all(value == 0 for value in values)


def _pass_rates(runs: Sequence[RunContent]) -> Iterator[Chart | None]:
    if len(runs) == 1:
        run = runs[0]
        lines = [pass_rate_line(run, suite, f"{suite} pass@1") for suite in reversed(run.suites) if "-" not in suite]
        yield line_chart("Pass rate", [*lines, run.line("verdict/correct", _learned_from(run))], SHARE)
        return
    for suite in dict.fromkeys(suite for run in runs for suite in run.suites):
        lines = [pass_rate_line(run, suite, run.label) for run in runs]
        yield line_chart(f"pass@1 on {suite} problems", lines, SHARE)
    yield from metric_charts(runs, "Training rollouts", {"verdict/correct": "share correct"}, SHARE)


def _learned_from(run: RunContent) -> str:
    return "demonstrations" if run.is_given else "training rollouts"


def _reward(run: RunContent) -> Line:
    mean, spread = run.line("reward/mean", "mean and standard deviation"), run.line("reward/std", "")
    at = dict(zip(spread.at, spread.values, strict=True))
    ends = [
        (value - at.get(step, math.nan), value + at.get(step, math.nan))
        for step, value in zip(mean.at, mean.values, strict=True)
    ]
    return Line(mean.label, mean.at, mean.values, [low for low, _ in ends], [high for _, high in ends])


def _estimates(runs: Sequence[RunContent]) -> Iterator[Chart | None]:
    """Form, length and the task's measures on validation problems, or on what else was measured most often."""
    suite = _most_measured(runs)
    if suite is None:
        return
    measures = {
        name: label for run in runs for item in run.measured(suite)[:1] for name, label in item["measures"].items()
    }
    shares = {"format_rate": "format kept", "cut_off_rate": "cut off"}
    shares |= {name: label for name, label in measures.items() if _is_estimate(runs, suite, name)}
    if len(runs) == 1:
        lines = [estimate_line(runs[0], suite, name, label) for name, label in shares.items()]
        yield line_chart(f"On {suite} problems", lines, SHARE)
    else:
        for name, label in shares.items():
            lines = [estimate_line(run, suite, name, run.label) for run in runs]
            yield line_chart(f"{label}, on {suite} problems", lines, Axes(of="share", limits=(0, None)))
    lengths = [
        estimate_line(run, suite, "mean_tokens", f"{suite} problems" if len(runs) == 1 else run.label) for run in runs
    ]
    if len(runs) == 1:
        lengths.append(runs[0].line("rollout/mean_tokens", _learned_from(runs[0])))
    yield line_chart("Length", lengths, Axes(of="tokens a completion", limits=(0, None), form="{:.1f}"))


def _most_measured(runs: Sequence[RunContent]) -> str | None:
    counts = {suite: sum(len(run.measured(suite)) for run in runs) for run in runs for suite in run.suites}
    return max(counts, key=lambda suite: (counts[suite], suite == "validation"), default=None)


def _is_estimate(runs: Sequence[RunContent], suite: str, name: str) -> bool:
    """Whether the measure is one estimate, not one for each verdict, and a share."""
    found = [item[name] for run in runs for item in run.measured(suite) if name in item]
    return all("value" in item and (item["value"] is None or 0 <= item["value"] <= 1) for item in found)


def _strands(runs: Sequence[RunContent]) -> Iterator[Chart | None]:
    """Of several modes or tasks each its own line."""
    for run in runs:
        names = sorted({name.split("/")[0] for name in run.names("strand/")})
        title = "Modes and tasks" if len(runs) == 1 else f"{run.label}: modes and tasks"
        lines = [run.line(f"strand/{name}/correct", name) for name in names]
        yield line_chart(f"{title}: share correct", lines, SHARE)
        lengths = [run.line(f"strand/{name}/mean_tokens", name) for name in names]
        yield line_chart(f"{title}: length", lengths, Axes(of="tokens a completion", limits=(0, None), form="{:.1f}"))
