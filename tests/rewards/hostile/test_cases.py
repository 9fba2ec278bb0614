"""The built-in suite is what it says: enough of each family, no two cases alike, and cheap to build."""

import tracemalloc
from collections import Counter

import pytest
from support.work import num_calls

from doubleback.rewards.hostile.cases import FRAMES, Case, cases

STYLES = {"think_answer", "boxed", "hash", "answer_is", "last_number", "flexible"}
FAMILIES = {
    "hedge",
    "boxes",
    "think",
    "template",
    "injection",
    "unicode",
    "size",
    "tower",
    "nesting",
    "equation",
    "units",
}


@pytest.fixture(scope="module")
def suite() -> tuple[Case, ...]:
    return cases()


def test_there_are_enough_of_both(suite):
    assert sum(not case.is_honest for case in suite) >= 120
    assert sum(case.is_honest for case in suite) >= 45
    families = Counter(case.kind for case in suite)
    assert {case.kind for case in suite if case.is_honest} == {"honest"}
    assert all(not case.is_honest for case in suite if case.kind != "honest")
    assert all(families[family] >= 10 for family in FAMILIES)


def test_every_case_is_text_with_a_gold_and_a_known_style(suite):
    for case in suite:
        assert isinstance(case.completion, str), case.name
        assert isinstance(case.prompt, str), case.name
        assert case.answer.strip(), case.name
        assert case.style in STYLES, case.name
    assert {case.style for case in suite} == STYLES


def test_names_are_unique_and_printable(suite):
    names = Counter(case.name for case in suite)
    assert [name for name, count in names.items() if count > 1] == []
    assert all(name.isascii() and name.isprintable() for name in names)


def test_no_completion_is_both_hostile_and_honest(suite):
    """Protects against a case that no checker could get right."""
    keys = [(case.completion, case.answer, case.style, case.prompt) for case in suite]
    assert [key[0][:80] for key, count in Counter(keys).items() if count > 1] == []


def test_megabytes_surrogates_and_nul_bytes_are_there(suite):
    assert sum(len(case.completion) > 900_000 for case in suite) >= 20
    assert any("\x00" in case.completion for case in suite)
    assert any("\ud800" in case.completion for case in suite)
    assert any(len(case.completion) > 100_000 for case in suite if case.is_honest)


def test_frames_keep_the_answer_as_it_is():
    """Protects braces: a frame is filled by str.format, which must not touch those of the answer."""
    answer = "\\frac{1}{2} {0.__class__} %s"
    assert all(answer in frame.format(answer) for frame in FRAMES.values())
    assert "\\boxed{72}" in FRAMES["boxed"].format("72")


def test_building_it_all_is_cheap():
    assert num_calls(cases) < 20_000  # 6,850
    tracemalloc.start()
    suite = cases()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert suite
    assert peak < 60e6
