"""From questions to what a model is given: a filled prompt, or the model's chat template with thinking on or off."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from doubleback.eval.prompts.apart import apart
from doubleback.eval.prompts.prompt import PromptConfig, conversation, fill, words_for
from doubleback.eval.prompts.template import SWITCHES, ChatTemplate
from doubleback.eval.suites.suite import Item
from doubleback.rewards.answers.messages import Turn
from doubleback.rewards.answers.thinking import Convention, find_convention
from doubleback.rewards.types import ConfigError, Problem


@dataclass(frozen=True, slots=True)
class Prompted:
    """Problems as a model reads them."""

    problems: tuple[Problem, ...]
    switch: str | None
    """The chat template's own thinking switch that was set. None: there is none, or nothing was asked."""
    convention: str | None = None
    """How the model marks its thoughts, so far as recipe or template say it."""
    conversations: Mapping[str, Sequence[Turn]] = field(default_factory=dict)
    """Problem id -> messages, for an endpoint that has the chat template itself. Empty: the prompts are texts."""
    template_options: Mapping[str, Any] = field(default_factory=dict)
    """What that endpoint's chat template is given."""


def prompted(
    items: Sequence[Item], prompt: PromptConfig, tokenizer: Any, thinking: bool | None, convention: str | None = None
) -> Prompted:
    """The problems of a suite or recipe for one model, one mode of thinking (None: nothing is said about it) and one
    convention of it (a name; None: the chat template's).

    Columns `thinking` and `thinking_convention` are set where they are known. ConfigError where a mode is asked for
    that neither the chat template nor the prompt can name, or a question cannot be put.
    """
    if prompt.kind == "completion":
        if thinking is not None:
            words_for(prompt, thinking)
        named = None if convention is None else find_convention(convention)
        return Prompted(_problems(items, [_filled(prompt, item, named) for item in items], thinking, named), None)
    template = ChatTemplate(tokenizer, convention)

    def asked() -> tuple[str | None, str | None, list[str]]:
        """The switch, the convention, and the prompts: all that comes of running the template."""
        switch = None if thinking is None else template.switch
        words = words_for(prompt, thinking) if thinking is not None and switch is None else None
        texts = [_rendered(template, prompt, item, thinking, words) for item in items]
        return switch, template.convention.name if template.convention else None, texts

    switch, name, texts = apart("the chat template of the model's tokenizer", asked, len(items))
    named = None if name is None else find_convention(name)
    return Prompted(_problems(items, texts, thinking, named), switch, name)


def prompted_for_endpoint(items: Sequence[Item], prompt: PromptConfig, thinking: bool | None) -> Prompted:
    """The problems of a suite for a server that has tokenizer and chat template itself.

    The switch of its template cannot be seen from here: the mode is told under every name that we know.
    """
    if prompt.kind == "completion":
        texts = [_filled(prompt, item, None) for item in items]
        conversations = {}
    else:
        texts = [fill(prompt, item.question) for item in items]
        conversations = {item.id: conversation(prompt, item.question, item.history) for item in items}
    options = {} if thinking is None else {name: on if thinking else off for name, (on, off) in SWITCHES.items()}
    switch = None if thinking is None else "chat_template_kwargs"
    problems = _problems(items, texts, thinking, None)
    return Prompted(problems, switch, conversations=conversations, template_options=options)


def _filled(prompt: PromptConfig, item: Item, convention: Convention | None) -> str:
    if item.history:
        raise ConfigError(
            f"problem {item.id}: its question is a conversation of {len(item.history) + 1} messages, and the prompt is "
            "for base models; take one of kind: chat"
        )
    return fill(prompt, item.question, convention)


def _rendered(
    template: ChatTemplate, prompt: PromptConfig, item: Item, thinking: bool | None, words: str | None
) -> str:
    turns = conversation(prompt, item.question, item.history, words, template.convention)
    try:
        return template.render(turns, thinking)
    except ConfigError as error:
        raise ConfigError(f"problem {item.id}: {error}") from error


def _problems(
    items: Sequence[Item], texts: Sequence[str], thinking: bool | None, convention: Convention | None
) -> tuple[Problem, ...]:
    known = {"thinking": thinking, "thinking_convention": convention.name if convention else None}
    columns = {name: value for name, value in known.items() if value is not None}
    return tuple(Problem(item.id, text, {**item.columns, **columns}) for item, text in zip(items, texts, strict=True))
