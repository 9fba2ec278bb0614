"""What a user adds from outside the package, each by one file: one test for each thing. The pages' own code is run."""

import re
import shlex

from support.paths import ROOT


def blocks(page, language):
    """The code blocks of a page of docs/ in a language."""
    text = (ROOT / "docs" / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def shows_what_it_prints(run, page):
    """Run every command of the page; each line shown below one is a line of its output."""
    shown = [
        pair for block in blocks(page, "console") for pair in re.findall(r"^\$ doubleback (.*)\n([^$]*)", block, re.M)
    ]
    for command, expected in shown:
        _, out, err = run(*shlex.split(command))
        printed = " ".join((out + err).split())
        assert [line for line in expected.splitlines() if " ".join(line.split()) not in printed] == [], printed
    return len(shown)


def test_a_task(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_tasks.py").write_text(blocks("tasks.md", "python")[0])
    (tmp_path / "larger.yaml").write_text(blocks("tasks.md", "yaml")[0])
    assert shows_what_it_prints(run, "tasks.md") == 2
