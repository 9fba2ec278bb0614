"""What strangers write is text in a page: no element, no attribute, no link; what hides or reorders is written out."""

import unicodedata
from html.parser import HTMLParser

import pytest
from support.folders.written import write_evaluation, write_run
from support.payloads import HTML, PAYLOADS

from doubleback.recipes.report.report import report_of
from doubleback.rewards.visible import visible

TEXTS = [text for text in (*HTML, *PAYLOADS) if "\ud800" not in text]
ELEMENTS = (
    *("html", "head", "meta", "title", "link", "style", "body", "header", "nav", "main", "section", "footer", "p", "a"),
    *(
        "h1",
        "h2",
        "h3",
        "h4",
        "ul",
        "li",
        "dl",
        "dt",
        "dd",
        "div",
        "span",
        "strong",
        "details",
        "summary",
        "pre",
        "code",
    ),
    *("table", "caption", "thead", "tbody", "tr", "th", "td", "figure", "figcaption", "article", "button", "input"),
    *("svg", "g", "path", "defs", "use", "clippath", "rect", "text", "tspan", "label", "select", "option", "code"),
    *("form", "fieldset", "legend", "dialog", "kbd"),
)


class Page(HTMLParser):
    """Elements, attributes and text of a page, as a browser would find them."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.attributes, self.links, self.text, self.inside = set(), set(), [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.inside.append(tag)
        self.elements.add(tag)
        self.attributes |= {name for name, _ in attributes}
        self.links += [value for name, value in attributes if name in ("href", "src", "xlink:href")]

    def handle_data(self, data):
        if self.inside[-1:] != ["style"]:
            self.text.append(data)

    def handle_endtag(self, tag):
        while self.inside and self.inside.pop() != tag:
            pass


def require_text_alone(page):
    page = Page(page)
    assert page.elements - {"script"} <= {*ELEMENTS}
    assert not {name for name in page.attributes if name.startswith("on") or name in ("style", "srcdoc", "action")}
    assert all(link.startswith(("#", "data:,")) for link in page.links)
    text = "".join(page.text)
    for character in set(text):
        assert character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cf", "Zl", "Zp"), repr(character)
    return text


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, len(TEXTS), 35))
def test_a_run_whose_every_text_is_hostile(tmp_path, start):
    texts = TEXTS[start : start + 35]
    folder = write_run(tmp_path / "<b>&'\"\u202e", steps=2, texts=texts)
    text = require_text_alone(report_of([folder]).decode())
    for payload in texts:
        assert visible(payload).strip() in text
    assert "<b>&'\"\\u202e" in text


@pytest.mark.slow
def test_two_runs_and_two_evaluations_side_by_side(tmp_path):
    runs = [write_run(tmp_path / f"</title>{seed}", steps=2, texts=HTML, seed=seed) for seed in (0, 1)]
    require_text_alone(report_of(runs).decode())
    evaluations = [
        write_evaluation(tmp_path / f"<i>{seed}", 0.5, texts=HTML, seed=seed, suite="".join(HTML)) for seed in (0, 1)
    ]
    text = require_text_alone(report_of(evaluations).decode())
    for payload in HTML:
        assert visible(payload).strip() in text


def test_a_bad_sign_fails_here():
    """The check itself sees what it is for."""
    for page in ("<p onclick=x>", "<b>", "<a href=http://x>", "<p>\u202e", "<p style=x>"):
        with pytest.raises(AssertionError):
            require_text_alone(page)
