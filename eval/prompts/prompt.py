"""Prompts by name: how a question is put to a base model or to a chat model."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationInfo, field_validator

from doubleback.rewards.answers.messages import Turn
from doubleback.rewards.answers.thinking import CONVENTIONS, Convention
from doubleback.rewards.settings import Section, load_section, shipped, validated
from doubleback.rewards.types import ConfigError

FOLDER = Path(__file__).parent
HOLE = "{question}"
OPENING, CLOSING = "{opening}", "{closing}"
"""Where the marks around a thought go: those of the convention that recipe or chat template names."""
ANOTHER_HOLE = re.compile(r"\{\w*\}")
"""What is meant as the question's place where a prompt has none."""


class Example(Section):
    """A question with its answer."""

    question: str
    answer: str


class PromptConfig(Section):
    """A YAML file of `eval/prompts`, or one of your own."""

    description: str
    """One line for `doubleback list`."""
    kind: Literal["completion", "chat"]
    """completion: text that a base model continues. chat: a user message for the tokenizer's chat template."""
    text: str
    """What is said, with `{question}` where the question goes; `{opening}` and `{closing}` become the marks around a
    thought. Other braces are left alone."""
    system: str | None = None
    """Chat: the system message."""
    examples: list[Example] = []  # noqa: RUF012  (frozen, validated, never shared)
    """Chat: worked examples, each a turn of the user, put as `text` says, and one of the assistant."""
    style: Literal["think_answer", "boxed", "hash", "answer_is", "last_number", "flexible"]
    """The form in which the answer is asked for: what strict extraction looks for."""
    stop: list[str] = []  # noqa: RUF012  (frozen, validated, never shared)
    """Strings at which a base model's completion ends."""
    thinking_on: str | None = None
    """Chat: said in the system message to turn thinking on, where the chat template has no switch of its own."""
    thinking_off: str | None = None
    """The same to turn it off."""

    @field_validator("text")
    @classmethod
    def _has_one_hole(cls, text: str) -> str:
        if text.count(HOLE) != 1:
            raise ValueError(
                f"text holds {HOLE} {text.count(HOLE)} times; write it once, where the question goes{_instead(text)}"
            )
        return text

    @field_validator("system", "examples", "thinking_on", "thinking_off")
    @classmethod
    def _is_said_in_chat(cls, words: Any, info: ValidationInfo) -> Any:
        # A kind that is wrong itself is absent here, and named by its own line.
        if words and info.data.get("kind") == "completion":
            key = info.field_name
            raise ValueError(f"kind=completion and {key}={words!r}: only chat says it; drop {key}, or set kind=chat")
        return words


def shipped_prompts() -> dict[str, Path]:
    """The prompts that come with doubleback, by name."""
    return shipped(FOLDER)


def load_prompt(name: str) -> PromptConfig:
    """A shipped prompt, or one from a YAML file. ConfigError, one line a finding."""
    return load_section(name, FOLDER, PromptConfig, "prompt")


def read_prompt(given: str) -> PromptConfig:
    """The prompt that a setting gives: a text with `{question}` in it, for base models; else as `load_prompt` finds it.

    ConfigError, one line a finding.
    """
    if HOLE not in given:
        if ANOTHER_HOLE.search(given):
            raise ConfigError(f"prompt {given!r} has no {HOLE}: write it where the question goes{_instead(given)}")
        try:
            return load_prompt(given)
        except ConfigError as error:
            raise ConfigError(f"{error} A text of one's own holds {HOLE} once") from None
    if "{{" in given or "}}" in given:
        way_out = r"write \boxed{} for \boxed{{}}; a YAML file may double them"
        raise ConfigError(f"prompt {given!r}: braces stand as they are, {way_out}")
    settings = {"description": "a text of its own", "kind": "completion", "text": given, "style": "flexible"}
    return validated(PromptConfig, settings, f"prompt {given!r}: ")


def _instead(text: str) -> str:
    """The braces that stand where `{question}` may have been meant; nothing where there are none, or it is there."""
    other = None if HOLE in text else ANOTHER_HOLE.search(text)
    return f" ({other[0]} is left as it is)" if other else ""


def fill(prompt: PromptConfig, question: str, convention: Convention | None = None) -> str:
    """The text with the question in its place, and the marks of the convention (`<think>` unless one is known)."""
    return _with_marks(prompt.text, convention).replace(HOLE, question)


def words_for(prompt: PromptConfig, thinking: bool) -> str:
    """How the prompt asks for a mode of thinking where the chat template has no switch. ConfigError without words."""
    words = prompt.thinking_on if thinking else prompt.thinking_off
    if words is None:
        mode = "on" if thinking else "off"
        raise ConfigError(f"thinking {mode}: the model has no switch for it, and the prompt no words (thinking_{mode})")
    return words


def conversation(
    prompt: PromptConfig,
    question: str,
    history: Sequence[Turn] = (),
    words: str | None = None,
    convention: Convention | None = None,
) -> list[Turn]:
    """The turns that put a question: one of the system where there is anything to say in it, the prompt's examples,
    what the data say went before, and the filled text.

    What the data's own system says stands behind the prompt's; `words` ask for a mode of thinking.
    """
    own = [turn["content"] for turn in history if turn["role"] == "system"]
    said = [_with_marks(text, convention) if text is not None else None for text in (prompt.system, words)]
    system = "\n".join(text for text in (said[0], *own, said[1]) if text)
    examples = [
        turn
        for example in prompt.examples
        for turn in (_turn("user", fill(prompt, example.question, convention)), _turn("assistant", example.answer))
    ]
    before = [turn for turn in history if turn["role"] != "system"]
    asked = _turn("user", fill(prompt, question, convention))
    return [*([_turn("system", system)] if system else []), *examples, *before, asked]


def _turn(role: str, content: str) -> Turn:
    return {"role": role, "content": content}


def _with_marks(text: str, convention: Convention | None) -> str:
    marks = convention or CONVENTIONS[0]
    return text.replace(OPENING, marks.openings[0]).replace(CLOSING, marks.closings[0])
