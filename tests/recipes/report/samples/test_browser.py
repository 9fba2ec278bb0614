"""The sample browser in a real browser, opened from disk: it lists what Python would, and asks nobody."""

from collections import Counter
from pathlib import Path

import axe_playwright_python
import pytest
from support.folders.browsed import countdown_run, texts_run, write_page
from support.pages.browser import opened

from doubleback.recipes.report.samples.files import files_of
from doubleback.rewards.jsonl import complete_lines

pytestmark = pytest.mark.slow
AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js")


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """10,000 samples: 40 steps of 25 problems with 10 samples each."""
    folder = countdown_run(tmp_path_factory.mktemp("many") / "run", num_steps=40, num_problems=25, group_size=10)
    return folder, write_page(folder.parent / "report.html", folder)


@pytest.fixture(scope="module")
def lines(many):
    """Its samples as Python reads them."""
    return [line for file in files_of(many[0]) for line in complete_lines(file.path)]


@pytest.fixture
def shown(browser, many):
    with opened(browser, many[1]) as watched:
        watched.page.wait_for_selector("#samples-browser:not([hidden]) .sample")
        yield watched
        assert (watched.complaints, watched.requests) == ([], [])


def counted(page):
    return int(page.inner_text("#samples-count").split()[0].replace(",", ""))


def listed(page, number=8):
    """The first rows of the list: step, problem, sample."""
    rows = page.eval_on_selector_all(
        "#samples-rows [role=row]",
        "rows => rows.map(row => [...row.children].slice(0, 3).map(cell => cell.textContent))",
    )
    return [(int(step), problem, int(sample)) for step, problem, sample in rows[:number]]


def in_python(lines, is_in=lambda line: True, key=None, falls=False, number=8):
    """How many samples are so, and the first of them in the order that a reader asked for: unmeasured ones last."""
    found = [line for line in lines if is_in(line)]
    if key:
        found.sort(key=lambda line: (line.get(key) is None, (-1 if falls else 1) * (line.get(key) or 0)))
    else:
        found.sort(key=lambda line: -line["step"])
    prefix = len("countdown3:")
    return len(found), [(line["step"], line["problem"][prefix:], line["sample"]) for line in found[:number]]


def choose(page, **filters):
    page.click("#samples-filters [type=reset]")
    for name, value in filters.items():
        if name == "verdicts":
            for verdict in value:
                page.check(f"#samples-verdicts [value={verdict}]")
        elif name == "text":
            page.fill("#samples-text", value)
        else:
            page.select_option(f"#samples-{name}", value)


CHOICES = {
    "all": ({}, lambda line: True),
    "a step": ({"step": "7"}, lambda line: line["step"] == 7),
    "two verdicts": (
        {"verdicts": ["correct", "timeout"]},
        lambda line: line["verdict"] in ("correct", "timeout"),
    ),
    "a part that pays": ({"part": ">format"}, lambda line: line["weighted"].get("format", 0) > 0),
    "a part that pays nothing, of a step": (
        {"part": "=format", "step": "3"},
        lambda line: line["weighted"].get("format") == 0 and line["step"] == 3,
    ),
    "a text": ({"text": "NO BACK"}, lambda line: "no back" in line["completion"]),
    "nothing": ({"text": "no completion says this"}, lambda line: False),
}


GAP = "gap of trainer and engine"


def wait_for_count(page, number):
    page.wait_for_function(
        "number => parseInt(document.querySelector('#samples-count').textContent.replaceAll(',', '')) === number",
        arg=number,
    )


