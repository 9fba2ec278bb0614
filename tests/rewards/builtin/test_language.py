"""Words of the target script are counted, by hand; what is no word does not count."""

import pytest
from support.work import require_linear

from doubleback.rewards.builtin.language import SCRIPTS, LanguageConsistency, script_share
from doubleback.rewards.types import ConfigError


@pytest.mark.parametrize(
    ("text", "script", "share"),
    [
        ("Add forty eight and twenty four.", "latin", 1.0),
        ("Add сорок восемь and twenty", "latin", 0.6),  # 3 of 5
        ("Add сорок восемь and twenty", "cyrillic", 0.4),
        ("naïve façade, don't Ｈｅｌｌｏ", "latin", 1.0),  # accents, apostrophes and full-width letters
        ("na\u0131\u0308ve e\u0301te\u0301", "latin", 1.0),
        ("p\u0430ypal pays", "latin", 0.5),  # a Cyrillic а: a word of two scripts is in neither
        ("p\u0430ypal pays", "cyrillic", 0.0),
        ("我用Python写", "cjk", 0.75),  # 我 用 Python 写
        ("我用Python写", "latin", 0.25),
        ("これは漢字とカナ", "japanese", 1.0),
        ("ラーーメン、人々", "japanese", 1.0),  # the long-vowel and iteration marks belong to any script
        ("they're все", "latin", 0.5),  # not they, re, все
        ("これは漢字とカナ", "cjk", 0.25),  # 漢 and 字 of 8
        ("한국어 문장", "hangul", 1.0),
        ("हिन्दी भाषा", "devanagari", 1.0),
        ("العربية لغة", "arabic", 1.0),
        ("Ελληνικά και Latin", "greek", 2 / 3),
        ("ภาษาไทย", "thai", 1.0),
    ],
)
def test_share_by_hand(text, script, share):
    assert LanguageConsistency(script)(completions=[text]) == [pytest.approx(share, abs=1e-12)]


@pytest.mark.parametrize(
    "text", ["", "72", "3 + 4 = 7", "x = 3, π", "\\frac{1}{2}", "<think> </think>", "```\nprint()\n```", "ー"]
)
def test_without_words_there_is_no_share(text):
    assert LanguageConsistency()(completions=[text]) == [None]


@pytest.mark.parametrize(
    "text",
    [
        "это число `len(x)`",
        "это ```python\nprint('hello world')\n``` число",
        "<think> это </think> <answer> число </answer>",
        "это \\begin{aligned} \\frac{x}{y} \\end{aligned} число, \\alpha",
        "это x число y",
    ],
)
def test_code_tags_commands_and_single_letters_are_no_words(text):
    assert LanguageConsistency("cyrillic")(completions=[text]) == [1.0]


def test_words_inside_a_latex_command_count():
    assert script_share("\\text{привет} world", SCRIPTS["cyrillic"]) == 0.5


def test_it_cannot_tell_languages_of_one_script():
    """What the docstring admits: French passes for English."""
    assert LanguageConsistency("latin")(completions=["Nous additionnons quarante et huit"]) == [1.0]


def test_messages_are_judged_as_their_text():
    completions = ["two слова", [{"role": "assistant", "content": "two слова"}]]
    assert LanguageConsistency("latin")(completions=completions, prompts=["p"] * 2, target=[1] * 2) == [0.5, 0.5]


@pytest.mark.parametrize(
    ("script", "hint"),
    [("cyrilic", "did you mean cyrillic"), ("Latin", "did you mean latin"), ("qqq", "known: arabic"), ("", "known:")],
)
def test_an_unknown_script_is_refused_with_the_nearest(script, hint):
    with pytest.raises(ConfigError, match=f"language: there is no script '{script}'; {hint}.*telugu, thai"):
        LanguageConsistency(script)


def test_every_script_has_letters():
    """Protects against a name that Unicode does not use: it would score 0 for ever."""
    samples = {
        "latin": "ab", "cyrillic": "аб", "greek": "αβ", "arabic": "اب", "hebrew": "אב", "armenian": "աբ",
        "georgian": "აბ", "devanagari": "कख", "bengali": "কখ", "gurmukhi": "ਕਖ", "gujarati": "કખ", "tamil": "கஙச",
        "telugu": "కఖ", "kannada": "ಕಖ", "malayalam": "കഖ", "sinhala": "කඛ", "thai": "กข", "lao": "ກຂ", "khmer": "កខ",
        "myanmar": "ကခ", "ethiopic": "ሀለ", "cjk": "漢", "hangul": "가나", "japanese": "かカ漢",
    }  # fmt: skip
    assert samples.keys() == SCRIPTS.keys()
    assert {script for script, text in samples.items() if script_share(text, SCRIPTS[script]) != 1.0} == set()


@pytest.mark.parametrize("piece", ["`", "```", "``` ", "<a", "\\", "\\begin{", "'", "字", "a\u0301", "\ufdfa"])
def test_long_input_takes_linear_time(piece):
    """Protects against a regular expression that backtracks: a quadratic one takes eight times too long here."""
    require_linear(
        lambda text: script_share(text, SCRIPTS["latin"]), lambda size: piece * (size // len(piece)), (3_000, 24_000)
    )
