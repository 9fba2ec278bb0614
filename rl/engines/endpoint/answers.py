"""What an endpoint's answer must hold before it is taken for completions. Shapes: n, the samples of a problem."""

from typing import Any

from doubleback.rewards.types import Completion

ENDED = ("stop", "length")
"""Reasons for which a completion may have ended without a text."""
FAILED = ("error", "abort")
"""Reasons that are a failure of the server."""


class MalformedError(Exception):
    """An answer that cannot be taken for completions: what of it is wrong, in a few words."""


def completions_of(answer: Any, size: int, seed: int) -> tuple[Completion, ...]:
    """The n completions of an answer, in their order; sample i was asked for with the seed + i.

    MalformedError where one is missing, null, or without what a completion has: never an empty text in its place.
    """
    choices = getattr(answer, "choices", None)
    if not isinstance(choices, list):
        error = getattr(answer, "error", None)
        raise MalformedError(f"its answer has no list of choices{f' but the error {error}' if error else ''}")
    if len(choices) != size:
        raise MalformedError(f"{len(choices)} choices instead of {size}")
    if (empty := next((place for place, choice in enumerate(choices) if choice is None), None)) is not None:
        raise MalformedError(f"choice {empty} is null")
    if sorted(str(getattr(choice, "index", None)) for choice in choices) != sorted(map(str, range(size))):
        raise MalformedError(f"its choices are not numbered from 0 to {size - 1}")
    return tuple(_completion(choice, seed) for choice in sorted(choices, key=lambda choice: int(choice.index)))


def _completion(choice: Any, seed: int) -> Completion:
    reason = getattr(choice, "finish_reason", None)
    if not isinstance(reason, str) or reason in FAILED:
        raise MalformedError(f"choice {choice.index} ended for the reason {reason!r}")
    text = _text(choice, reason)
    if not isinstance(text, str):
        raise MalformedError(f"choice {choice.index} has no text, and ended for the reason {reason!r}")
    ids = getattr(choice, "token_ids", None) or ()
    if not (isinstance(ids, list | tuple) and all(type(number) is int for number in ids)):
        raise MalformedError(f"choice {choice.index} has token_ids that are no list of numbers")
    return Completion(
        text=text,
        token_ids=tuple(ids),
        sampler_logprobs=(),
        finish_reason=reason,
        policy_version=0,
        adapter_hash="endpoint",
        seed=seed + choice.index,
    )


def _text(choice: Any, reason: str) -> Any:
    """The text of a completion, or of a message with the thinking that a server's reasoning parser has taken out:
    leakage is to be seen. None, or what stands in its place, where there is no text.
    """
    message = getattr(choice, "message", None)
    if message is None:
        return getattr(choice, "text", None)
    content = getattr(message, "content", None)
    reasoning = getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None)
    if reasoning:
        return f"<think>{reasoning}</think>{content or ''}"
    # Servers write null for a message of which the first token was its end.
    return "" if content is None and reason in ENDED else content
