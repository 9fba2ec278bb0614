"""What went wrong, and what deserves a look: each with its figures and where they are from. Thresholds stand here."""

import math
from collections.abc import Callable, Iterator, Sequence

from doubleback.recipes.report.blocks import Finding, Findings, Section
from doubleback.recipes.report.content import RunContent, is_kept
from doubleback.rl.objective.balance import COLLAPSED_SHARE

NEWEST = 10
"""Steps over which what varies is averaged."""
MANY_CUT_OFF, TOO_MANY_CUT_OFF = 0.05, 0.25
MANY_FLAT = 0.5
LARGE_K3 = 1e-3
"""Nats: the estimate of KL(sampler || trainer) from which a gap is no rounding."""
GROWN = 1.5
"""Times its value in the first steps."""
LOW_ENTROPY = 0.1
"""Of what the entropy was in the first steps."""
MANY_CAPPED = 0.05
LONG_PAYS = 0.5
"""Correlation of a rewarded part with the number of tokens."""
LOST_FORM = 0.05
CHECKED = (
    "how the run ended, restarts, undefined numbers, verdicts without a value, cut-offs, groups without spread, the "
    "gap between engine and trainer, receipts, balance of the experts, entropy, capped ratios, rewarded length, form"
)
Look = Callable[[RunContent], Iterator[Finding]]


def looks(runs: Sequence[RunContent]) -> Section:
    """The findings of every run, the worst first; where there is none, what was looked at."""
    found = [_named(run, item, runs) for run in runs for look in LOOKS for item in look(run)]
    found.sort(key=lambda item: item.level != "wrong")
    nothing = "Nothing stood out" if not found else "Nothing else stood out"
    return Section(
        "looks", "What deserves a look", [Findings([*found, Finding("fine", nothing, f"Looked at: {CHECKED}.")])]
    )


def _named(run: RunContent, finding: Finding, runs: Sequence[RunContent]) -> Finding:
    return finding if len(runs) == 1 else Finding(finding.level, f"{run.label}: {finding.title}", finding.text)


def _end(run: RunContent) -> Iterator[Finding]:
    state = run.state
    saved = "none is saved" if state.saved_step is None else f"step {state.saved_step} is saved"
    if state.word == "killed":
        yield Finding(
            "wrong", "The run's process was killed", f"It had written step {state.step} of {state.steps}; {saved}."
        )
    elif state.word == "stopped":
        yield Finding("look", "The run has not ended", f"It stopped at step {state.step} of {state.steps}; {saved}.")
    if run.lines and "unmeasured" in run.lines[-1]:
        yield Finding("look", "An evaluation was interrupted", f"Of step {state.step}; a resumed run makes up for it.")


def _restarts(run: RunContent) -> Iterator[Finding]:
    sittings = run.environment.get("sittings", [])
    if len(sittings) > 1:
        later = ", ".join(f"from step {sitting['step']} on {sitting['began']}" for sitting in sittings[1:])
        yield Finding(
            "look", f"Resumed {len(sittings) - 1} times" if len(sittings) > 2 else "Resumed once", f"{later}."
        )


def _undefined(run: RunContent) -> Iterator[Finding]:
    # Of completions that were given there is no engine that the trainer could be apart from.
    sampled = () if run.is_given else ("gap/mean_abs",)
    for metric in ("learner/loss", "learner/grad_norm", "reward/mean", *sampled, "sync/mean_abs"):
        undefined = [line for line in run.trained if metric in line and line[metric] is None]
        steps = [line["step"] for line in undefined if not (metric.startswith("sync/") and is_kept(line))]
        if steps:
            yield Finding("wrong", f"{metric} is undefined", f"At {_steps(steps)}.")


def _unusable(run: RunContent) -> Iterator[Finding]:
    kinds = {"verdict/timeout": "timed out", "verdict/grader_error": "made their grader fail"}
    for metric, words in kinds.items():
        of = [
            (line["step"], line[metric] * line["rollout/num_completions"]) for line in run.trained if line.get(metric)
        ]
        if number := round(sum(count for _, count in of)):
            text = f"Out of all statistics and of the loss; at {_steps([step for step, _ in of])}."
            yield Finding("wrong", f"{number:,} completions {words}", text)
    for summary in run.summaries:
        if share := summary.get("unusable_rate", {}).get("value"):
            where = f"{summary['suite']} at step {summary['step']}"
            yield Finding("wrong", f"{share:.1%} of the samples of {where} were not judged", "They stand in no figure.")


def _cut_off(run: RunContent) -> Iterator[Finding]:
    share = _mean(run, "rollout/cut_off")
    if share >= MANY_CUT_OFF:
        before = _mean(run, "rollout/cut_off", early=True)
        text = f"{share:.1%} of those of the newest steps end at sampling.max_tokens, {before:.1%} of the first steps'."
        yield Finding("wrong" if share >= TOO_MANY_CUT_OFF else "look", "Completions are cut off", text)


