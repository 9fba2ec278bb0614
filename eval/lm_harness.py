"""Sample logs of EleutherAI's lm-evaluation-harness (0.4 and later, `--log_samples`), as rows of our own."""

from collections.abc import Mapping, Sequence
from typing import Any

from doubleback.rewards.jsonl import Row, refuse

METRICS = ("exact_match", "acc")
"""Where the harness keeps its own verdict."""


def is_lm_harness(data: Mapping[str, Any]) -> bool:
    """Whether a row is a line of such a log."""
    return {"doc_id", "doc", "resps"} <= data.keys()


def rows_from_lm_harness(rows: Sequence[Row]) -> list[Row]:
    """One row for each completion: problem, sample, completion, question, answer and the harness's own verdict.

    The harness writes a line for each document and each answer filter; the first filter stands for all, since the
    completions are the same. ConfigError names the lines that are malformed.
    """
    chosen = next((row.data["filter"] for row in rows if "filter" in row.data), None)
    found, problems = [], []
    for row in rows:
        if row.data.get("filter") != chosen:
            continue
        try:
            found += _rows(row)
        except (ValueError, TypeError) as error:
            problems.append(f"line {row.number}: {error}")
    refuse(problems)
    return found


def _rows(row: Row) -> list[Row]:
    data, doc = row.data, row.data.get("doc")
    if not isinstance(doc, Mapping):
        raise ValueError(f"doc={doc!r} is no row of a dataset")
    responses = data.get("resps")
    is_nested = isinstance(responses, list) and len(responses) == 1 and isinstance(responses[0], list)
    texts = responses[0] if is_nested and responses else responses
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise ValueError("resps holds no list of completions")
    answer = data.get("target") if data.get("target") not in (None, "") else doc.get("answer")
    if answer is None:
        raise ValueError("neither target nor doc.answer holds the gold")
    verdict = next((data[name] for name in METRICS if data.get(name) is not None), None)
    question = doc.get("question") or doc.get("problem") or ""
    return [
        Row(
            row.number,
            {
                "problem": str(data["doc_id"]),
                "sample": index,
                "question": question,
                "completion": text,
                "answer": answer,
                "harness_correct": None if verdict is None else bool(verdict),
            },
        )
        for index, text in enumerate(texts)
    ]
