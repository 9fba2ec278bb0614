"""From questions to what a model is given: a filled prompt, or the model's chat template with thinking on or off."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from doubleback.eval.prompts.prompt import PromptConfig, fill, messages
from doubleback.eval.suites.suite import Item
from doubleback.rewards.types import Problem

Conversation = Sequence[Mapping[str, str]]
SWITCHES = ("enable_thinking", "thinking")
"""What chat templates call the switch: Qwen3 and many after it; IBM Granite."""


@dataclass(frozen=True, slots=True)
class Prompted:
    """Problems as a model reads them."""

    problems: tuple[Problem, ...]
    switch: str | None
    """The chat template's own thinking switch that was set. None: there is none, or nothing was asked."""
    conversations: Mapping[str, Conversation] = field(default_factory=dict)
    """Problem id -> messages, for an endpoint that has the chat template itself. Empty: the prompts are texts."""
    template_options: Mapping[str, bool] = field(default_factory=dict)
    """What that endpoint's chat template is given."""


def prompted(items: Sequence[Item], prompt: PromptConfig, tokenizer: Any, thinking: bool | None) -> Prompted:
    """The problems of a suite for one model and one mode of thinking (None: nothing is said about it).

    Column `thinking` is set where a mode is asked for. ConfigError where it is, and neither the chat template nor the
    prompt can say so.
    """
    if prompt.kind == "completion":
        # Asks for the mode all the same: the error names the prompt that cannot say it.
        texts = [_plain(prompt, item.question, thinking) for item in items]
        return Prompted(_problems(items, texts, thinking), None)
    switch = thinking_switch(tokenizer.chat_template) if thinking is not None else None
    options = {switch: thinking} if switch else {}
    texts = [
        _render(tokenizer, messages(prompt, item.question, thinking, has_own_switch=switch is not None), options)
        for item in items
    ]
    return Prompted(_problems(items, texts, thinking), switch)


def prompted_for_endpoint(items: Sequence[Item], prompt: PromptConfig, thinking: bool | None) -> Prompted:
    """The problems of a suite for a server that has tokenizer and chat template itself.

    The switch of its template cannot be seen from here: the mode is told under every name that we know.
    """
    texts = [fill(prompt, item.question) for item in items]
    conversations = (
        {item.id: messages(prompt, item.question, thinking, has_own_switch=True) for item in items}
        if prompt.kind == "chat"
        else {}
    )
    options = {} if thinking is None else dict.fromkeys(SWITCHES, thinking)
    switch = None if thinking is None else "chat_template_kwargs"
    return Prompted(_problems(items, texts, thinking), switch, conversations, options)


def thinking_switch(template: Any) -> str | None:
    """The name of the variable by which a chat template (Jinja text, or several by name) turns thinking on and off."""
    text = "\n".join(template.values()) if isinstance(template, Mapping) else template or ""
    return next((name for name in SWITCHES if re.search(rf"\b{name}\b", text)), None)


def _plain(prompt: PromptConfig, question: str, thinking: bool | None) -> str:
    if thinking is not None:
        messages(prompt, question, thinking, has_own_switch=False)
    return fill(prompt, question)


def _render(tokenizer: Any, conversation: Sequence[Mapping[str, str]], options: Mapping[str, Any]) -> str:
    text = str(tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True, **options))
    # Encoding adds the beginning-of-sequence token; a template that writes it too would give two.
    bos = tokenizer.bos_token
    adds_bos = bos is not None and tokenizer("")["input_ids"][:1] == [tokenizer.bos_token_id]
    return text.removeprefix(bos) if adds_bos else text


def _problems(items: Sequence[Item], texts: Sequence[str], thinking: bool | None) -> tuple[Problem, ...]:
    mode = {} if thinking is None else {"thinking": thinking}
    return tuple(Problem(item.id, text, {**item.columns, **mode}) for item, text in zip(items, texts, strict=True))
