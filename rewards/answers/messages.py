"""The text of chat messages, as people and libraries write them. What is no text is refused, never shown as Python."""

import hashlib
import json
import re
import string
from collections.abc import Mapping, Sequence
from typing import Any

from doubleback.rewards.jsonl import field

Turn = Mapping[str, str]
"""A chat message: {"role": "user", "content": "What is 2 + 2?"}."""
HASH_DIGITS = 16
_HALF = re.compile("[\ud800-\udfff]")
"""Halves of a character beyond U+FFFF, which JSON can write alone and no encoding has."""
ROLES = frozenset({"system", "user", "assistant"})
"""Who may speak in a question."""
Messages = str | Sequence[Mapping[str, Any]]
"""A completion in TRL's two shapes: plain text, or chat messages of which the last holds it."""


def completion_text(completion: Messages) -> str:
    """The text of a completion in either of TRL's shapes; ValueError where it is neither."""
    if isinstance(completion, str):
        return completion
    if not _is_conversation(completion):
        raise ValueError("the completion is neither text nor a list of chat messages")
    return content_text(completion[-1]["content"])


def content_text(content: Any) -> str:
    """What a message says: text, a list of text parts joined, nothing where it is null (a call of a tool, say).

    ValueError where a part is something else, an image for example.
    """
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        raise ValueError(f"the content of a message is {type(content).__name__}, not text")
    texts = [part if isinstance(part, str) else _part_text(part) for part in content]
    return "".join(texts)


def question_turns(value: Any) -> tuple[str, tuple[Turn, ...]]:
    """The question that a field holds (text, a number, or a conversation that ends in a message of the user), and the
    turns before it.

    ValueError for anything else: another role, a system message that is not the first, content that is no text.
    """
    if not _is_conversation(value):
        return question_text(value), ()
    roles = [str(message.get("role")) for message in value]
    if not set(roles) <= ROLES or "system" in roles[1:] or roles[-1] != "user":
        raise ValueError(
            f"the question is a conversation of {len(roles)} messages ({', '.join(roles)}); one that can be asked has "
            "a system message first or none, then user and assistant, and ends with the user"
        )
    texts = [content_text(message["content"]) for message in value]
    if not all(texts):
        raise ValueError(f"message {texts.index('') + 1} of the question says nothing")
    turns = tuple({"role": role, "content": text} for role, text in zip(roles, texts, strict=True))
    return texts[-1], turns[:-1]


def question_text(value: Any) -> str:
    """The question that a field holds: text, a number, or a conversation of one user message that asks it.

    ValueError for anything else: a conversation of several messages is more than a question.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not _is_conversation(value):
        raise ValueError(f"the question is {type(value).__name__}, neither text nor a chat message")
    question, before = question_turns(value)
    if before:
        raise ValueError(
            f"the question is a conversation of {len(before) + 1} messages, where one of the user can be put beside "
            "other fields; give a field that holds the question alone"
        )
    return question


def template_fields(template: str) -> list[str]:
    """The fields in braces of a text that makes a question of a row: Body and Question of `{Body} {Question}`."""
    return [name for _, name, _, _ in string.Formatter().parse(template) if name]


def row_question(row: Mapping[str, Any], template: str) -> tuple[str, tuple[Turn, ...]]:
    """The question that a row makes of a text with its fields in braces, and the turns before it where the text is one
    field alone. ValueError where a field holds no text, or half a character, which no model reads.
    """
    question, history = _row_question(row, template)
    for text in (question, *(turn["content"] for turn in history)):
        if (half := _HALF.search(text)) is not None:
            raise ValueError(f"the question holds half a character, {half.group()!r}")
    return question, history


def _row_question(row: Mapping[str, Any], template: str) -> tuple[str, tuple[Turn, ...]]:
    pieces = [(text, name) for text, name, _, _ in string.Formatter().parse(template)]
    if len(pieces) == 1 and pieces[0][1] and not pieces[0][0]:
        return question_turns(field(row, pieces[0][1]))
    return "".join(text + (question_text(field(row, name)) if name else "") for text, name in pieces), ()


def question_hash(question: str, history: Sequence[Turn] = ()) -> str:
    """What tells a question from others: hexadecimal digits of the SHA-256 of its text, and of all turns where there
    are several.
    """
    whole = json.dumps([[turn["role"], turn["content"]] for turn in history] + [question]) if history else question
    return hashlib.sha256(whole.encode()).hexdigest()[:HASH_DIGITS]


def _is_conversation(value: Any) -> bool:
    is_list = isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 0
    return is_list and all(isinstance(message, Mapping) and "content" in message for message in value)


def _part_text(part: Any) -> str:
    if not isinstance(part, Mapping) or not isinstance(part.get("text"), str):
        kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
        raise ValueError(f"the content of a message has a part that is no text ({kind})")
    return str(part["text"])
