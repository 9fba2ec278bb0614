"""The model card, README.md of what is pushed: made from a run alone, and saying what nobody has measured."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import yaml

from doubleback.eval.show.tables import cell, change_of, measured_rows
from doubleback.recipes.data.table import load_data, shipped_data
from doubleback.recipes.publish.facts import MODEL_KEY, Facts, Measured
from doubleback.recipes.publish.unmeasured import dtype_of, unmeasured

if TYPE_CHECKING:  # it loads torch, which an adapter's card does not need
    from doubleback.rl.policy.merged_checkpoint import MergeReport

TAGS = ("doubleback", "grpo", "reinforcement-learning")
HASH = re.compile(r"\b[0-9a-f]{64}\b")


def card(facts: Facts, name: str, licence: str | None, merged: "MergeReport | None") -> str:
    """README.md, with its metadata. `merged`: how exact the merged checkpoint is; None for an adapter."""
    parts = [
        f"---\n{_metadata(facts, licence or facts.base.licence, merged is not None)}---\n",
        f"# {name.rpartition('/')[2]}\n\n{facts.recipe.description}\n\n{_what(facts, merged)}\n",
        *_measurements(facts),
        "## What was not measured\n\n" + "".join(f"- {line}\n" for line in unmeasured(facts, merged)),
        _use(facts, name, merged is not None),
        f"## How it was made\n\n{_base(facts)}",
        _data(facts),
        _recipe(facts),
        _cost(facts),
        _versions(facts),
    ]
    return "\n".join(parts)


def _metadata(facts: Facts, licence: str | None, is_merged: bool) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    results = [
        EvalResult(
            task_type="text-generation",
            dataset_type=facts.datasets[0] if facts.datasets else facts.recipe.task.name.rpartition(":")[2],
            dataset_name=f"{it.suite}, {it.after['num_problems']} problems x {it.after['n']}",
            metric_type=f"pass@{k}",
            metric_value=round(estimate["value"], 4),
        )
        for it in facts.measured
        if it.suite not in facts.validations and it.after is not None
        for k, estimate in it.after["pass_at_k"].items()
        if int(k) in facts.recipe.eval.k and estimate["value"] is not None
    ]
    data = ModelCardData(
        base_model=facts.base.hub_id,
        base_model_relation=None if facts.base.hub_id is None else "finetune" if is_merged else "adapter",
        library_name="transformers" if is_merged else "peft",
        pipeline_tag="text-generation",
        license=licence,
        datasets=facts.datasets or None,
        tags=[*TAGS, *([] if is_merged else ["lora"])],
        model_name=facts.recipe.name or "doubleback" if results else None,
        eval_results=results or None,
    )
    return f"{data.to_yaml().strip()}\n"


def _what(facts: Facts, merged: "MergeReport | None") -> str:
    kind = "A LoRA adapter for" if merged is None else "The merged weights of a LoRA adapter and its base,"
    base = facts.base
    named = f"[{base.hub_id}](https://huggingface.co/{base.hub_id})" if base.hub_id else f"`{base.label}`"
    how = "GRPO with verifiable rewards" if facts.recipe.trainer == "doubleback" else "TRL's GRPO trainer"
    return f"{kind} {named}, trained by doubleback with {how}, at step {facts.step} of {facts.recipe.steps}."


def _measurements(facts: Facts) -> Iterator[str]:
    """A table a suite, before and after."""
    yield "## How good it is\n"
    start = "the base itself" if facts.recipe.lora.init is None else "the adapter that training started from"
    yield f"Measured by the run itself. Step 0 is {start}; intervals are 95 %, over problems.\n"
    for measured in facts.measured:
        yield _table(measured, facts.recipe.eval.k)


def _table(measured: Measured, ks: Sequence[int]) -> str:
    summaries = [it for it in (measured.before, measured.after) if it is not None]
    if not summaries:
        return f"### {measured.suite}\n\nNot at these steps.\n"
    sizes = dict.fromkeys(f"{it['num_problems']} problems x {it['n']} samples" for it in summaries)
    heads = [f"step {it['step']}" for it in summaries] + (["change"] if len(summaries) == 2 else [])
    rows = [["measure", *heads], ["---"] * (1 + len(heads))]
    for label, estimates, digits in measured_rows(summaries, ks):
        cells = [cell(it, digits) for it in estimates]
        change = [change_of(estimates[0], estimates[1], digits)] if len(estimates) == 2 else []
        rows.append([label, *cells, *change])
    return f"### {measured.suite}: {', '.join(sizes)}\n\n{_rows(rows)}"


def _rows(rows: Iterable[Sequence[str]]) -> str:
    """Rows of a table in Markdown."""
    escaped = ([text.replace("|", "\\|") for text in row] for row in rows)
    return "".join(f"| {' | '.join(row)} |\n" for row in escaped)


def _use(facts: Facts, name: str, is_merged: bool) -> str:
    tokenizer = name if is_merged else facts.base.hub_id or "FOLDER OF THE BASE"
    lines = ["from transformers import AutoModelForCausalLM, AutoTokenizer", ""]
    if is_merged:
        lines.append(f'model = AutoModelForCausalLM.from_pretrained("{name}")')
    else:
        lines.insert(0, "from peft import PeftModel")
        lines.append(f'base = AutoModelForCausalLM.from_pretrained("{tokenizer}")')
        lines.append(f'model = PeftModel.from_pretrained(base, "{name}")')
    lines.append(f'tokenizer = AutoTokenizer.from_pretrained("{tokenizer}")')
    return "## Use\n\n```python\n{}\n```\n".format("\n".join(lines))


def _base(facts: Facts) -> str:
    base, files = facts.base, [(key, value) for key, value in facts.inputs.items() if key.startswith(MODEL_KEY)]
    head = f"**Base:** `{base.label}` in {dtype_of(facts)}"
    if base.commit:
        return f"{head}, commit `{base.commit}`.\n"
    if not files:
        return f"{head}.\n"
    rows = [(f"`{key.removeprefix(MODEL_KEY)}`", _code(value)) for key, value in files]
    return f"{head}, from a folder with these files:\n\n{_rows([('file', 'hash'), ('---', '---'), *rows])}"


def _data(facts: Facts) -> str:
    return f"{_data_set(facts.recipe.data)}{_hashes(facts)}"


def _data_set(name: str | None) -> str:
    """What the table of data sets says of this one; nothing where the recipe names none of it."""
    if name not in shipped_data():
        return ""
    known = load_data(str(name))
    faults = "".join(f"; {fault}" for fault in known.faults)
    return f"**Questions:** {known.description}. Licence: {known.licence or 'none stated'}{faults}.\n\n"


def _hashes(facts: Facts) -> str:
    rows = [(key, _code(value)) for key, value in facts.inputs.items() if not key.startswith(MODEL_KEY)]
    if not rows:
        return "**Data:** not written down by the run.\n"
    return f"**Data and code** that the result depends on:\n\n{_rows([('what', 'hash'), ('---', '---'), *rows])}"


def _code(value: str) -> str:
    """Only a hash in monospace."""
    return HASH.sub(r"`\g<0>`", value)


def _recipe(facts: Facts) -> str:
    changed = yaml.safe_dump(facts.changed, sort_keys=False, allow_unicode=True, width=110)
    hidden = f" Left out as secrets: {', '.join(f'`{key}`' for key in facts.left_out)}." if facts.left_out else ""
    return (
        f"**Recipe:** what differs from doubleback's defaults; `recipe.yaml` has every key. Of paths the last name is "
        f"left.{hidden}\n\n```yaml\n{changed}```\n\n**Seed:** {facts.recipe.seed}, from which adapter, order of "
        "problems and samples derive.\n"
    )


def _cost(facts: Facts) -> str:
    steps = len(facts.trained)
    sizes = f"{steps} steps of {facts.recipe.step_completions} completions"
    tokens, seconds = facts.total("rollout/tokens"), facts.total("seconds/step")
    spent = [f"{tokens:,.0f} sampled tokens" if math.isfinite(tokens) else "tokens not written down"]
    took = f"{seconds / 60:,.1f} minutes, evaluations and checkpoints apart"
    spent.append(took if math.isfinite(seconds) else "time not written down")
    machine = {key: facts.environment.get(key) for key in ("platform", "threads")}
    where = f", on {machine['platform']}, threads: {machine['threads']}" if all(machine.values()) else ""
    gap = [line["sync/max_abs"] for line in facts.trained if line.get("sync/max_abs") is not None]
    agreed = (
        f" Engine and trainer differed by {max(gap):.1e} nats at most on canary tokens after each push." if gap else ""
    )
    return f"**Cost:** {sizes}; {', '.join(spent)}{where}.{agreed}\n"


def _versions(facts: Facts) -> str:
    packages: Mapping[str, Any] = facts.environment.get("packages", {})
    named = [f"{name} {version}" for name, version in packages.items() if version is not None]
    python = facts.environment.get("python")
    return f"**Versions:** {', '.join([*([f'Python {python}'] if python else []), *named]) or 'not written down'}.\n"
