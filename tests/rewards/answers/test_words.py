"""Guards read the question, words beside an answer are read as what they say, and chains are checked exactly."""

import pytest
from support.work import require_linear

from doubleback.rewards.answers.equality import compare
from doubleback.rewards.answers.words import chosen_letter, says_word, wants_percentage, wants_rounding

OPTIONS = "What is 3 times 4?\nA) 7\nB) 10\nC) 12"


@pytest.mark.parametrize(
    ("question", "is_wanted"),
    [
        ("What percentage of the class walks?", True),
        ("By what percent did it grow?", True),
        ("Find the percent increase.", True),
        ("Give it as a percentage.", True),
        ("What is 20% of 50?", False),
        ("What is 20 percent of 50?", False),
        ("What is twenty percent of 50?", False),
        ("He saves a percentage of it. How many dollars are left?", False),
        ("", False),
    ],
)
def test_a_percentage_may_be_asked_for(question, is_wanted):
    assert wants_percentage(question) is is_wanted
    assert compare("25%", "25", question).is_equal is is_wanted
    assert compare("25", r"25\%", question).is_equal is is_wanted


def test_an_approximation_answers_a_question_for_one():
    assert wants_rounding("Round to two decimals.")
    assert compare(r"\approx 3.67", "3.67", "Round to two decimals.").is_equal
    assert compare(r"\approx 3.67", "3.67", "Divide 11 by 3.").is_equal is False
    assert compare(r"\approx 3.66", "3.67", "Round to two decimals.").is_equal is False


def test_a_reduced_fraction_of_the_question_is_a_value():
    assert compare("3/2", "1.5", "Rope A is 3/2 m long.").is_equal
    assert compare("6/4", "1.5", "Rope A is 6/4 m long.").is_equal is False


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        *(("C", "C"), ("C) 12", "C"), ("(C)12", "C"), ("Option C", "C"), ("C, since 3*4 is 12", "C"), ("c", "C")),
        *(
            ("C) 10", None),
            ("C, D", None),
            ("A or C", None),
            ("not C", None),
            ("C because of A or B", None),
            ("Cat", None),
        ),
    ],
)
def test_a_letter_is_chosen_alone_or_with_its_own_text(text, letter):
    assert chosen_letter(text, OPTIONS) == letter


def test_words_may_have_an_article_or_a_reason():
    assert says_word("on a Tuesday", "Tuesday")
    assert says_word("No, it isn't.", "No")
    assert says_word("yes, because 8 is even", "Yes")
    assert not says_word("no, it is", "No")
    assert not says_word("yes, but no", "Yes")
    assert not says_word("not on Tuesday", "Tuesday")


def test_a_list_is_no_grouped_number():
    for candidate in ("1, 250", "(1,250)", r"\{1,250\}", "1 and 250"):
        assert compare(candidate, "1,250").is_equal is False
    assert compare("1,250", "(1,250)").is_equal is False
    assert compare("1250", "1,250").is_equal


@pytest.mark.parametrize("piece", ["what ", "percent ", "what percent ", "20 % ", "A) ", "A) 1\n", "."])
def test_long_questions_take_linear_time(piece):
    def read(question):
        wants_percentage(question)
        wants_rounding(question)
        chosen_letter("C) 12", question)

    require_linear(read, lambda size: piece * (size // len(piece)))


def test_a_repeating_decimal_is_exact():
    assert compare(r"0.\overline{3}", r"\frac{1}{3}").is_equal
    assert compare(r"\frac{4}{11}", r"0.\overline{36}").is_equal
    assert compare(r"0.1\overline{6}", "1/6").is_equal
    assert compare(r"0.\overline{34}", r"\frac{1}{3}").is_equal is False
