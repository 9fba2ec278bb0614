"""What a policy under pressure writes, and what strangers call things, is text in the page: all of the corpus."""

import pytest
from support.folders.browsed import countdown_run, texts_run, write_page
from support.pages.browser import opened
from support.payloads import HTML, PAYLOADS

from doubleback.recipes.report.samples.encode import Text
from doubleback.rewards.hostile.cases import cases
from doubleback.rewards.visible import visible

pytestmark = pytest.mark.slow


def test_hostile_texts_are_text(browser, tmp_path):
    """The whole corpus, what would be markup, and what a terminal would obey: as completion, problem, answer, part."""
    texts = list(dict.fromkeys([*HTML, *PAYLOADS, "a\U0001f600b\ud83d", *(case.completion for case in cases())]))
    folder = texts_run(tmp_path / "a <b>run</b> \u202e 'and\" &amp;", texts)
    other = countdown_run(tmp_path / "other", 1, 2, 2)
    with opened(browser, write_page(tmp_path / "report.html", folder, other)) as watched:
        page = watched.page
        page.wait_for_selector(".sample")
        own = page.evaluate(ELEMENTS)
        page.select_option("#samples-source", "0")
        page.wait_for_selector(f"#samples-list[aria-rowcount='{len(texts) + 1}']")
        seen = page.evaluate(WALK)
        expected = [visible(Text(text).shown) for text in texts]
        assert [text for text, shown in zip(expected, seen, strict=True) if text != shown] == []
        assert page.evaluate(ELEMENTS) == own
        assert page.evaluate("window.broken") is None
        assert visible(folder.name) in page.inner_text(".where")
        assert (watched.complaints, watched.requests) == ([], [])


ELEMENTS = "document.querySelectorAll('a, script, img, svg, iframe, base, style, link, form').length"
WALK = """async () => {
  const box = document.getElementById("samples-list");
  const press = (key) => box.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  const seen = [];
  press("Home");
  const last = Number(box.getAttribute("aria-rowcount")) - 1;
  for (let place = 0; place < last; place += 1) {
    const id = document.querySelector("#samples-rows [aria-selected=true]").id.split("-").at(-1);
    // Its texts are unpacked already: nothing waits, and no frame need be painted in between.
    while (document.querySelector(".sample:last-child").dataset.at !== id) await null;
    seen.push(document.querySelector(".sample:last-child .completion").textContent);
    press("j");
  }
  return seen;
}"""