def _flat(run: RunContent) -> Iterator[Finding]:
    if run.recipe["kind"] != "rl":  # a demonstration and a teacher teach without any spread
        return
    share = _mean(run, "rollout/zero_variance")
    if share >= MANY_FLAT:
        text = f"In {share:.0%} of the groups of the newest steps all rewards are equal: they teach nothing."
        yield Finding("look", "Most groups are flat", text)


def _gaps(run: RunContent) -> Iterator[Finding]:
    large = [line for line in run.trained if (line.get("gap/k3") or 0.0) > LARGE_K3]
    if large:
        worst = max(large, key=lambda line: float(line["gap/k3"]))
        where = _steps([line["step"] for line in large])
        text = f"k3 is {worst['gap/k3']:.1e} nats at step {worst['step']}, and above {LARGE_K3:g} at {where}."
        yield Finding("look", "Engine and trainer compute different policies", text)
    if (share := _mean(run, "gap/experts_differ")) > 0.01:
        text = f"For {share:.1%} of the tokens the trainer alone would choose other experts than the engine."
        yield Finding("look", "Experts differ between engine and trainer", text)


def _receipts(run: RunContent) -> Iterator[Finding]:
    pushed = [line for line in run.lines if None not in (line.get("sync/max_abs"), line.get("sync/bound"))]
    beyond = [line["step"] for line in pushed if not line["sync/max_abs"] <= line["sync/bound"]]
    if beyond:
        text = f"At {_steps(beyond)}. 98 % of the canary tokens have to keep the bound, and did."
        yield Finding("look", "Single canary tokens were beyond the bound", text)


def _experts(run: RunContent) -> Iterator[Finding]:
    if not run.names("experts/"):
        return
    share, unused = _mean(run, "experts/largest_share"), _mean(run, "experts/unused")
    if not share <= COLLAPSED_SHARE:
        known = "is not known" if math.isnan(share) else f"is {share:.2f}"
        yield Finding(
            "look", "One expert takes most tokens", f"The busiest expert's share of a layer's tokens {known}."
        )
    if unused > 0:
        yield Finding("look", "Some experts are never used", f"{unused:.1%} of a layer's experts, mean over layers.")
    first, last = _mean(run, "experts/max_violation", early=True), _mean(run, "experts/max_violation")
    if last > GROWN * first:
        text = f"Its largest violation (MaxVio) went from {first:.2f} in the first steps to {last:.2f}."
        yield Finding("look", "The load of the experts drifts apart", text)


def _policy(run: RunContent) -> Iterator[Finding]:
    first, last = _mean(run, "learner/entropy", early=True), _mean(run, "learner/entropy")
    if last < LOW_ENTROPY * first:
        yield Finding(
            "look", "The policy has become certain", f"Its entropy went from {first:.3f} to {last:.3f} nats a token."
        )
    if (share := _mean(run, "learner/importance_capped")) > MANY_CAPPED:
        text = f"{share:.1%} of the trained tokens, as far as the sampler's policy is from the trainer's."
        yield Finding("look", "Many importance ratios are capped", text)


def _length(run: RunContent) -> Iterator[Finding]:
    for name in run.names("reward/length_correlation/"):
        paid, found = _mean(run, f"reward/weighted/{name}"), _mean(run, f"reward/length_correlation/{name}")
        if found >= LONG_PAYS and paid != 0:
            text = f"The correlation of {name} with the number of tokens is {found:+.2f}."
            yield Finding("look", "A part of the reward pays for length", text)


def _form(run: RunContent) -> Iterator[Finding]:
    for suite in run.suites:
        known = [
            item["format_rate"]["value"]
            for item in run.measured(suite)
            if item.get("format_rate", {}).get("value") is not None
        ]
        if len(known) > 1 and known[-1] < known[0] - LOST_FORM:
            yield Finding(
                "look", f"The form is lost on {suite}", f"Kept by {known[0]:.1%} at first, by {known[-1]:.1%} now."
            )


LOOKS: tuple[Look, ...] = (
    *(_end, _undefined, _unusable, _restarts, _cut_off, _flat, _gaps),
    *(_receipts, _experts, _policy, _length, _form),
)


def _mean(run: RunContent, metric: str, early: bool = False) -> float:
    """Over the newest steps that have it, or the first; NaN where none has."""
    values = [float(line[metric]) for line in run.trained if line.get(metric) is not None]
    chosen = values[:NEWEST] if early else values[-NEWEST:]
    return sum(chosen) / len(chosen) if chosen else math.nan


def _steps(steps: Sequence[int]) -> str:
    """`step 3`, `steps 3, 4`, `12 steps, 3 to 40`."""
    if len(steps) == 1:
        return f"step {steps[0]}"
    return (
        f"steps {', '.join(map(str, steps))}" if len(steps) <= 5 else f"{len(steps)} steps, {steps[0]} to {steps[-1]}"
    )