def test_filters_and_sorting_are_those_of_python(shown, lines):
    page = shown.page
    for filters, is_in in CHOICES.values():
        choose(page, **filters)
        number, first = in_python(lines, is_in)
        wait_for_count(page, number)
        assert (counted(page), listed(page) if number else []) == (number, first)
    choose(page, step="7")
    for key, title in (("score", "reward"), ("advantage", "advantage"), ("tokens", "length"), ("gap", GAP)):
        for falls in (True, False):
            page.click(f"#samples-heads [title='sort by {title}']")
            number, first = in_python(lines, lambda line: line["step"] == 7, key, falls)
            column = title.split()[0]
            page.wait_for_selector(f"#samples-heads .of-{column}[aria-sort={'descending' if falls else 'ascending'}]")
            assert (counted(page), listed(page)) == (number, first)
    numbers = page.eval_on_selector_all(
        "#samples-verdicts label", "all => all.map(each => [each.firstChild.value, each.lastChild.textContent])"
    )
    counts = Counter(line["verdict"] for line in lines)
    assert {verdict: int(number.replace(",", "")) for verdict, number in numbers} == counts
    assert len(counts) == 4


def test_tokens_are_shaded_by_the_ratio_of_trainer_and_engine(shown, lines):
    page = shown.page
    choose(page, step="7")
    page.click(f"#samples-heads [title='sort by {GAP}']")
    _, [(step, problem, sample), *_] = in_python(lines, lambda line: line["step"] == 7, "gap", falls=True)
    (line,) = (it for it in lines if (it["step"], it["problem"][11:], it["sample"]) == (step, problem, sample))
    page.click("#samples-rows [role=row]:first-child")
    page.select_option(".bar select", "ratio")
    page.wait_for_selector(".completion .token")
    found = page.eval_on_selector_all(".completion .token", "all => all.map(each => each.className.trim().split(' '))")
    ratios = [round(1000 * ratio) / 1000 for ratio in line["log_ratios"]]
    levels = [sum(abs(ratio) > bound for bound in (0.01, 0.05, 0.2, 0.5, 1)) for ratio in ratios]
    expected = [
        ["token", f"level-{level}", "up" if ratio > 0 else "down"] for level, ratio in zip(levels, ratios, strict=True)
    ]
    # At the judged answer, which may begin within a token, that one is shown in two pieces.
    assert found[:12] == expected[:12]
    assert len(set(levels[:12])) >= 3
    page.focus(".completion")
    page.keyboard.press("ArrowRight")
    assert f"log(trainer / sampler) {ratios[0]:g}, ".replace("-", "−") in page.inner_text(".readout")
    shown_gap = page.inner_text("#samples-rows [role=row]:first-child .of-gap")
    assert float(shown_gap) == float(f"{line['gap']:.2g}")


def test_a_run_that_tells_no_gap_has_no_column_of_it(browser, tmp_path):
    folder = texts_run(tmp_path / "run", ["7", "8"])
    with opened(browser, write_page(tmp_path / "report.html", folder)) as watched:
        watched.page.wait_for_selector(".sample")
        assert watched.page.locator("#samples-heads [role=columnheader]").count() == 7
        assert watched.page.locator("#samples-rows .of-gap").count() == 0


def test_ten_thousand_samples_take_no_more_of_the_page_than_fifty(shown, lines):
    page = shown.page
    assert counted(page) == len(lines) == 10_000
    page.focus("#samples-list")
    page.keyboard.press("End")
    page.wait_for_selector("#samples-rows [aria-rowindex='10001'][aria-selected=true]")
    assert listed(page, 10_000)[-1] == in_python(lines, number=10_000)[1][-1]
    assert page.eval_on_selector_all("#samples *", "all => all.length") < 1_500
    texts = page.eval_on_selector_all("script[id^=samples-texts]", "all => all.length")
    assert texts == 40


