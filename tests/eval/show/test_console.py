"""Foreign text is shown as text: no markup, no command to the terminal."""

import io

import pytest
from rich.table import Table
from rich.text import Text
from support.payloads import ESCAPES, MARKUP, PAYLOADS, commands_in

from doubleback.eval.show.console import Console, panel
from doubleback.eval.show.pictures import learning_curve
from doubleback.rewards.visible import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\r", "\\r"),
        ("\x9b", "\\x9b"),
        ("\ud800", "\\ud800"),
        ("\u202eabc", "\\u202eabc"),
        ("a\u200bb\u00ad\u2028\u061c\U000e0041", "a\\u200bb\\xad\\u2028\\u061c\\U000e0041"),
        ("\u0646\u200c\u0645 \U0001f469\u200d\U0001f4bb", "\u0646\u200c\u0645 \U0001f469\u200d\U0001f4bb"),
        ("naïve 数 [/INST] :smile:", "naïve 数 [/INST] :smile:"),
    ],
)
def test_what_a_terminal_would_obey_is_written_out(text, shown):
    assert visible(text) == shown
    assert visible(visible(text)) == shown


def shown(renderable, **settings):
    file = io.StringIO()
    Console(file=file, width=200, **settings).print(renderable)
    return file.getvalue()


@pytest.mark.parametrize("payload", PAYLOADS)
def test_every_way_of_showing_it_keeps_it_text(payload):
    table = Table(title=payload, caption=payload)
    table.add_column(payload)
    table.add_row(payload)
    for way in (payload, table, panel(Text(), payload), Text(payload)):
        text = shown(way)
        assert isinstance(way, Text) or visible(payload).strip() in text  # rich's own Text drops some of it
        assert commands_in(text) == set()
        assert text.encode()


def test_our_own_colours_reach_a_terminal():
    assert "\x1b[" in shown(Text("red", style="red"), force_terminal=True, color_system="standard")


def test_a_status_and_a_label_take_it_as_text():
    console = Console(file=io.StringIO(), width=200)
    for payload in PAYLOADS:
        with console.status(payload):
            console.say("error:", payload, "bold red")
    assert commands_in(console.file.getvalue()) == set()


@pytest.mark.parametrize("payload", [*MARKUP[-4:], ESCAPES[0], "\ud800"])
def test_a_picture_has_it_in_its_title(payload, tmp_path):
    learning_curve([], [], payload, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 5000
