"""What words around an answer say of it: that it is meant, said again, or taken back."""

import re

from doubleback.rewards.answers.rational import number_of_words, parse_rational

MAX_ASIDE = 512
"""Characters of an answer that is searched for an aside."""
AFTERWORD = 2_000
"""Characters behind an answer that are read for a sentence which takes it back."""
WINDOW = 40
"""Characters before such a word that belong to its sentence."""

_RETRACTION = re.compile(
    r"\b(?:wait|actually|hmm+|oops|sorry|correction|no,|no:|scratch that|mistake|on second thought|let me re-?\w+"
    r"|instead|rather)",
    re.IGNORECASE,
)
_RESTATED = re.compile(
    r"\b(?:it|this|that|answer|result|total|value|one)(?:'s| is| was| must be| should be| should have been| would be"
    r"| has to be| equals)(?: actually| really)?[\s:$*]{1,4}([-−]?[0-9][0-9,./]*)"
    r"|([-−]?[0-9][0-9,./]*)[\s$*]{1,3}instead\b|\bcorrection:\s*\$?([-−]?[0-9][0-9,./]*)",
    re.IGNORECASE,
)
_ASIDE = re.compile(r"(.+?)[\s*]*\((?:or|i\.e\.,?|that is,?|=)?\s*([^()]{1,60})\)[\s.*]*", re.IGNORECASE)


def is_same(left: str, right: str) -> bool:
    """Whether two answers have the same text but for blanks, or the same rational value."""
    if "".join(left.split()) == "".join(right.split()):
        return True
    value = parse_rational(left)
    return value is not None and value == parse_rational(right)


def without_aside(answer: str) -> str:
    """`12 (or 12.00)` and `**12** (twelve)` without what only says the same again."""
    match = _ASIDE.fullmatch(answer) if answer.rstrip(" .*").endswith(")") and len(answer) <= MAX_ASIDE else None
    if match is None:
        return answer
    value, again = match[1].strip(" *_$"), match[2].strip(" *_$")
    is_again = again and (is_same(value, again) or (number_of_words(again) or "") == value)
    return value if is_again else answer


def restated(answer: str, after: str) -> str | None:
    """The other number that a sentence behind the answer puts in its place (`Wait, it should be 17 instead`)."""
    afterword = after[:AFTERWORD]
    retraction = _RETRACTION.search(afterword)
    if retraction is None:
        return None
    behind = afterword[max(0, retraction.start() - WINDOW) :]
    for match in _RESTATED.finditer(behind):
        number = (match[1] or match[2] or match[3]).rstrip(".,/")
        value = parse_rational(answer.strip(" *$"))
        if value is not None and parse_rational(number) != value:
            return number
    return None
