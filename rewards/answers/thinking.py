"""Where thinking ends: one table of the conventions that models follow, for prompts, extraction and rewards alike.

What stands inside a thought never answers, and a thought that is cut off leaves nothing that could: the region of the
answer is what follows the last closing, and there is none where a thought is still open, or where a mark stands that
looks like one of thinking and is in no row of the table.
"""

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from doubleback.rewards.answers.messages import Messages, completion_text
from doubleback.rewards.types import ConfigError, shortened


@dataclass(frozen=True, slots=True)
class Convention:
    """How one family of models marks its thought."""

    name: str
    """What a recipe calls it."""
    openings: tuple[str, ...]
    """What begins a thought, as it stands in the text. A prompt asks for the first."""
    closings: tuple[str, ...]
    """What ends it: the answer follows. A prompt asks for the first."""
    word: str = ""
    """An opening that is a plain word: it opens only as the very first of a text, with a capital letter behind it."""

    @property
    def marks(self) -> tuple[str, ...]:
        """Openings and closings."""
        return (*self.openings, *self.closings)


CONVENTIONS = (
    Convention("think", ("<think>",), ("</think>",)),
    Convention("thinking", ("<thinking>",), ("</thinking>",)),
    Convention("thought", ("<thought>",), ("</thought>",)),
    Convention("thoughts", ("<thoughts>",), ("</thoughts>",)),
    Convention("reasoning", ("<reasoning>",), ("</reasoning>",)),
    Convention("reason", ("<reason>",), ("</reason>",)),
    Convention("scratchpad", ("<scratchpad>",), ("</scratchpad>",)),
    Convention("magistral", ("[THINK]",), ("[/THINK]",)),
    Convention("sky-t1", ("<|begin_of_thought|>",), ("<|end_of_thought|>",)),
    Convention("kimi", ("◁think▷",), ("◁/think▷",)),
    Convention("seed", ("<seed:think>",), ("</seed:think>",)),
    Convention("longcat", ("<longcat_think>",), ("</longcat_think>",)),
    Convention("cohere", ("<|START_THINKING|>",), ("<|END_THINKING|>",)),
    Convention("apertus", ("<|inner_prefix|>",), ("<|inner_suffix|>",)),
    Convention("piped", ("<|think|>",), ("<|/think|>",)),
    Convention("piped-thinking", ("<|thinking|>",), ("<|/thinking|>",)),
    Convention("marco-o1", ("<Thought>",), ("</Thought>",)),
    Convention("medgemma", ("<unused94>thought",), ("<unused95>",)),
    Convention(
        "gpt-oss",
        (
            *("<|channel|>analysis<|message|>", "<|channel|>analysis"),
            *("<|channel|>commentary<|message|>", "<|channel|>commentary"),
        ),
        ("<|channel|>final<|message|>", "assistantfinal"),
        word="analysis",  # where the control tokens were left out in decoding
    ),
    Convention(
        "granite",
        ("Here is my thought process:", "Here's my thought process:"),
        ("Here is my response:", "Here's my response:"),
    ),
)
"""`think` is DeepSeek-R1's, Qwen3's and Granite 3.3's; the others bear the name of their tag, or of a model that writes
it."""
BETWEEN = "..."
"""Between opening and closing where a recipe gives a convention of its own: `<plan>...</plan>`."""

_WORD = re.compile(rf"\s*({'|'.join(convention.word for convention in CONVENTIONS if convention.word)})(?=[A-Z])")
_TAG = re.compile(r"<[|/]{0,2}[\w:-]{1,48}\|?>|\[/?[A-Z_]{1,48}\]|◁/?[^◁▷\s]{1,48}▷")
_OF_THINKING = re.compile(r"think|thought|reason|reflect|ponder|deliberat|rationale|scratch|\bcot\b|◁", re.IGNORECASE)
_TALK = re.compile(r"\s(?:block|tag|section)s?\b")
"""What stands behind an opening that is talked about."""
_END_OF_TURN = re.compile(
    r"<\|(?:im_end|endoftext|eot_id|eom_id|end_of_text|end|return|call|end_of_turn|END_OF_TURN_TOKEN|end_of_role"
    r"|end_of_solution|endofresponse|eos|user|observation)\|>"
    r"|</s>|<eos>|<end_of_turn>|<pad>|<\|pad\|>|\[EOS\]|<｜end▁of▁sentence｜>|<｜User｜>|\[e~\[|</response>|</solution>"
)
_BEGIN_OF_TURN = re.compile(
    r"\s*(?:<s>|<bos>|<\|begin_of_text\|>|<｜begin▁of▁sentence｜>|<｜Assistant｜>|<\|im_start\|>assistant|<\|assistant\|>"
    r"|<start_of_turn>model|<\|start_header_id\|>assistant<\|end_header_id\|>|<\|start\|>assistant|<\|message\|>"
    r"|<\|channel\|>final|<\|begin_of_solution\|>|<response>|<solution>)"
)
MAX_TOKENS = 16
"""Control tokens that are taken off one end."""


@dataclass(frozen=True, slots=True)
class Thinking:
    """How the completions of one prompt mark their thoughts."""

    convention: Convention | None = None
    """The one that recipe or chat template names. None: any of the table."""
    opened: Convention | None = None
    """The one whose thought the prompt has opened, as some chat templates do: a completion begins inside it."""
    is_off: bool = False
    """Whether the completion is not to think: an answer without a thought before it answers too."""

    @property
    def expected(self) -> Convention:
        """The one that a completion is to keep to; `<think>` where nothing says more."""
        return self.opened or self.convention or CONVENTIONS[0]


