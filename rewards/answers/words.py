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


_LAST_QUESTION = 400
"""Characters of a question that ask."""
_PERCENT_WANTED = re.compile(
    r"\b(?:what|which|how many|how much|find|calculate|determine|compute|express|give|write|state|in|as)\b"
    r"[^.?!\n]{0,80}?"
    r"(?:([0-9A-Za-z]+)[ -]?)?(?<![0-9\\])(?:\bpercent(?:age)?s?\b|\bpct\b|%)",
    re.IGNORECASE,
)
_ROUNDING_WANTED = re.compile(
    r"\b(?:round(?:ed|ing)?|approximat\w*|estimate|nearest|decimals?|significant (?:figure|digit)s?)\b",
    re.IGNORECASE,
)
_WHICH = re.compile(r"\bwhich (?:is|of|one|number|value|expression)\b", re.IGNORECASE)


def wants_percentage(question: str) -> bool:
    """Whether a question asks for a percentage: `What percentage of ...`, and not `What is 20% of ...`."""
    end = question[-_LAST_QUESTION:].rstrip()
    asked = end.rpartition("?")[0] or end
    sentence = re.split(r"[?!\n]|\.(?=\s)", asked)[-1] if "?" in end else asked
    return any(not _is_number(match[1]) for match in _PERCENT_WANTED.finditer(sentence))


def _is_number(word: str | None) -> bool:
    return word is not None and (word.isdigit() or number_of_words(word) is not None)


def wants_rounding(question: str) -> bool:
    """Whether a question asks for a rounded or an approximate value."""
    return _ROUNDING_WANTED.search(question[-_LAST_QUESTION:]) is not None


def offers_a_choice(question: str) -> bool:
    """Whether a question names values to choose from: there an answer repeats one of them."""
    return _WHICH.search(question) is not None


_CHOSEN = re.compile(
    r"(?:(?:the )?(?:(?:correct|right|final) )?(?:answer|option|choice|letter)(?: is)?[: ]*){0,3}"
    r"\(?([A-J])(?:[):.,;]+|$|(?= (?:because|since|as|is)\b))(.*)",
    re.IGNORECASE | re.DOTALL,
)
_REASON = re.compile(r"\s*(?:because|since|as|is (?:correct|right|the (?:correct|right)))\b", re.IGNORECASE)
_SECOND_CHOICE = re.compile(r"\b[A-J]\b|\b(?:or|not|and|nor|maybe|either|both)\b")
_OPTION = re.compile(r"(?:^|\n|\s)\(?([A-J])[).:]\s*([^\n]{1,80}?)(?=\n|\s\(?[A-J][).:]\s|$)")


def chosen_letter(text: str, question: str) -> str | None:
    """The letter that `C) 12`, `Option C` or `C, since ...` chooses; None where two are named, or the text beside it is
    that of another option of the question. A small letter counts where the question lists options.
    """
    match = _CHOSEN.fullmatch(text)
    options = dict(_OPTION.findall(question[-4000:]))
    if match is None or (match[1].islower() and match[1].upper() not in options):
        return None
    letter, beside = match[1].upper(), match[2]
    if _REASON.match(beside):
        return None if re.search(r"\bor\b", beside) else letter
    if _SECOND_CHOICE.search(beside):
        return None
    stated, option = ("".join(part.split()).strip("().").casefold() for part in (beside, options.get(letter, "")))
    return letter if not stated or not option or stated.startswith(option) else None


_ARTICLES = re.compile(r"(?:(?:on|in|at|by) )?(?:(?:a|an|the) )?", re.IGNORECASE)
_CONTRARY = {"yes": "no|false|not", "true": "false|not", "no": "yes|true", "false": "true|yes"}
_TURN = re.compile(r"\b(?:but|or|maybe|wait|actually|and)\b")
_IS_SO = re.compile(r"(?:it|that|this|they|he|she) (?:is|does|can|are|do)(?! not|n't)\b")


def says_word(text: str, gold: str) -> bool:
    """Whether `text` is the words of the gold: after an article (`on a Tuesday`), or with a reason for yes or no."""
    said, word = text.casefold(), gold.casefold()
    if said == word or said[_ARTICLES.match(said).end() :] == word:  # type: ignore[union-attr]
        return True
    match = re.match(rf"{word}(?:[,.;:!] ?| (?=because\b|since\b))", said) if word in _CONTRARY else None
    if match is None:
        return False
    reason = said[match.end() :]
    is_turned = _TURN.search(reason[:20]) or re.match(rf"(?:{_CONTRARY[word]})\b", reason)
    is_denied = word in ("yes", "true") and re.match(r"(?:it|that|this|they|he|she) \w+(?: not|n't)\b", reason)
    return not (is_turned or is_denied or (word in ("no", "false") and _IS_SO.match(reason)))
