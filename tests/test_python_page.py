"""docs/python.md, run from its first line to its last, as a notebook would."""

import re

import pytest
from support.paths import ROOT

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page):
    return BLOCK.findall((ROOT / page).read_text())


@pytest.mark.slow
def test_the_page_runs_and_says_what_is_so(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    names = {}
    training, tables, rows, functions = blocks("docs/python.md")
    exec(training, names)
    assert [line.split()[0] for line in capfd.readouterr().out.splitlines() if re.match(r"\d None|\d 0\.", line)] == [
        *"012345"
    ]
    before, after, difference = names["before"], names["after"], names["compare"](names["before"], names["after"])
    assert difference.num_problems == before.summary["num_problems"] == after.summary["num_problems"] == 40
    exec(tables, names)
    metrics, rollouts = names["metrics"], names["rollouts"]
    assert metrics["step"].tolist() == [0, 1, 2, 3, 4, 5]
    assert metrics["reward/mean"][3] == pytest.approx(rollouts["score"].mean(), abs=1e-12)
    assert {row["brief"] for row in rollouts["parts"]} <= {0.0, 1.0}
    exec(rows, names)
    problems = {row["problem"] for row in names["run"].rollouts().to_pylist()}
    assert len(problems) == names["recipe"].rollout.prompts_per_step == 8
    exec(functions, names)
    assert names["advantages"] == pytest.approx([1.0, -1 / 3, -1 / 3, -1 / 3])
    assert names["loss_BT"].tolist() == [pytest.approx([-1.28, -1.0])]
    assert names["weights_B"] == pytest.approx([1 / 14] * 4)


def test_the_readme_shows_the_beginning_of_the_page():
    assert blocks("README.md") == blocks("docs/python.md")[:1]
