"""The page of an evaluation, and of two: the figures of the terminal, and the texts of what flipped."""

import json
import re
import shlex

import pytest
from support.commands import errors
from support.folders.written import write_evaluation, write_run

from doubleback.eval.compare import compare, load_evaluated
from doubleback.recipes.report.sections.measured import Measured, commands


def page_of(run, *folders, out):
    code, _, err = run("report", *folders, "--out", out)
    assert code == 0, err
    return out.read_text(encoding="utf-8")


def test_one_evaluation(run, tmp_path):
    folder = write_evaluation(tmp_path / "one", 0.5)
    page = page_of(run, folder, out=tmp_path / "page.html")
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    for k in ("1", "4"):
        assert f'<dt>pass@{k}</dt><dd class="value">{summary["pass_at_k"][k]["value"]:.3f}</dd>' in page
    assert "right by strict / flexible extraction" in page
    assert "pass^k, all of k right" in page
    assert '<th scope="row">correct</th>' in page
    assert "doubleback eval bundled:countdown --suite countdown --n 4" in page


def test_two_evaluations_with_their_flips_and_both_texts(run, tmp_path):
    folders = [
        write_evaluation(tmp_path / name, share, seed=seed) for name, share, seed in (("a", 0.2, 1), ("b", 0.8, 2))
    ]
    page = page_of(run, *folders, out=tmp_path / "page.html")
    compared = compare(*map(load_evaluated, folders))
    assert f'B - A, paired</dt><dd class="value">{compared.pass_at_1.difference.value:+.3f}</dd>' in page
    assert compared.flips
    for flip in compared.flips:
        assert f'<th scope="row">{flip.problem}</th><td>{flip.first:.2f}</td><td>{flip.second:.2f}</td>' in page
    assert len(re.findall("<h4>A: ", page)) == len(re.findall("<h4>B: ", page)) == len(compared.flips)
    better = next(flip for flip in compared.flips if flip.second > flip.first)
    assert re.search(r"<h4>B: correct, answer \d+</h4><pre[^>]*>&lt;think&gt;", page), better
    assert "seed differs." in page


def test_what_is_no_pair_is_one_line(run, tmp_path):
    one, other = (write_evaluation(tmp_path / name, 0.5) for name in ("one", "other"))
    trained = write_run(tmp_path / "trained", steps=2)
    cases = [
        ((one, trained), f"error: {trained} is no evaluation, and {one} is one; give runs alone or these alone"),
        ((one, other, one), "error: 3 evaluations are too many for one page; give one, or two to compare"),
        (
            (tmp_path,),
            f"error: {tmp_path} is no run: it holds no recipe.yaml; give the folder that a run was written to",
        ),
    ]
    for folders, line in cases:
        code, _, err = run("report", *folders, "--out", tmp_path / "page.html")
        assert (code, errors(err)) == (2, [line])


@pytest.mark.parametrize("key", ["data_sha256", "max_tokens", "temperature"])
def test_what_cannot_be_compared_is_refused_as_compare_does(run, tmp_path, key):
    one, other = write_evaluation(tmp_path / "one", 0.5), write_evaluation(tmp_path / "other", 0.5, **{key: "x"})
    code, _, err = run("report", one, other)
    assert (code, len(errors(err))) == (2, 1)
    assert key in err


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"thinking": True, "engine": "transformers"}, ["--thinking", "on", "--engine", "transformers"]),
        ({"thinking": False, "engine": "vllm"}, ["--thinking", "off"]),
        ({"thinking": None, "engine": "endpoint", "ban": ["back"]}, ["--ban", "back"]),
    ],
)
def test_the_command_that_measures_again_measures_the_same(tmp_path, asked, words):
    """It left out how the policy was to think, and by what it was sampled."""
    item = Measured("one", load_evaluated(write_evaluation(tmp_path / "one", 0.5, **asked)))
    again = shlex.split(commands([item]).blocks[0].text)
    assert again[:3] == ["doubleback", "eval", "bundled:countdown"]
    assert again[again.index("--prompt") + 2 : -2] == words
    assert again[-2:] == ["--out", "one-again"]
