"""What the page holds of samples: which fit, where answers and tokens stand, what is cut; without a browser."""

import base64
import gzip
import json
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
import yaml
from support.folders.browsed import countdown_run, texts_run
from tokenizers import Tokenizer

from doubleback.recipes.models.bundled import bundled_path
from doubleback.recipes.report.samples import encode, extremes
from doubleback.recipes.report.samples.encode import MOST_CHARACTERS, Text
from doubleback.recipes.report.samples.files import origin_of
from doubleback.recipes.report.samples.fitting import coarse_to_fine
from doubleback.recipes.report.samples.found import find_answer
from doubleback.recipes.report.samples.section import samples_section
from doubleback.recipes.report.samples.tokens import signal_of, token_lengths
from doubleback.recipes.report.stored import StoredLines
from doubleback.rewards.answers.extract import Style


def unpacked(section):
    """Name -> what the page unpacks."""
    found = re.findall(r'<script type="application/gzip" id="samples-([\w-]+)">([^<]*)</script>', str(section.markup))
    return {name: json.loads(gzip.decompress(base64.b64decode(text))) for name, text in found}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return countdown_run(tmp_path_factory.mktemp("run") / "run", num_steps=6, num_problems=4, group_size=3)


def test_all_samples_are_there_with_their_marks_tokens_and_moves(folder):
    section = samples_section([folder], 5_000_000)
    held = unpacked(section)
    assert section.left_out == ()
    assert sum(len(held[f"rows-{index}"]["reward"]) for index in range(6)) == 72
    texts, tokens = held["texts-0"], held["tokens-0"]
    for place, text in enumerate(texts["completion"]):
        start, end = texts["mark"][place]
        assert text[start:end] == (texts["extracted"][place] or "")
        assert sum(tokens["lengths"][place]) == len(text)
        assert len(tokens["lengths"][place]) == len(tokens["signals"]["logprob"][place])
        moves = [text[start:end] for start, end, *_ in texts["moves"][place]]
        assert all(re.match(r"\d+ [-+*] \d+ = \d+", move) for move in moves)
    assert sum(len(moves) for moves in texts["moves"]) > 12
    assert held["problems-0"]["prompt"][0] == origin_of(folder).problems[held["problems-0"]["id"][0]].prompt


def test_what_does_not_fit_is_left_out_and_said(folder):
    whole = samples_section([folder], 5_000_000)
    size = len(str(whole.markup)) + len(whole.style) + len(whole.script)
    for budget in (size - 1, size - 8_000, size - 14_000):
        section = samples_section([folder], budget)
        assert len(str(section.markup)) + len(section.style) + len(section.script) <= budget
        assert section.left_out
    assert "what is known of each token did not fit" in samples_section([folder], size - 1).left_out[0]
    # The newest step and the first one stay, of those between every other.
    assert re.fullmatch(
        r"Samples: \d of 6 steps and measurements did not fit \(training [2-5](, training [2-5])*\)\.",
        samples_section([folder], size - 14_000).left_out[0],
    )


def test_whole_groups_are_left_out_where_fewer_are_asked_for(folder):
    section = samples_section([folder], 5_000_000, most=6)
    rows = unpacked(section)["rows-0"]
    assert [rows["problem"]["of"].count(group) for group in range(2)] == [3, 3]
    assert section.left_out == (
        "Samples: 36 were left out, whole groups of each step; doubleback report has as many as fit.",
    )


def test_a_file_is_read_once_while_it_stays_the_same(folder, monkeypatch):
    first = samples_section([folder], 5_000_000)
    monkeypatch.setattr("doubleback.recipes.report.samples.encode.StoredLines", None)
    assert samples_section([folder], 5_000_000) == first


def test_a_report_opens_a_step_once_and_parses_no_line_that_it_does_not_show(folder, monkeypatch):
    """The newest step is opened a second time, for the table of its best and worst samples."""
    opened, parsed = Counter(), Counter()

    class Counting(StoredLines):
        def __init__(self, path):
            super().__init__(path)
            opened[path.name] += 1

        def line(self, place):
            parsed["lines"] += 1
            return super().line(place)

    monkeypatch.setattr(encode, "StoredLines", Counting)
    monkeypatch.setattr(extremes, "StoredLines", Counting)
    encode.packed.cache_clear()
    rows = unpacked(samples_section([folder], 5_000_000, most=6))
    assert opened == {**{f"step-{step:05d}.jsonl.gz": 1 for step in range(1, 6)}, "step-00006.jsonl.gz": 2}
    num_shown = sum(len(rows[f"rows-{index}"]["reward"]) for index in range(6))
    assert num_shown == 36
    assert num_shown < parsed["lines"] <= num_shown + 2 * extremes.NUM_SHOWN
    parsed.clear()
    samples_section([folder], 5_000_000, most=6)  # nothing is new
    assert parsed["lines"] <= 2 * extremes.NUM_SHOWN


