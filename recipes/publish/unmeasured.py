"""What nobody has measured of a run that is published, by name: a reader could take each for known."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from doubleback.recipes.publish.facts import Facts, Measured
from doubleback.rl.run.best import best_step

if TYPE_CHECKING:  # it loads torch, which an adapter's card does not need
    from doubleback.rl.policy.merged_checkpoint import MergeReport


def unmeasured(facts: Facts, merged: "MergeReport | None") -> list[str]:
    """A line each, its name first. `merged`: how exact the merged checkpoint is; None for an adapter."""
    lines = [*_evaluations(facts), *_figures(facts), *_beyond(facts)]
    if merged is not None:
        lines.append(
            "**The merged checkpoint:** the figures are of base and adapter. On random tokens its logits are "
            f"{merged.max_logit:.1e} at most, {merged.mean_logit:.1e} on average, from theirs."
        )
    return lines


def dtype_of(facts: Facts) -> str:
    """The precision of the base that the run was measured with."""
    return "float32" if facts.recipe.tiny else str(facts.recipe.model.dtype)


def _evaluations(facts: Facts) -> Iterator[str]:
    """Suites that were not measured before, or after; the test problems are expected of every run."""
    by_suite = {it.suite: it for it in facts.measured}
    for suite in dict.fromkeys(["test", *by_suite]):
        found = by_suite.get(suite, Measured(suite, None, None))
        if found.before is None:
            yield f"**{suite} before training:** the run has no evaluation of step 0."
        if found.after is None:
            yield f"**{suite} after training:** the run has no evaluation of step {facts.step}."


def _figures(facts: Facts) -> Iterator[str]:
    """What the figures that there are do not say."""
    for after in (it.after for it in facts.measured if it.after is not None):
        first = after["pass_at_k"].get("1")
        if first is not None and first["low"] is None:
            yield f"**An interval for {after['suite']}:** one problem says nothing of the others."
        if after["unusable_rate"]["value"]:
            yield (
                f"**{after['unusable_rate']['value']:.1%} of the samples of {after['suite']}:** their grader timed out "
                "or failed; they stand in no figure of right and wrong."
            )
        if after["suite"] not in facts.validations:
            yield f"**pass@k of {after['suite']} beyond k = {after['n']}:** so many samples a problem were drawn."
    if best_step(facts.lines, facts.recipe.checkpoint) == facts.step:
        best = facts.recipe.checkpoint.best
        yield f"**{best} of a step that it did not choose:** this one was the best by it so far."
    if facts.recipe.lora.init is not None:
        yield "**The bare base:** step 0 is the adapter that training started from."


def _beyond(facts: Facts) -> Iterator[str]:
    """What no figure of one run can say."""
    recipe = facts.recipe
    yield f"**Other seeds:** this is one run, with seed {recipe.seed}; how far from it another would end is unknown."
    yield f"**Other engines and precisions:** {recipe.engine.name} sampled, with weights in {dtype_of(facts)}."
    yield "**Anything else:** other tasks, languages, longer texts; harm and bias; what the base alone could do."
    yield "**What the base had seen:** whether these problems, or some like them, stood in what it was trained on."
    if recipe.tiny:
        yield "**Anything of worth:** the base is a tiny random model in the place of the real one (`tiny: true`)."
    if not facts.inputs:
        yield "**The data's hashes:** the run did not write them down."
