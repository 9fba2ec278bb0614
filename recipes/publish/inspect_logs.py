"""`doubleback export --to inspect`: evaluations as logs of inspect_ai, which `inspect view` opens. Extra `inspect`."""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from doubleback.eval.compare import SUMMARY, load_evaluated
from doubleback.recipes.recipe.results import Run
from doubleback.rewards.jsonl import complete_lines
from doubleback.rewards.sample_lines import Line, is_correct, num_tokens, read_problems, with_columns
from doubleback.rewards.types import UNUSABLE, ConfigError
from doubleback.rl.run.files import whole_folder
from doubleback.rl.run.names import EVALUATIONS, SAMPLES_END, is_run, newest_run
from doubleback.rl.run.owner import owned_output, require_new_folder
from doubleback.rl.run.state import stored_recipe

GOLDS = ("answer", "target", "solution", "gold", "label")
"""Columns of a problem that may hold its gold, in the order in which they are looked for."""
STOPS = {"stop": "stop", "length": "max_tokens"}
"""Reasons for which a completion ended -> what inspect_ai calls them; any other is unknown."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One evaluation on disk."""

    name: str
    """Of the log."""
    model: str
    summary: Mapping[str, Any]
    settings: Mapping[str, Any]
    """How was sampled: temperature, max_tokens, seed where they are known."""
    lines: Sequence[Line]
    """With the prompts and columns of their problems."""
    written: datetime


def export(folder: Path, out: Path) -> list[Path]:
    """Write a log for each evaluation of `folder`, a run's or an evaluation's, into the new folder `out`; their paths.

    A sample of ours is one of inspect_ai's with the problem's id, and the number of the sample, from 1, as its epoch.
    ConfigError where inspect_ai is not installed, `out` exists, or nothing has been measured.
    """
    try:
        import inspect_ai.log as logs
    except ImportError as error:
        raise ConfigError(
            "--to inspect needs inspect_ai; install it with: pip install 'doubleback[inspect]'"
        ) from error
    require_new_folder(out)
    found = list(_of_run(newest_run(folder)) if is_run(newest_run(folder)) else _of_evaluation(folder))
    if not found:
        raise ConfigError(f"{folder} has not been measured yet; there is nothing to export")
    with owned_output(out), whole_folder(out) as unfinished:
        names = [_file_name(measured) for measured in found]
        for measured, name in zip(found, names, strict=True):
            logs.write_eval_log(_log(measured), str(unfinished / name))
    return [out / name for name in names]


def _of_evaluation(folder: Path) -> Iterator[Measured]:
    found = load_evaluated(folder)
    lines = with_columns([dict(line) for line in found.lines], read_problems(folder).values())
    model = str(found.summary.get("model") or folder.absolute().name)
    yield Measured(str(found.summary["suite"]), model, found.summary, found.summary, lines, _time(folder / SUMMARY))


def _of_run(run: Path) -> Iterator[Measured]:
    recipe, problems = stored_recipe(run), read_problems(run).values()
    settings = {**recipe["sampling"], "seed": recipe["seed"]}
    for name, summary in Run(run).evaluations().items():
        stored = complete_lines(run / EVALUATIONS / f"{name}{SAMPLES_END}")
        if stored:  # a strand's summary has its samples in the file of all strands
            lines = with_columns(stored, problems)
            yield Measured(
                name, run.absolute().name, summary, settings, lines, _time(run / EVALUATIONS / f"{name}.json")
            )


def _time(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).replace(microsecond=0)


def _file_name(measured: Measured) -> str:
    """As inspect_ai names them: the time, the task, a number."""
    task = "".join(character if character.isalnum() else "-" for character in measured.name)
    return f"{measured.written:%Y-%m-%dT%H-%M-%S}-00-00_{task}_{_id(measured)}.eval"


def _id(measured: Measured) -> str:
    told = repr((measured.model, measured.name, measured.written, sorted(measured.summary)))
    return hashlib.sha256(told.encode("utf-8", "backslashreplace")).hexdigest()[:22]