ANY = Thinking()
"""Nothing is known of the prompt: the whole table counts."""


@dataclass(frozen=True, slots=True)
class Region:
    """What of a completion may answer."""

    text: str
    """Behind the last thought, without the control tokens at its ends. Empty where a thought is still open, or a mark
    is unknown."""
    closed: Convention | None
    """The convention whose closing comes last; None where nothing was closed."""
    is_open: bool
    """Whether a thought was opened and not closed: nothing answers."""
    unknown: str = ""
    """A mark that looks like one of thinking and is in no row of the table: nothing answers."""


def find_convention(name: str) -> Convention:
    """The row of this name, or what a text `OPENING...CLOSING` gives. ConfigError where it is neither."""
    for convention in CONVENTIONS:
        if convention.name == name:
            return convention
    opening, _, closing = (part.strip() for part in name.partition(BETWEEN))
    if not opening or not closing or opening == closing:
        known = ", ".join(convention.name for convention in CONVENTIONS)
        raise ConfigError(
            f"{shortened(name)} is no convention of thinking; known: {known}; one of your own: <plan>...</plan>"
        )
    return Convention(name, (opening,), (closing,))


def thinking_of(prompt: Messages, name: str | None = None, is_on: bool | None = None) -> Thinking:
    """How the completions of this prompt think, by a convention that is named or by any. ConfigError as above.

    `is_on` is the mode of thinking that was asked for (column `thinking`), None where none was.
    """
    convention = None if name is None else find_convention(name)
    return Thinking(convention, opened_by(completion_text(prompt), convention), is_on is False)


def opened_by(prompt: str, own: Convention | None = None) -> Convention | None:
    """The convention inside whose thought a prompt ends, as templates leave it that open one; None for none."""
    end = prompt[-200:].rstrip()
    found = (own, *CONVENTIONS) if own else CONVENTIONS
    return next((convention for convention in found if end.endswith(convention.openings)), None)


def marks_in(text: str) -> tuple[list[Convention], list[str]]:
    """The conventions of which a mark stands in a text, in the order of the table, and what looks like another mark.

    For the source of a chat template, which says by them what it knows of thinking.
    """
    known = [convention for convention in CONVENTIONS if any(mark in text for mark in convention.marks)]
    return known, _unknown(text, _owners(None))


def answer_region(text: str, thinking: Thinking = ANY) -> Region:
    """The region of a completion in which an answer may stand. Linear in the length of the text.

    A thought is closed by its own convention alone. A closing that nothing opened ends a thought all the same: the
    prompt may have opened it, and nobody has said so.
    """
    owners = _owners(thinking.convention)
    inside, closed, start = thinking.opened or _opened_by_word(text), None, 0
    for begin, end in _places(text, owners):
        convention = owners[text[begin:end]]
        is_closing = text[begin:end] in convention.closings
        if (inside or closed) and _is_talked_about(text, begin, end, is_closing):
            continue
        if is_closing and inside in (None, convention):
            inside, closed, start = None, convention, end
        elif inside is None:
            inside = convention
    if inside is not None:
        return Region("", closed, True)
    region = without_control_tokens(text[start:])
    unknown = _unknown(region, owners)
    return Region("", closed, False, unknown[0]) if unknown else Region(region, closed, False)


@lru_cache(maxsize=64)
def _owners(own: Convention | None) -> Mapping[str, Convention]:
    """Mark -> its convention: of the table, and one's own."""
    rows = (*CONVENTIONS, own) if own else CONVENTIONS
    return {mark: row for row in rows for mark in row.marks}


def _places(text: str, marks: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Where marks begin and end, in order; of those that begin at one place the longest."""
    present = (re.escape(mark) for mark in marks if mark in text)
    found = [match.span() for mark in present for match in re.finditer(mark, text)]
    last = 0
    for begin, end in sorted(found, key=lambda span: (span[0], -span[1])):
        if begin >= last:
            yield begin, end
            last = end


def _is_talked_about(text: str, begin: int, end: int, is_closing: bool) -> bool:
    """Whether a mark is in backquotes, or an opening before the word block, tag or section."""
    is_quoted = text[max(begin - 1, 0) : begin] == "`" == text[end : end + 1]
    return is_quoted or (not is_closing and _TALK.match(text, end) is not None)


def _unknown(text: str, marks: Container[str]) -> list[str]:
    """What looks like a mark of thinking and is none of these, each once."""
    tags = dict.fromkeys(_TAG.findall(text)) if "<" in text or "[" in text or "◁" in text else {}
    return [tag for tag in tags if tag not in marks and _OF_THINKING.search(tag)]


def _opened_by_word(text: str) -> Convention | None:
    match = _WORD.match(text)
    return next((row for row in CONVENTIONS if match and row.word == match[1]), None)


def without_control_tokens(text: str) -> str:
    """`text` up to the first token that ends a turn, and without those that begin one.

    A token that only closing tags follow was decoded amid them (`<answer> 72<|im_end|></answer>`): it alone goes.
    """
    for _ in range(MAX_TOKENS):
        opening = _BEGIN_OF_TURN.match(text)
        if opening is None:
            break
        text = text[opening.end() :]
    if "<" not in text and "[" not in text:
        return text
    pieces = _END_OF_TURN.split(text)
    if len(pieces) == 1:
        return text
    rest = "".join(pieces[1:]).strip()
    return pieces[0] + rest if rest == "</answer>" else pieces[0]
