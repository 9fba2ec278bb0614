"""A tokenizer's chat template: what it knows of thinking, found by rendering it, and turns as it writes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from doubleback.rewards.answers.messages import Turn
from doubleback.rewards.answers.thinking import Convention, find_convention, marks_in, opened_by
from doubleback.rewards.types import ConfigError, first_line

SWITCHES: Mapping[str, tuple[Any, Any]] = {
    "enable_thinking": (True, False),
    "thinking": (True, False),
    "reasoning_effort": ("high", "low"),
}
"""What chat templates call the switch, with its values for on and off: Qwen3 and many after it; IBM Granite; gpt-oss,
which thinks less when it is off, and never not at all."""
DAY = datetime(2025, 1, 1)
"""What a template is told when it asks for today's date: the same prompt on every day, and in a run that goes on."""
PROBE: Sequence[Turn] = ({"role": "user", "content": "Hello?"},)
ANSWER = "[[the answer]]"


@dataclass(frozen=True)
class ChatTemplate:
    """The chat template of a tokenizer. ConfigError, one line, where it cannot serve.

    `name` is the convention of its thinking, where the recipe says it.
    """

    tokenizer: Any
    name: str | None = None

    @cached_property
    def switch(self) -> str | None:
        """The variable that turns its thinking on and off: the first whose two values render differently."""
        return next(
            (
                name
                for name, (on, off) in SWITCHES.items()
                if self._text(PROBE, {name: on}) != self._text(PROBE, {name: off})
            ),
            None,
        )

    @cached_property
    def convention(self) -> Convention | None:
        """The convention that is named, that its generation prompt opens, or of which a mark stands in its source.

        None where there is no mark. ConfigError where there are those of several, or only unknown ones.
        """
        if self.name is not None:
            return find_convention(self.name)
        template = self.tokenizer.chat_template
        known, unknown = marks_in("\n".join(template.values()) if isinstance(template, Mapping) else template)
        if opened := opened_by(self._text(PROBE)):
            return opened
        if len(known) > 1:
            names = " and ".join(each.name for each in known)
            raise ConfigError(
                f"the chat template has marks of thinking of {names}; name one of them with task.convention"
            )
        if unknown and not known:
            raise ConfigError(
                f"the chat template marks thinking with {unknown[0]}, which no known convention has; say how a thought "
                "begins and ends with task.convention, as in <plan>...</plan>"
            )
        return known[0] if known else None

    def options(self, thinking: bool | None) -> dict[str, Any]:
        """What it is given for a mode of thinking; nothing where it has no switch, or no mode is asked for."""
        if thinking is None or self.switch is None:
            return {}
        on, off = SWITCHES[self.switch]
        return {self.switch: on if thinking else off}

    def render(self, conversation: Sequence[Turn], thinking: bool | None) -> str:
        """The prompt for these turns, up to where the assistant's next one begins, with at most one BOS when encoded.

        ConfigError where a turn holds a control token, what system or user say is left out, or a thought is opened
        although thinking is off.
        """
        self._require_generation_prompt()
        for turn in conversation:
            if held := next((token for token in self._control_tokens if token in turn["content"]), None):
                raise ConfigError(
                    f"what the {turn['role']} says holds {held}, a control token: the template writes those"
                )
        text = self._text(conversation, self.options(thinking))
        for turn in conversation:
            if turn["role"] != "assistant" and turn["content"].strip() not in text:
                raise ConfigError(
                    f"the chat template leaves out what the {turn['role']} says; put it into another turn"
                )
        if thinking is False and (opened := opened_by(text, self.convention)):
            raise ConfigError(
                f"thinking off: the chat template opens a thought ({opened.openings[0]}) and has no switch for it; "
                "leave thinking out, or take another model"
            )
        return self._with_one_bos(text)

    def _text(self, turns: Sequence[Turn], options: Mapping[str, Any] | None = None, adds_turn: bool = True) -> str:
        options = {"add_generation_prompt": adds_turn, "strftime_now": DAY.strftime, **(options or {})}
        try:
            return str(self.tokenizer.apply_chat_template([dict(turn) for turn in turns], tokenize=False, **options))
        except Exception as error:
            roles = ", ".join(turn["role"] for turn in turns)
            raise ConfigError(
                f"the chat template of the model's tokenizer cannot be rendered for turns of {roles}: "
                f"{first_line(error)}; mend it, or take a prompt for base models"
            ) from error

    def _require_generation_prompt(self) -> None:
        plain = self._text(PROBE, adds_turn=False)
        if plain != self._text(PROBE):
            return
        answered = self._text([*PROBE, {"role": "assistant", "content": ANSWER}], adds_turn=False)
        opening = answered.removeprefix(plain).partition(ANSWER)[0]
        if opening.strip():
            raise ConfigError(
                f"the chat template has no generation prompt: a turn of the assistant begins with {opening!r}, which "
                "add_generation_prompt does not add; mend the template"
            )

    @cached_property
    def _control_tokens(self) -> Sequence[str]:
        return [str(token) for token in self.tokenizer.added_tokens_decoder.values() if token.special]

    def _with_one_bos(self, text: str) -> str:
        """Without the BOS that encoding adds, and without a second one."""
        bos = self.tokenizer.bos_token
        if not bos or not text.startswith(bos):
            return text
        adds_bos = self.tokenizer("")["input_ids"][:1] == [self.tokenizer.bos_token_id]
        while text.startswith(bos):
            text = text.removeprefix(bos)
        return text if adds_bos else bos + text