def test_a_folder_without_samples_has_no_section(tmp_path):
    assert samples_section([tmp_path], 5_000_000) is None


@pytest.mark.parametrize("count", range(9))
def test_steps_are_spread(count):
    order = list(coarse_to_fine(count))
    assert sorted(order) == list(range(count))
    assert order[:3] == [8, 0, 4] or count < 9


@pytest.mark.parametrize(
    ("text", "extracted", "marked", "rule"),
    [
        ("<think> 7 </think> <answer> 7 </answer>", "7", (28, 29), "between the answer tags"),
        ("It is \\boxed{3}. So \\boxed{3}", "3", (27, 28), "in the last box"),
        ("3 and then\n#### 1,234", "1,234", (16, 21), "behind the last ####"),
        ("so 12 and 13", "13", (10, 12), "as the last number"),
        ("7 7", "8", (-1, -1), ""),
        ("7", None, (-1, -1), ""),
    ],
)
def test_where_the_answer_stands_and_how_it_was_found(text, extracted, marked, rule):
    found = find_answer(text, extracted, Style.FLEXIBLE)
    assert ((found.start, found.end), found.rule) == (marked, rule)


def test_places_count_utf16_units_and_a_long_text_loses_its_middle():
    text = Text("a\U0001f600b")
    assert [text.place(characters) for characters in (-1, 0, 1, 2, 3)] == [-1, 0, 1, 3, 4]
    assert not text.is_cut
    cut = Text("a" * MOST_CHARACTERS + "bc")
    assert cut.shown == "a" * 25_000 + "\n[... 2 characters are left out ...]\n" + "a" * 24_998 + "bc"


def test_tokens_that_say_another_text_are_not_shown():
    tokenizer = Tokenizer.from_file(f"{bundled_path('bundled:countdown')}/tokenizer.json")
    ids = tokenizer.encode("7 + 12 = 19", add_special_tokens=False).ids
    assert token_lengths(tokenizer, ids, "7 + 12 = 19") == [1, 2, 3, 2, 3]
    assert token_lengths(tokenizer, [*ids, *ids], "7 + 12 = 19") == [1, 2, 3, 2, 3, 0, 0, 0, 0, 0]
    assert token_lengths(tokenizer, ids, "8 + 12 = 20") == []


def test_signals_of_tokens():
    line = {"sampler_logprobs": [-1.0, -0.25, float("-inf")], "teacher_logprobs": [-0.5, -0.5, -1.0]}
    assert signal_of("logprob", line) == [-1000, -250, None]
    assert signal_of("teacher", line) == [500, -250, None]
    assert signal_of("teacher", {**line, "teacher_logprobs": None}) == []


def test_a_long_completion_is_named_among_what_is_left_out(tmp_path):
    section = samples_section([texts_run(tmp_path / "run", ["x" * 60_000, "y"])], 5_000_000)
    assert section.left_out == ("Samples: the middle of 1 completions of more than 50,000 characters.",)


def test_a_tokenizer_that_is_damaged_costs_the_shading_and_not_the_report(folder, tmp_path):
    copy, base = Path(shutil.copytree(folder, tmp_path / "run")), tmp_path / "base"
    base.mkdir()
    (base / "tokenizer.json").write_text("{", encoding="utf-8")
    recipe = yaml.safe_load((copy / "recipe.yaml").read_text(encoding="utf-8"))
    recipe["model"]["path"] = str(base)
    (copy / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    held = unpacked(samples_section([copy], 5_000_000))
    assert held["texts-0"]["completion"]
    assert "tokens-0" not in held


def test_an_id_that_is_none_has_no_place_in_the_text():
    tokenizer = Tokenizer.from_file(f"{bundled_path('bundled:countdown')}/tokenizer.json")
    assert token_lengths(tokenizer, [5, -1], "x") == []
