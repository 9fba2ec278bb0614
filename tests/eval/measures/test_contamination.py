"""What a suite and a training set share, by hand; and how much GSM8K's two files do."""

import json

import pytest
from support.paths import DATA
from support.work import require_linear

from doubleback.eval.measures.contamination import overlap

STORY = "Ann has 12 red beads and buys 3 more at the market."


def test_exact_but_for_case_spaces_and_punctuation():
    found = overlap(
        [("s", STORY)], [("other", "Nothing."), ("t", "ann has 12 red beads, and buys\n3 more at the market!")]
    )
    assert (found.exact, found.masked, found.ngram) == ((("s", "t"),), (), ())


def test_masked_is_the_same_story_with_other_numbers():
    found = overlap([("s", STORY)], [("t", "Ann has 1,200 red beads and buys 45% more at the market.")])
    assert (found.exact, found.masked) == ((), (("s", "t"),))
    assert overlap([("s", "3 5 7 -> 22")], [("t", "3 5 8 -> 23")]).masked == ()


def test_thirteen_words_in_a_row():
    words = [f"word{chr(97 + n)}" for n in range(20)]
    suite = [("s", " ".join(words[:16]))]
    assert overlap(suite, [("t", "before " + " ".join(words[2:15]) + " after")]).ngram == (("s", "t"),)
    assert overlap(suite, [("t", " ".join(words[2:14]) + " after")]).ngram == ()
    assert overlap([("s", "three words here")], [("t", "three words here too")]).ngram == ()


def test_each_suite_problem_counts_once():
    found = overlap([("s", STORY)], [("t", STORY), ("u", STORY)])
    assert found.exact == (("s", "t"),)
    words = [f"word{chr(97 + n)}" for n in range(26)]
    halves = [("t", " ".join(words[:13])), ("u", " ".join(words[13:]))]
    assert overlap([("s", " ".join(words))], halves).ngram == (("s", "t"),)


def test_fractions_in_one_character_are_masked():
    recipe = "Add {} cup of milk to the warm bowl."
    assert overlap([("s", recipe.format("½"))], [("t", recipe.format("1/4"))]).masked == (("s", "t"),)


def test_words_that_every_text_begins_with_are_no_trouble():
    """Protects against comparing every text with every other one."""
    instruction = "please read the question with care and then write your final answer on its own line " * 3

    def texts(number):
        return [[(f"{name}{n}", f"{instruction}{name}{n}") for n in range(number)] for name in "st"]

    def compare(pair):
        assert overlap(*pair).ngram == tuple((f"s{n}", "t0") for n in range(len(pair[0])))

    require_linear(compare, texts, (100, 800))


@pytest.mark.skipif(not (DATA / "gsm8k_train.jsonl").exists(), reason="GSM8K is not beside the checkout")
def test_gsm8k_train_and_test_share_no_question():
    suite, training = (
        [(f"{name}:{n}", json.loads(line)["question"]) for n, line in enumerate((DATA / name).read_text().splitlines())]
        for name in ("gsm8k_test.jsonl", "gsm8k_train.jsonl")
    )
    found = overlap(suite, training)
    assert (len(suite), len(training)) == (1319, 7473)
    assert (found.exact, found.masked, len(found.ngram)) == ((), (), 3)


@pytest.mark.parametrize("text", ["", "...", " ?! "])
def test_texts_without_a_word_are_like_nothing(text):
    found = overlap([("s", text)], [("t", "?"), ("u", "")])
    assert (found.exact, found.masked, found.ngram) == ((), (), ())
