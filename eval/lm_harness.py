"""Sample logs of EleutherAI's lm-evaluation-harness (0.4 and later, `--log_samples`), as rows of our own."""

from collections.abc import Mapping, Sequence
from typing import Any

from doubleback.rewards.jsonl import Row, refuse
from doubleback.rewards.types import MAX_SHOWN, shortened

METRICS = ("exact_match", "acc")
"""Where the harness keeps its own verdict."""


def is_lm_harness(data: Mapping[str, Any]) -> bool:
    """Whether a row is a line of such a log."""
    return {"doc_id", "doc", "resps"} <= data.keys()


def rows_from_lm_harness(rows: Sequence[Row], place: str | None = None) -> list[Row]:
    """One row for each completion: problem, sample, completion, question, answer and the harness's own verdict.

    The harness writes a line for each document and each answer filter; the first filter stands for all, since the
    completions are the same. ConfigError names the lines that are malformed, or whose document has a line already.
    """
    chosen = next((row.data["filter"] for row in rows if row.data.get("filter") is not None), None)
    found, problems = [], []
    lines: dict[str, int] = {}
    for row in rows:
        if row.data.get("filter") not in (chosen, None):
            continue
        try:
            made = _rows(row, chosen)
            problem = made[0].data["problem"]
            if (first := lines.setdefault(problem, row.number)) != row.number:
                raise ValueError(
                    f"doc_id={problem[:MAX_SHOWN]} stands on line {first} already; give each task's log by itself"
                )
            found += made
        except ValueError as error:
            problems.append(f"{f'{place}:' if place else 'line '}{row.number}: {error}")
    refuse(problems)
    return found


def _rows(row: Row, chosen: str | None) -> list[Row]:
    data, doc = row.data, row.data.get("doc")
    if data.get("doc_id") is None:
        raise ValueError("doc_id is absent")
    if not isinstance(data["doc_id"], str | int):
        raise ValueError(f"doc_id={shortened(data['doc_id'])} is neither text nor a whole number")
    if data.get("filter") != chosen:
        raise ValueError(f"filter is absent, where other lines have {shortened(chosen)}")
    if not isinstance(doc, Mapping):
        raise ValueError(f"doc={shortened(doc)} is no row of a dataset")
    common = {
        "problem": str(data["doc_id"]),
        "question": doc.get("question") or doc.get("problem") or "",
        "answer": _answer(data.get("target"), doc),
        "harness_correct": _verdict(data),
    }
    texts = enumerate(_texts(data.get("resps")))
    return [Row(row.number, {**common, "sample": index, "completion": text}) for index, text in texts]


def _texts(responses: Any) -> list[str]:
    """The completions of a document: of its requests in order, of each its repeats."""
    requests = responses if isinstance(responses, list) else []
    texts = [text for request in requests for text in (request if isinstance(request, list) else [request])]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise ValueError("resps holds no list of completions")
    return texts


def _answer(target: Any, doc: Mapping[str, Any]) -> Any:
    # The harness writes str(target), so that an absent one reads "None".
    answer = doc.get("answer") if target in (None, "", "None") else target
    if answer is None:
        raise ValueError("neither target nor doc.answer holds the gold")
    return answer


def _verdict(data: Mapping[str, Any]) -> bool | None:
    """The harness's verdict; None where it gives none, or no plain yes or no (a share over repeats, NaN, a list)."""
    value = next((data[name] for name in METRICS if data.get(name) is not None), None)
    if isinstance(value, str):
        # numpy.bool_, which json cannot write, is written as its str().
        return {"True": True, "False": False}.get(value)
    return bool(value) if isinstance(value, int | float) and value in (0, 1) else None
