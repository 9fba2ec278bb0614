"""Prompts by name: how a question is put to a base model or to a chat model."""

import re
from pathlib import Path
from typing import Literal

from pydantic import ValidationInfo, field_validator

from doubleback.rewards.settings import Section, load_section, shipped, validated
from doubleback.rewards.types import ConfigError

FOLDER = Path(__file__).parent
HOLE = "{question}"
ANOTHER_HOLE = re.compile(r"\{\w*\}")
"""What is meant as the question's place where a prompt has none."""


class PromptConfig(Section):
    """A YAML file of `eval/prompts`, or one of your own."""

    description: str
    """One line for `doubleback list`."""
    kind: Literal["completion", "chat"]
    """completion: text that a base model continues. chat: a user message for the tokenizer's chat template."""
    text: str
    """What is said, with `{question}` where the question goes. Other braces are left alone."""
    system: str | None = None
    """Chat: the system message."""
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

    @field_validator("system", "thinking_on", "thinking_off")
    @classmethod
    def _is_said_in_chat(cls, words: str | None, info: ValidationInfo) -> str | None:
        # A kind that is wrong itself is absent here, and named by its own line.
        if words is not None and info.data.get("kind") == "completion":
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


def fill(prompt: PromptConfig, question: str) -> str:
    """The text with the question in its place."""
    return prompt.text.replace(HOLE, question)


def messages(prompt: PromptConfig, question: str, thinking: bool | None, has_own_switch: bool) -> list[dict[str, str]]:
    """The conversation: a system message where there is anything to say in it, and the filled text.

    A mode of thinking is asked for in words only where the chat template has no switch of its own. ConfigError where
    the prompt has no such words.
    """
    parts = [prompt.system] if prompt.system else []
    if thinking is not None and not has_own_switch:
        words = prompt.thinking_on if thinking else prompt.thinking_off
        if words is None:
            mode = "on" if thinking else "off"
            raise ConfigError(
                f"--thinking {mode}: the model has no switch for it, and the prompt no words (thinking_{mode})"
            )
        parts.append(words)
    system = [{"role": "system", "content": "\n".join(parts)}] if parts else []
    return [*system, {"role": "user", "content": fill(prompt, question)}]
