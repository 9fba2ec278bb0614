"""The line that stands for one sample in every file of ours: rollouts, evaluations, and what `doubleback score` writes.

    {"problem": "countdown3:12", "sample": 0, "seed": 7, "completion": "<think> ...", "tokens": 31,
     "finish_reason": "stop", "policy_version": 3, "adapter_hash": "9f...", "score": 1.2, "verdict": "correct",
     "extracted": "3 * 5 + 7", "parts": {"countdown": 1.0, "format": 1.0},
     "weighted": {"countdown": 1.0, "format": 0.2}, "detail": ""}

Rollouts add `step`, `token_ids`, `sampler_logprobs` and `advantage`, and where the step learned from the sample
`log_ratios` and `gap`, by which trainer and engine were apart; `doubleback score` adds `format_ok` and `seconds`.
Of its problem a line has the id alone. Prompt and columns stand once, in `problems.jsonl` of the run or the evaluation:

    {"id": "countdown3:12", "prompt": "3 5 7 -> 22", "columns": {"numbers": [3, 5, 7], "target": 22}}
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from doubleback.rewards.jsonl import complete_lines
from doubleback.rewards.types import Completion, ConfigError, Problem, Score, Verdict

PROBLEMS = "problems.jsonl"
ROLLOUTS = "rollouts"
"""Folder of a run: a file of sample lines for each step."""
OF_SAMPLES = frozenset(
    (
        *("token_ids", "completion_ids", "sampler_logprobs", "teacher_logprobs", "log_ratios", "gap"),
        *("advantage", "truncated", "step", "format_ok", "seconds"),
    )
)
"""Keys of a sample that a line may lack. A column of that name says nothing of the sample: it is the data's own."""
Line = Mapping[str, Any]


def sample_line(problem: Problem, index: int, completion: Completion, score: Score) -> dict[str, Any]:
    """The line of sample `index` of a problem: enough to judge it again and to summarise it, nothing that is timed."""
    return {
        "problem": problem.id,
        "sample": index,
        "seed": completion.seed,
        "completion": completion.text,
        # An endpoint may give no ids: then nobody knows how many there were.
        "tokens": len(completion.token_ids) if completion.token_ids or not completion.text else None,
        "finish_reason": completion.finish_reason,
        "policy_version": completion.policy_version,
        "adapter_hash": completion.adapter_hash,
        **judgement(score),
    }


def judged_sample(line: Line) -> tuple[Completion, Score]:
    """What a line of `sample_line` was made of, but for the tokens, which it does not hold.

    ConfigError where its verdict is none of ours.
    """
    if line["verdict"] not in list(Verdict):
        raise ConfigError(
            f"problem {line['problem']}: its sample has {line['verdict']!r} for a verdict; evaluate again"
        )
    completion = Completion(
        text=line["completion"],
        token_ids=(),
        sampler_logprobs=(),
        finish_reason=line["finish_reason"],
        policy_version=line["policy_version"],
        adapter_hash=line["adapter_hash"],
        seed=line["seed"],
    )
    score = Score(
        line["score"], Verdict(line["verdict"]), line["extracted"], line["parts"], line["weighted"], line["detail"]
    )
    return completion, score


def judgement(score: Score) -> dict[str, Any]:
    """The part of a line that a reward decides."""
    return {
        "score": score.value,
        "verdict": score.verdict,
        "extracted": score.extracted,
        "parts": dict(score.parts),
        "weighted": dict(score.weighted),
        "detail": score.detail,
    }


def is_correct(line: Line) -> bool:
    """Whether the judge found the sample right."""
    return bool(line.get("verdict") == Verdict.CORRECT)


def is_truncated(line: Line) -> bool | None:
    """Whether the completion was cut off; rows of other systems may say `truncated`. None where nothing is known."""
    if line.get("finish_reason") is not None:
        return bool(line["finish_reason"] == "length")
    return None if line.get("truncated") is None else bool(line["truncated"])


def token_ids(line: Line) -> tuple[int, ...]:
    """The tokens as a rollout of ours (`token_ids`) or TRL (`completion_ids`) has them; else none."""
    return tuple(line.get("token_ids") or line.get("completion_ids") or ())


def num_tokens(line: Line) -> int | None:
    """How many tokens the completion has. None where nothing is known."""
    ids = token_ids(line)
    return len(ids) if ids else line.get("tokens")


def problem_line(problem: Problem) -> dict[str, Any]:
    """The line of a problem in problems.jsonl."""
    return {"id": problem.id, "prompt": problem.prompt, "columns": dict(problem.columns)}


def read_problems(folder: Path) -> dict[str, Problem]:
    """Id -> problem, as problems.jsonl of a run or an evaluation has them; empty where there is no such file."""
    lines = complete_lines(folder / PROBLEMS)
    return {line["id"]: Problem(line["id"], line["prompt"], line["columns"]) for line in lines}


def with_columns(lines: Sequence[dict[str, Any]], problems: Iterable[Problem]) -> list[dict[str, Any]]:
    """The lines, each with the prompt and the columns of its problem where they are known and no key of a sample."""
    known = {problem.id: {**_own_columns(problem), "prompt": problem.prompt} for problem in problems}
    return [known.get(line["problem"], {}) | line for line in lines]


def _own_columns(problem: Problem) -> dict[str, Any]:
    return {key: value for key, value in problem.columns.items() if key not in OF_SAMPLES}
