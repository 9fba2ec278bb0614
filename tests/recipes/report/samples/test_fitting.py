"""Which steps of a run that is much longer than a page the page holds, and what is read for that."""

import base64
import gzip
import json
import random
import re
from collections import Counter

import pytest
from support.folders.browsed import write_run

from doubleback.recipes.report.samples import encode
from doubleback.recipes.report.samples.fitting import MOST_MISSES
from doubleback.recipes.report.samples.section import samples_section
from doubleback.recipes.report.stored import StoredLines
from doubleback.rewards.sample_lines import sample_line
from doubleback.rewards.types import Completion, Problem, Score, Verdict

NUM_STEPS = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Every step has problems of its own, which are as long as what is answered, and as hard to pack."""
    rng, problems, steps = random.Random(0), [], {}
    for step in range(1, NUM_STEPS + 1):
        of_step = [Problem(f"p{step}.{number}", rng.randbytes(2000).hex()) for number in range(3)]
        completions = [Completion(rng.randbytes(2000).hex(), (), (), "stop", 0, "a", 0) for _ in of_step]
        score = Score(0.0, Verdict.WRONG, None, {"a": 0.0}, {"a": 0.0}, "")
        pairs = zip(of_step, completions, strict=True)
        steps[step] = [sample_line(problem, 0, completion, score) for problem, completion in pairs]
        problems += of_step
    return write_run(tmp_path_factory.mktemp("long") / "run", steps, problems)


def size_of(section):
    return len(str(section.markup)) + len(section.style) + len(section.script)


def held(section):
    """(steps, problems) that the section holds."""
    header = json.loads(re.search(r'application/json"[^>]*>([^<]*)<', str(section.markup))[1])
    packed = re.search(r'id="samples-problems-0">([^<]*)<', str(section.markup))[1]
    names = json.loads(gzip.decompress(base64.b64decode(packed)))["id"]
    return [file["step"] for file in header["files"]], names


@pytest.mark.parametrize("share", [0.15, 0.4])
def test_as_much_of_a_long_run_is_there_as_fits_and_little_more_is_read(folder, monkeypatch, share):
    whole, opened = samples_section([folder], 10**9), Counter()
    bare = size_of(samples_section([folder], 0))

    class Counting(StoredLines):
        def __init__(self, path):
            super().__init__(path)
            opened[path.name] += 1

    monkeypatch.setattr(encode, "StoredLines", Counting)
    encode.packed.cache_clear()
    budget = bare + round(share * (size_of(whole) - bare))
    section = samples_section([folder], budget)
    steps, names = held(section)
    assert size_of(section) <= budget
    assert share - 0.05 <= len(steps) / NUM_STEPS <= share + 0.02
    assert steps[0] == 1
    assert steps[-1] == NUM_STEPS
    assert {int(name[1:].partition(".")[0]) for name in names} == {*steps}
    assert len(opened) <= len(steps) + MOST_MISSES
    assert section.left_out[0].startswith(
        f"Samples: {NUM_STEPS - len(steps)} of {NUM_STEPS} steps and measurements did"
    )


def test_all_of_it_is_there_where_it_fits(folder):
    section = samples_section([folder], 10**9)
    assert held(section)[0] == list(range(1, NUM_STEPS + 1))
    assert section.left_out == ()