def _log(measured: Measured) -> Any:
    import inspect_ai.log as logs
    from inspect_ai.model import GenerateConfig, ModelUsage

    number, created = _id(measured), measured.written.isoformat()
    samples = [_sample(line, measured.model) for line in measured.lines]
    ids = list(dict.fromkeys(sample.id for sample in samples))
    tokens = sum(num_tokens(line) or 0 for line in measured.lines)
    config = {key: measured.settings.get(key) for key in ("temperature", "max_tokens", "seed")}
    judged = [line for line in measured.lines if line["verdict"] not in UNUSABLE]
    return logs.EvalLog(
        status="success",
        eval=logs.EvalSpec(
            eval_id=number,
            run_id=number,
            task_id=number,
            created=created,
            task=measured.name,
            dataset=logs.EvalDataset(name=measured.name, samples=len(ids), sample_ids=ids),
            model=measured.model,
            model_generate_config=GenerateConfig(**config),
            config=logs.EvalConfig(
                epochs=max((sample.epoch for sample in samples), default=1), epochs_reducer=["mean"]
            ),
            packages={"doubleback": metadata.version("doubleback")},
            metadata=_plain(measured.summary),
        ),
        results=logs.EvalResults(
            total_samples=len(samples),
            completed_samples=len(judged),
            scores=[
                logs.EvalScore(
                    name="correct",
                    scorer="doubleback",
                    reducer="mean",
                    scored_samples=len(judged),
                    unscored_samples=len(samples) - len(judged),
                    metrics=_metrics(measured.summary),
                )
            ],
        ),
        stats=logs.EvalStats(
            started_at=created,
            completed_at=created,
            model_usage={measured.model: ModelUsage(output_tokens=tokens, total_tokens=tokens)},
        ),
        samples=samples,
    )


def _metrics(summary: Mapping[str, Any]) -> dict[str, Any]:
    """pass@k and the measures with a value, and the ends of the interval of 95 % of pass@1."""
    from inspect_ai.log import EvalMetric

    values = {f"pass@{k}": estimate["value"] for k, estimate in summary["pass_at_k"].items()}
    first = summary["pass_at_k"].get("1", {})
    values = {"accuracy": first.get("value"), "low": first.get("low"), "high": first.get("high"), **values}
    for name in ("format_rate", "cut_off_rate", "mean_tokens", "unusable_rate", *summary["measures"]):
        values[name] = summary.get(name, {}).get("value")
    return {name: EvalMetric(name=name, value=value) for name, value in values.items() if value is not None}


def _sample(line: Line, model: str) -> Any:
    from inspect_ai.log import EvalError, EvalSample
    from inspect_ai.model import ChatCompletionChoice, ChatMessageAssistant, ChatMessageUser, ModelOutput, ModelUsage
    from inspect_ai.scorer import Score

    prompt, completion = _text(line.get("prompt", "")), _text(line["completion"])
    answer = ChatMessageAssistant(content=completion, model=model, source="generate")
    tokens, is_judged = num_tokens(line), line["verdict"] not in UNUSABLE
    usage = None if tokens is None else ModelUsage(output_tokens=tokens, total_tokens=tokens)
    told = {"answer": _text(line["extracted"]), "explanation": _text(line["detail"]) or None}
    about = _plain({name: line[name] for name in ("verdict", "parts", "weighted")})
    scores = {"correct": Score(value="C" if is_correct(line) else "I", metadata=about, **told)}
    if line["score"] is not None:
        scores["reward"] = Score(value=line["score"], metadata=about)
    fault = _text(f"{line['verdict']}: {line['detail']}")
    known = {*told, "prompt", "completion", "problem", "sample", "detail", "token_ids", "sampler_logprobs"}
    return EvalSample(
        id=_text(line["problem"]),
        epoch=line["sample"] + 1,
        input=prompt,
        target=_text(next((line[name] for name in GOLDS if line.get(name) is not None), "")),
        messages=[ChatMessageUser(content=prompt, source="input"), answer],
        output=ModelOutput(
            model=model,
            choices=[ChatCompletionChoice(message=answer, stop_reason=STOPS.get(line["finish_reason"], "unknown"))],
            usage=usage,
        ),
        scores=scores if is_judged else None,
        error=None if is_judged else EvalError(message=fault, traceback=fault, traceback_ansi=fault),
        metadata=_plain({name: value for name, value in line.items() if name not in known}),
        model_usage={} if usage is None else {model: usage},
    )


def _text(value: Any) -> Any:
    """A value as text that UTF-8 has: a lone surrogate is written out. None stays None."""
    return None if value is None else str(value).encode("utf-8", "backslashreplace").decode()


def _plain(value: Any) -> Any:
    """A value of JSON as inspect_ai can store it: NaN is null, and every text is UTF-8's."""
    if isinstance(value, Mapping):
        return {_text(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return _text(value) if isinstance(value, str) else value