def test_a_walk_by_keyboard_alone(shown, lines):
    page, press = shown.page, shown.page.keyboard.press
    picked = "#samples-rows [aria-selected=true]"
    number, first = in_python(lines)
    press("j")
    press("j")
    press("k")
    cells = page.eval_on_selector(picked, "row => [0, 1, 2].map(place => row.children[place].textContent)")
    assert cells == [str(each) for each in first[1]]
    assert page.evaluate("document.activeElement.id") == "samples-list"
    assert page.get_attribute("#samples-list", "aria-activedescendant") == page.get_attribute(picked, "id")
    press("Enter")
    assert page.evaluate("document.activeElement.id") == "samples-detail"
    press("s")
    page.wait_for_selector(".completion .token")
    page.focus(".completion")
    press("ArrowRight")
    assert page.inner_text(".readout").startswith("Token 1 of ")
    press("Escape")
    assert page.evaluate("document.activeElement.id") == "samples-list"
    press("g")
    wait_for_count(page, 10)
    press("o")
    wait_for_count(page, 400)
    press("[")
    page.wait_for_selector(".where:has-text('step 39,')")
    press("a")
    wait_for_count(page, number)
    press("/")
    page.keyboard.type("no back")
    wait_for_count(page, in_python(lines, CHOICES["a text"][1])[0])
    assert page.input_value("#samples-text") == "no back"  # and no key of it was a command
    press("Enter")
    press("?")
    page.wait_for_selector("#samples-help[open]")
    press("Escape")
    page.wait_for_selector("#samples-help", state="hidden")
    press("p")
    press("j")
    page.wait_for_selector(".two .sample:nth-child(2)")


@pytest.mark.parametrize("view", ["light", "dark", "narrow"])
def test_axe_finds_nothing(browser, many, view):
    with opened(browser, many[1], view, bypass_csp=True) as watched:  # axe is a script that is no part of the page
        page = watched.page
        page.wait_for_selector(".sample")
        page.keyboard.press("s")
        page.wait_for_selector(".completion .token")
        page.add_script_tag(path=AXE)
        for key in ("", "?"):
            if key:
                page.keyboard.press(key)
            found = page.evaluate("axe.run()")
            assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found["violations"]] == []
        assert len(found["passes"]) > 15


def test_without_javascript_there_is_a_table_of_the_best_and_the_worst(browser, many):
    with opened(browser, many[1], java_script_enabled=False) as watched:
        assert watched.page.is_hidden("#samples-browser")
        text = watched.page.inner_text("#samples-plain")
        assert "Best and worst samples of step 40" in text
        assert text.count("</answer>") >= 3
        assert watched.requests == []


def test_two_runs_side_by_side(browser, tmp_path):
    folders = [countdown_run(tmp_path / name, 2, 4, 3, seed) for seed, name in enumerate(("first", "second"))]
    runs = [[line for file in files_of(folder) for line in complete_lines(file.path)] for folder in folders]
    pairs = sorted(zip(*runs, strict=True), key=lambda pair: -pair[0]["step"])
    changes = [tuple(line["verdict"] == "correct" for line in pair) for pair in pairs]
    with opened(browser, write_page(tmp_path / "report.html", *folders)) as watched:
        page = watched.page
        page.wait_for_selector(".two .sample")
        choose(page, source="1", flip="gained")
        wait_for_count(page, changes.count((False, True)))
        choose(page, source="1", flip="lost")
        wait_for_count(page, changes.count((True, False)))
        assert 0 < changes.count((True, False)) < len(pairs)
        assert [text.split(",")[0] for text in page.locator(".where").all_inner_texts()] == ["first", "second"]
        lost = pairs[changes.index((True, False))]
        assert page.locator(".completion").all_inner_texts() == [line["completion"] for line in lost]
        assert (watched.complaints, watched.requests) == ([], [])


def test_an_address_names_samples(browser, many, lines):
    with opened(browser, many[1]) as watched:
        page = watched.page
        page.wait_for_selector(".sample")
        page.evaluate("location.hash = '#samples&verdict=timeout&step=8'")
        number, first = in_python(lines, lambda line: line["verdict"] == "timeout" and line["step"] == 8)
        wait_for_count(page, number)
        assert listed(page) == first
