"""Where thinking ends: one table of the conventions that models follow, for extraction and format rewards alike.

What stands inside a thought never answers, and a thought that is cut off leaves nothing that could: the region of the
answer is what follows the last closing, and there is none where an opening stands in that.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Convention:
    """How one family of models marks its thought."""

    name: str
    """For messages."""
    opening: str
    """As it stands in the text."""
    closing: str
    """What the answer follows."""
    is_at_start: bool = False
    """The opening is a plain word: it opens only as the very first of a text, with a capital letter behind it."""


CONVENTIONS = (
    Convention("think", "<think>", "</think>"),
    Convention("thinking", "<thinking>", "</thinking>"),
    Convention("thought", "<thought>", "</thought>"),
    Convention("thoughts", "<thoughts>", "</thoughts>"),
    Convention("reasoning", "<reasoning>", "</reasoning>"),
    Convention("reason", "<reason>", "</reason>"),
    Convention("scratchpad", "<scratchpad>", "</scratchpad>"),
    Convention("Magistral", "[THINK]", "[/THINK]"),
    Convention("Sky-T1", "<|begin_of_thought|>", "<|end_of_thought|>"),
    Convention("Kimi", "◁think▷", "◁/think▷"),
    Convention("Seed", "<seed:think>", "</seed:think>"),
    Convention("piped", "<|think|>", "<|/think|>"),
    Convention("piped thinking", "<|thinking|>", "<|/thinking|>"),
    Convention("MedGemma", "<unused94>thought", "<unused95>"),
    Convention("gpt-oss", "<|channel|>analysis", "<|channel|>final<|message|>"),
    Convention("gpt-oss, aside", "<|channel|>commentary", "<|channel|>final<|message|>"),
    Convention("gpt-oss, tokens left out", "analysis", "assistantfinal", is_at_start=True),
    Convention("Granite", "Here is my thought process:", "Here is my response:"),
    Convention("Granite, short", "Here's my thought process:", "Here's my response:"),
)
"""`<think>` is DeepSeek-R1's, Qwen3's and Granite 3.3's; the others bear the name of a model that writes them."""

# A tag that is talked about: in backquotes, or before the word block or tag.
_MENTION = re.compile(r"`</?think>`|<think>(?=\s(?:block|tag|section)s?\b)")
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
class Region:
    """What of a completion may answer."""

    text: str
    """Behind the last thought, without the control tokens at its ends. Empty where a thought is still open."""
    closed: Convention | None
    """The convention whose closing comes last; None where nothing was closed."""
    is_open: bool
    """Whether a thought was opened and not closed: nothing answers."""


def answer_region(text: str, is_opened: bool = False) -> Region:
    """The region of a completion in which an answer may stand. Linear in the length of the text.

    `is_opened`: the chat template has opened a thought at the end of the prompt, so that the text begins inside it.
    """
    start, closed = 0, None
    for convention in CONVENTIONS:
        position = text.rfind(convention.closing)
        if position >= 0 and position + len(convention.closing) > start:
            start, closed = position + len(convention.closing), convention
    region = text[start:]
    if closed is None and (is_opened or _opens_at_start(text)):
        return Region("", None, True)
    if closed is not None and "<think>" in region:
        region = _MENTION.sub(" ", region)
    if any(convention.opening in region for convention in CONVENTIONS if not convention.is_at_start):
        return Region("", closed, True)
    return Region(without_control_tokens(region), closed, False)


def opens_thought(prompt: str) -> bool:
    """Whether a prompt ends inside a thought, as templates leave it that open one for the model."""
    end = prompt[-200:].rstrip()
    return any(end.endswith(convention.opening) for convention in CONVENTIONS if not convention.is_at_start)


def _opens_at_start(text: str) -> bool:
    head = text[:200].lstrip()
    openings = [convention.opening for convention in CONVENTIONS if convention.is_at_start]
    return any(head.startswith(opening) and head[len(opening) : len(opening) + 1].isupper() for opening in openings)


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
