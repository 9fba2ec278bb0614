"""The lines of samples.jsonl: what is kept of each sample, and how it is read."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from doubleback.eval.judge import LEAK, strictly_correct
from doubleback.rewards.types import Completion, Problem, Score, Verdict
from doubleback.rl.types import Group


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The complete lines of a samples file; none where there is no file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


def sample_lines(group: Group) -> Iterator[dict[str, Any]]:
    """What is kept of each sample: enough to judge it again and to summarise it, nothing that depends on the clock."""
    for index, (completion, score) in enumerate(zip(group.completions, group.scores, strict=True)):
        yield {
            "problem": group.problem.id,
            "sample": index,
            "seed": completion.seed,
            "completion": completion.text,
            "tokens": len(completion.token_ids),
            "truncated": completion.is_truncated,
            **_judgement(score),
            **_task(group.problem, completion),
        }


def _judgement(score: Score) -> dict[str, Any]:
    leak = score.parts.get(LEAK)
    return {
        "score": score.value,
        "verdict": score.verdict,
        "extracted": score.extracted,
        "parts": dict(score.parts),
        "strict": strictly_correct(score),
        "obeys_thinking": None if leak is None else leak >= 1.0,
        "detail": score.detail,
    }


def _task(problem: Problem, completion: Completion) -> dict[str, Any]:
    kept = ("question", "answer", "numbers", "target", "thinking")
    return {name: problem.columns[name] for name in kept if name in problem.columns}


def is_correct(line: Mapping[str, Any]) -> bool:
    """Whether the judge found the sample right."""
    return bool(line.get("verdict") == Verdict.CORRECT)
