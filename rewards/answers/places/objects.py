"""The answer of a JSON object, `{"reasoning": "...", "answer": 12}`, as models write it that were asked for one."""

import json
import re
from typing import Any

ANSWER_NAMES = frozenset({"answer", "final_answer", "finalanswer", "final answer", "result", "solution"})
"""Of a field that holds the answer, in small letters."""
MAX_LENGTH = 20_000
"""Characters of an object."""

_OPENING = re.compile(r"\{\s*\"")
_END = re.compile(r"\}\s*(?:```)?\s*\Z")
_FENCE = re.compile(r"```\s*\Z")
# Models write LaTeX into strings without doubling its backslashes; \n, \t and \" are meant as JSON has them.
_LATEX = re.compile(r"(?<!\\)\\(?=[A-Za-z]{2}|[(){}\[\]$%,;:! ])")


def answer_of_object(text: str) -> str | None:
    """The answer of the JSON object in which a text ends, several as a list with commas.

    "" where the object has no field for an answer, two of them, or one that holds neither text nor a number. None where
    the text ends in no object.
    """
    if _END.search(text[-40:]) is None:
        return None
    openings = [match.start() for match in _OPENING.finditer(text, max(0, len(text) - MAX_LENGTH))]
    body = _FENCE.sub("", text.rstrip()).rstrip()
    for opening in openings[:4]:
        pairs = _pairs(body[opening:])
        if pairs is not None:
            answers = [value for name, value in pairs if name.lower() in ANSWER_NAMES]
            return (_as_text(answers[0]) or "") if len(answers) == 1 else ""
    return None


def _pairs(body: str) -> list[tuple[str, Any]] | None:
    """The fields of an object, in order and with repeats."""
    for source in (_LATEX.sub(r"\\\\", body), body):
        try:
            pairs = json.loads(source, object_pairs_hook=list, strict=False, parse_float=str, parse_int=str)
        except (ValueError, RecursionError):
            continue
        return pairs if isinstance(pairs, list) and all(isinstance(pair, tuple) for pair in pairs) else None
    return None


def _as_text(value: Any) -> str | None:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list) and value and all(isinstance(element, str) for element in value):
        return ", ".join(value)
    return None
