"""An evaluation of ours beside what another system says of the same questions, row by row. No model is loaded."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from doubleback.eval.compare import load_evaluated
from doubleback.eval.judge import FLEXIBLE, STRICT
from doubleback.eval.lm_harness import rows_from_lm_harness
from doubleback.rewards.answers.grade import Undecided, grade_cheaply
from doubleback.rewards.answers.rational import parse_rational
from doubleback.rewards.jsonl import content, refuse
from doubleback.rewards.rows import Source, read_data
from doubleback.rewards.sample_lines import Line, is_truncated, read_problems
from doubleback.rewards.types import ConfigError, Problem

FILTERS = {STRICT: "strict-match", FLEXIBLE: "flexible-extract"}
"""Our readings, and what lm-evaluation-harness calls them."""
NO_MATCH = "[invalid]"
"""What its filters give where their pattern is nowhere in the completion."""
INSPECT = "match(numeric=True)"
"""The scorer by which inspect grades GSM8K."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One grader's word on one completion."""

    is_right: bool
    answer: str | None
    """What it took for the answer. None: it found none."""
    detail: str = ""
    """Why it found none."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One question as one system asked and answered it."""

    prompt: str
    text: str
    readings: Mapping[str, Reading] = field(default_factory=dict)
    """By the names `strict` and `flexible`."""
    asked: Mapping[str, Any] = field(default_factory=dict)
    """How it was sampled: `stop`, `max_tokens`, `temperature`. Empty where a stored text was graded."""
    form: str = ""
    """In which form a gold was restated (`restated.py`)."""


def ours(folder: Path) -> dict[str, Answered]:
    """Question -> what `doubleback eval` wrote of it. ConfigError where several samples a question were drawn."""
    evaluated, problems = load_evaluated(folder), read_problems(folder)
    settings = evaluated.summary
    if settings["n"] != 1:
        raise ConfigError(f"{folder} holds n={settings['n']} samples a problem; evaluate with --n 1")
    styles = {STRICT: settings["style"], FLEXIBLE: FLEXIBLE}
    asked = {key: settings[key] for key in ("stop", "max_tokens", "temperature")}
    found = {}
    for line in evaluated.lines:
        problem, text = problems[line["problem"]], line["completion"]
        readings = {name: _reading(line, problem, name, style) for name, style in styles.items()}
        form = problem.columns.get("form", "")
        found[problem.columns["question"]] = Answered(problem.prompt, text, readings, asked, form)
    return found


def _reading(line: Line, problem: Problem, name: str, style: str) -> Reading:
    """The verdict as it was stored, with what is read in this style."""
    columns = problem.columns
    is_right = line["parts"][name] == 1.0
    read = grade_cheaply(
        line["completion"], columns["answer"], style, columns["question"], is_truncated=is_truncated(line) or False
    )
    if isinstance(read, Undecided):
        return Reading(is_right, read.extraction.answer)
    return Reading(is_right, read.extracted, read.detail)


def of_lm_harness(path: Path) -> dict[str, Answered]:
    """Question -> what lm-evaluation-harness wrote of it with `--log_samples`, both filters in one file."""
    found: dict[str, Answered] = {}
    logged = read_data(Source(str(path)), required=[["filter"]])
    refuse(logged.bad)
    for name, filter_name in FILTERS.items():
        lines = [row for row in logged.rows if row.data["filter"] == filter_name]
        if not lines:
            raise ConfigError(f"{path} has no line of filter {filter_name}")
        for row, line in zip(rows_from_lm_harness(lines), lines, strict=True):
            request = line.data.get("arguments", {}).get("gen_args_0", {"arg_0": "", "arg_1": None})
            (answer,), verdict = line.data["filtered_resps"], row.data["harness_correct"]
            if verdict is None:
                raise ConfigError(f"{path}:{row.number}: exact_match is neither 0 nor 1")
            reading = Reading(verdict, None if answer == NO_MATCH else answer)
            earlier = found.get(question := row.data["question"].strip())
            readings = {**(earlier.readings if earlier else {}), name: reading}
            found[question] = Answered(request["arg_0"], row.data["completion"], readings, _asked(request["arg_1"]))
    return found


def _asked(options: Mapping[str, Any] | None) -> dict[str, Any]:
    if options is None:
        return {}
    return {
        "stop": options["until"],
        "max_tokens": options.get("max_gen_toks"),
        "temperature": options["temperature"] if options.get("do_sample") else 0.0,
    }


def of_inspect(path: Path) -> dict[str, Answered]:
    """Question -> what inspect says of a stored completion, from its log in JSON; it has one reading, `flexible`.

    ConfigError where its run was not finished.
    """
    log = json.loads(content(path))
    if log["status"] != "success":
        raise ConfigError(f"{path}: inspect's run has the status {log['status']}; grade again")
    found = {}
    for sample in log["samples"]:
        (score,) = sample["scores"].values()
        reading = Reading(score["value"] == "C", score["answer"] or None)
        found[sample["input"]] = Answered("", sample["output"]["choices"][0]["message"]["content"], {FLEXIBLE: reading})
    return found


@dataclass(frozen=True, slots=True)
class Differing:
    """A verdict that two graders do not share."""

    number: int
    """Of the question in our evaluation, from 0."""
    reading: str
    question: str
    ours: Reading
    theirs: Reading
    reason: str


def common(first: Mapping[str, Answered], second: Mapping[str, Answered]) -> list[str]:
    """The questions that both answered, in the order of the first. ConfigError where there are none."""
    if not (both := [question for question in first if question in second]):
        raise ConfigError("no question was answered by both")
    return both


def share(answered: Mapping[str, Answered], reading: str, questions: Sequence[str]) -> float:
    """The share of these questions that a reading takes for right."""
    return sum(answered[question].readings[reading].is_right for question in questions) / len(questions)


def differing(first: Mapping[str, Answered], second: Mapping[str, Answered]) -> list[Differing]:
    """The rows on which the readings that both have are of two minds, with the reason."""
    found = []
    numbers = {question: number for number, question in enumerate(first)}
    for question in common(first, second):
        for reading in first[question].readings.keys() & second[question].readings.keys():
            one, other = first[question].readings[reading], second[question].readings[reading]
            if one.is_right != other.is_right:
                is_same_text = first[question].text == second[question].text
                reason = why(one, other) if is_same_text else "another completion"
                found.append(Differing(numbers[question], reading, question, one, other, reason))
    return sorted(found, key=lambda row: (row.number, row.reading))


def why(one: Reading, other: Reading) -> str:
    """Why two graders judge one text differently."""
    if one.answer is None:
        # `extraction: a hedge: 18 and 19` without its numbers, so that such rows are counted together.
        return f"we take no answer: {one.detail.removeprefix('extraction: ').partition(':')[0]}"
    if other.answer is None:
        return "they find no number where they look"
    numbers = [parse_rational(reading.answer.strip().rstrip(".")) for reading in (one, other)]
    if numbers[0] is not None and numbers[0] == numbers[1]:
        return "the same number, compared as text by them"
    return "the answer is read at another place"


def first_difference(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two texts have in common at their beginning."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(first), len(second)))
