"""Which characters of a completion each of its tokens stands for, and what is known of each token."""

from collections.abc import Mapping, Sequence

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from doubleback.rewards.sample_lines import Line

SIGNALS: Mapping[str, tuple[str, str | None]] = {
    "logprob": ("sampler_logprobs", None),
    "ratio": ("log_ratios", None),
    "teacher": ("teacher_logprobs", "sampler_logprobs"),
}
"""Name -> the key of a line that has it, and the key of what it is compared with: a difference is a log-ratio, nats."""
SCALE = 1000
"""A signal is written in thousandths of a nat."""


def recorded_signals(lines: Sequence[Line]) -> list[str]:
    """The names of the signals that any of the lines has."""
    return [name for name, (key, _) in SIGNALS.items() if any(line.get(key) for line in lines)]


def signal_of(name: str, line: Line) -> list[int | None]:
    """The signal of each token, in thousandths of a nat; none where it is not recorded, None where it is not finite."""
    key, other = SIGNALS[name]
    values, bases = line.get(key) or (), line.get(other) or () if other else ()
    if other and len(values) != len(bases):
        return []
    return [_scaled(value - base) for value, base in zip(values, bases or (0.0,) * len(values), strict=True)]


def _scaled(value: float) -> int | None:
    return round(SCALE * value) if abs(value) < float("inf") else None


def token_lengths(tokenizer: Tokenizer, ids: Sequence[int], text: str) -> list[int]:
    """How many characters of the text each token adds; none at all where the tokens decode to another text.

    A character of several tokens belongs to the last of them. The end of sequence, which the text has not, adds none.
    """
    stream = DecodeStream(skip_special_tokens=False)
    try:
        pieces = [stream.step(tokenizer, token) or "" for token in ids]
    except Exception:  # noqa: BLE001 (it raises no other: an id that is none, a decoder that rewrites what it has said)
        return []
    if not "".join(pieces).startswith(text):
        return []
    lengths, left = [], len(text)
    for piece in pieces:
        lengths.append(min(len(piece), left))
        left -= lengths[-1]
    return lengths
