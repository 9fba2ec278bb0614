"""Does a completion keep to one script? A stand-in, without a model, for keeping to one language."""

import re
import unicodedata
from collections.abc import Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from doubleback.rewards.answers.messages import Messages, completion_text
from doubleback.rewards.types import ConfigError

SCRIPTS: dict[str, tuple[str, ...]] = {
    **{name.lower(): (name,) for name in ("LATIN", "CYRILLIC", "GREEK", "ARABIC", "HEBREW", "ARMENIAN", "GEORGIAN")},
    **{
        name.lower(): (name,)
        for name in ("DEVANAGARI", "BENGALI", "GURMUKHI", "GUJARATI", "TAMIL", "TELUGU", "KANNADA")
    },
    **{name.lower(): (name,) for name in ("MALAYALAM", "SINHALA", "THAI", "LAO", "KHMER", "MYANMAR", "ETHIOPIC")},
    **{name.lower(): (name,) for name in ("CJK", "HANGUL")},
    "japanese": ("HIRAGANA", "KATAKANA", "CJK"),
}
"""Name -> how the Unicode names of its letters begin. cjk: Chinese characters, which Japanese shares."""

_ONE_WORD_EACH = frozenset({"CJK", "HIRAGANA", "KATAKANA"})
# Fenced and inline code, tags, environments, commands. No branch can start again inside a failed one: linear time.
_NOT_PROSE = re.compile(
    r"```.*?```|`[^`\n]*`|</?[A-Za-z_]{1,20}>|\\(?:begin|end)\{[A-Za-z*]{1,20}\}|\\[A-Za-z]+", re.DOTALL
)
_CACHED_CHARACTERS = 16_384


def script_share(text: str, scripts: Sequence[str]) -> float | None:
    """Words wholly in `scripts` / words, or None where there are no words.

    A word is a run of two letters or more, accents and apostrophes included, after NFKC; a Chinese character or a kana
    is a word by itself, as in UAX #29, so that a sentence without spaces does not count as one. Numbers, a letter by
    itself (x, π), code, tags and LaTeX commands are no words. Letters of two scripts in one word: not in script.
    """
    prose = _NOT_PROSE.sub(" ", unicodedata.normalize("NFKC", text))
    words = [word for word in map(_scripts_of, "".join(map(_spaced, prose)).split()) if _is_word(word)]
    if not words:
        return None
    wanted = frozenset(scripts)
    return sum(wanted.issuperset(word) for word in words) / len(words)


class LanguageConsistency:
    """The share of words in the target script, from 0.0 to 1.0 (DeepSeek-R1, arXiv:2501.12948, section 2.3.2).

    Where we differ: DeepSeek counts words of the target language in the chain of thought. Here script stands for
    language, and the whole completion counts: no marker has to be trusted to say where the thinking ends.

    What it cannot tell: languages of one script. English and French are both Latin, Russian and Bulgarian both
    Cyrillic, and Chinese text counts as Japanese. What is put into code fences is not looked at. None where a
    completion has no words: does not apply. TRL's reward signature.
    """

    def __init__(self, script: str = "latin") -> None:
        if script not in SCRIPTS:
            near = get_close_matches(str(script).lower(), SCRIPTS, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ConfigError(f"language: there is no script {script!r}; {hint}known: {', '.join(sorted(SCRIPTS))}")
        self._scripts = SCRIPTS[script]
        self.__name__ = f"language_{script}"

    def __call__(self, completions: Sequence[Messages], **kwargs: Any) -> list[float | None]:
        """The share of letters in the script asked for, per completion, by TRL's signature."""
        return [script_share(completion_text(completion), self._scripts) for completion in completions]


def _scripts_of(word: str) -> tuple[str, ...]:
    """The script of each letter; marks and modifier letters (the Japanese long-vowel sign) belong to any."""
    return tuple(script for script in map(_script, word) if script)


def _is_word(letter_scripts: Sequence[str]) -> bool:
    return len(letter_scripts) > 1 or any(script in _ONE_WORD_EACH for script in letter_scripts)


@lru_cache(_CACHED_CHARACTERS)
def _script(character: str) -> str:
    """How the Unicode name of a letter begins: "LATIN", "CJK". Empty for what is no letter or has no name."""
    category = unicodedata.category(character)
    is_letter = category[0] == "L" and category != "Lm"
    return unicodedata.name(character, "UNNAMED").split(maxsplit=1)[0] if is_letter else ""


@lru_cache(_CACHED_CHARACTERS)
def _spaced(character: str) -> str:
    """What the character is to words: part of one, one by itself, nothing (joiners, apostrophes), or a gap."""
    if _script(character) in _ONE_WORD_EACH:
        return f" {character} "
    category = unicodedata.category(character)
    if category[0] in "LM":
        return character
    return "" if category == "Cf" or character in "'’" else " "
