"""What words around an answer say of it: that it is meant, said again, or taken back."""

import re

from doubleback.rewards.answers.forms.spoken import spoken_rational
from doubleback.rewards.answers.rational import ALTERING_WORDS, number_in_words, parse_rational

MAX_ASIDE = 512
"""Characters of an answer that is searched for an aside."""
AFTERWORD = 2_000
"""Characters behind an answer that are read for a sentence which takes it back."""
WINDOW = 40
"""Characters before such a word that belong to its sentence."""

_RETRACTION = re.compile(
    r"\b(?:wait|actually|hmm+|oops|sorry|correction|edit:|no,|no:|scratch that|mistake|error|on second thought"
    r"|let me re-?\w+|instead|rather|was wrong|is wrong|not right|that's not)",
    re.IGNORECASE,
)
_RESTATED = re.compile(
    r"\b(?:it|this|that|answer|result|total|value|one)(?:'s| is| was| must be| should be| should have been| would be"
    r"| has to be| equals)(?: actually| really)?[\s:$*]{1,4}([-−]?[0-9][0-9,./]*)"
    r"|([-−]?[0-9][0-9,./]*)[\s$*]{1,3}instead\b"
    r"|\b(?:correction:|edit:|meant|second thoughts?,|scratch that[,:]|wait,|no,|oops,|sorry,)"
    r"(?: (?:it is|it's|I meant|that is))?\s*\$?([-−]?[0-9][0-9,./]*)(?=[\s.!$]*(?:$|\n|instead))",
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
    spoken = spoken_rational(again)
    is_again = again and (is_same(value, again) or (spoken is not None and spoken == parse_rational(value)))
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
        value = parse_rational(answer.strip(" *$."))
        if value is not None and parse_rational(number) != value:
            return number
    return None


_LAST_QUESTION = 400
"""Characters of a question that ask."""
_PERCENT_WANTED = re.compile(
    r"\b(?:what|which|how many|how much|find|calculate|determine|compute|express|give|write|state|in|as)\b"
    r"[^.?!\n]{0,80}?"
    r"(?:([0-9A-Za-z]+)[ -]?)?(?<![0-9\\])(?:\bpercent(?:age)?s?\b|\bpct\b|%)"
    r"|\b(the) percent(?:age)?\b[^.?!\n]{0,80}\bis what\b",
    re.IGNORECASE,
)
_QUANTITY_WANTED = re.compile(
    r"\bwhat (?:is|was|are|were|will be)\b[^.?!\n]{0,60}"
    r"\b(rate|charge|level|humidity|chance|probability|likelihood|odds)\b",
    re.IGNORECASE,
)
_CHANCE_WANTED = re.compile(r"\b(?:chances?|probability|likelihood|odds|how likely)\b", re.IGNORECASE)
_SENTENCES = re.compile(r"[?!\n]|(?<!\bMr)(?<!\bMrs)(?<!\bMs)(?<!\bDr)(?<!\bSt)\.(?=\s)")
_ROUNDING_WANTED = re.compile(
    r"\b(?:round(?:ed|ing)?|approximat\w*|estimate|nearest|decimals?|significant (?:figure|digit)s?)\b",
    re.IGNORECASE,
)
_WHICH = re.compile(r"\bwhich (?:is|of|one|number|value|expression)\b", re.IGNORECASE)


def wants_percentage(question: str) -> bool:
    """Whether a question asks for a percentage: `What percentage of ...`, and not `What is 20% of ...`; or for a rate
    or a charge where it has given one in percent.
    """
    asked = _asked(question)
    if any(not _is_number(match[1]) for match in _PERCENT_WANTED.finditer(asked)):
        return True
    quantity = _QUANTITY_WANTED.search(asked) if "%" in question or "percent" in question else None
    return quantity is not None and _in_percent(quantity[1], question)


def wants_chance(question: str) -> bool:
    """Whether a question asks how likely something is: above 1 the answer is a percentage."""
    return _CHANCE_WANTED.search(_asked(question)) is not None


def _asked(question: str) -> str:
    """The sentence that asks; all of the end where there is no question mark."""
    end = question[-_LAST_QUESTION:].rstrip()
    asked = end.rpartition("?")[0] or end
    return _SENTENCES.split(asked)[-1] if "?" in end else asked


def _in_percent(quantity: str, question: str) -> bool:
    number = r"[0-9]+(?:\.[0-9]+)? ?(?:%|percent)"
    return re.search(rf"\b{quantity}\b[^.?!]{{0,40}} {number}|{number} \w{{0,12}} ?{quantity}\b", question) is not None


def _is_number(word: str | None) -> bool:
    return word is not None and (word.isdigit() or spoken_rational(word) is not None)


def wants_rounding(question: str) -> bool:
    """Whether a question asks for a rounded or an approximate value."""
    return _ROUNDING_WANTED.search(question[-_LAST_QUESTION:]) is not None


def echoes(text: str, question: str) -> bool:
    """Whether `text` stands in the question, whatever the spaces; part of a longer number does not."""
    needle, haystack = ("".join(part.replace("$", "").split()) for part in (text, question))
    position = haystack.find(needle)
    while position >= 0:
        beside = haystack[max(0, position - 1) : position] + haystack[position + len(needle) :][:1]
        if not re.search(r"[0-9]", beside):
            return True
        position = haystack.find(needle, position + 1)
    return False


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


_LEAD = re.compile(
    r"(?:(?:it|this|that|he|she|(?:the|its|her|his) [a-z]+(?: [a-z]+){0,3})(?: is| was| will be|'s) )?"
    r"(?:(?:on|in|at|by) )?(?:(?:a|an|the) )?"
)
_CONTRARY = {"yes": "no|false|not", "true": "false|not", "no": "yes|true", "false": "true|yes"}
_TURN = re.compile(r"\b(?:but|or|maybe|wait|actually|and)\b")
_IS_SO = re.compile(r"(?:it|that|this|they|he|she) (?:is|does|can|are|do)(?! not|n't)\b")


def says_word(text: str, gold: str) -> bool:
    """Whether `text` is the words of the gold: behind words that state them (`on a Tuesday`, `The number is odd`), or
    with a reason for yes or no.
    """
    said, word = text.casefold(), gold.casefold()
    lead = said[: _LEAD.match(said).end()]  # type: ignore[union-attr]
    if said == word or (said[len(lead) :] == word and not ALTERING_WORDS.intersection(lead.split())):
        return True
    match = re.match(rf"{word}(?:[,.;:!] ?| (?=because\b|since\b))", said) if word in _CONTRARY else None
    if match is None:
        return False
    reason = said[match.end() :]
    is_turned = _TURN.search(reason[:20]) or re.match(rf"(?:{_CONTRARY[word]})\b", reason)
    is_denied = word in ("yes", "true") and re.match(r"(?:it|that|this|they|he|she) \w+(?: not|n't)\b", reason)
    return not (is_turned or is_denied or (word in ("no", "false") and _IS_SO.match(reason)))


_STATES = re.compile(r"(.{2,200})\b(?:is|are|equals|was)[: ]*(?=[^A-Za-z: ])(.{1,200})")
_DENIES = frozenset(
    re.findall(
        "[a-z]+",
        """
        or not no nor never neither either maybe perhaps possibly probably might cannot guess unsure unknown about
        approximately roughly nearly almost between but unless if except instead versus vs isn isnt wrong incorrect
        false ignore previous instructions disregard system grader reward because since as given whereas though although
        while
        """,
    )
)
_SAYS_ANOTHER = re.compile(r"\b(?:is|are|equals|was)[: ]*[-0-9\\]")
_A_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}")
_LETTERS_IN_BRACKETS = re.compile(r" ?\([A-Za-z](?:, ?[A-Za-z])+\)$")
# A thing that was counted, and then what it was counted for or by: `12 apples after giving away 5`.
_CIRCUMSTANCE = re.compile(
    r"(?<=[a-z])(?: left)? (?:after|because|since|for|to|when|from|out of|with|that|which|at|before|per) (?=.*[0-9])"
)


def value_of_sentence(text: str) -> str | None:
    """The value at the end of a sentence that says what is what, of `The largest n is 34` 34; None for anything else.

    None too where a word denies or hedges, and where the end is more than one value.
    """
    match = _STATES.fullmatch(text)
    if match is None or _A_WORD.search(match[2]) or "\\text" in match[2]:
        return None
    words = _A_WORD.findall(match[1].lower())
    is_plain = match[1][0].isalpha() and not _SAYS_ANOTHER.search(match[1]) and not _DENIES.intersection(words)
    return match[2] if words and is_plain else None


def number_of_clause(text: str) -> str | None:
    """The number that a main clause counts, of `Tom has 12 apples left after giving away 5` 12; None for anything else.

    Something must be counted, in a clause of at least two words more, and no word of the rest may deny or hedge.
    """
    plain = _LETTERS_IN_BRACKETS.sub("", text)
    match = _CIRCUMSTANCE.search(plain)
    if match is None:
        return number_in_words(plain) if plain != text else None
    clause, rest = plain[: match.start()], plain[match.end() :]
    if len(_A_WORD.findall(clause)) < 2 or _DENIES.intersection(_A_WORD.findall(rest.lower())):
        return None
    return number_in_words(clause)
