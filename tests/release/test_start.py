"""The docs' pages for the first ten minutes: own data, own reward. (The demo's page runs from the wheel.)"""

import json
import re
import shlex

import pytest
from support.paths import ROOT

FILES = {"data": {"json": "questions.jsonl", "yaml": "mine.yaml"}, "reward": {"python": "mine.py"}}
"""Page -> language of a block -> the file that the page says it stands in."""


def text(page):
    return (ROOT / "docs" / "start" / f"{page}.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_pages_run_from_the_first_command_to_the_last(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    printed = []
    for page, files in FILES.items():
        for language, name in files.items():
            assert f"In `{name}`" in text(page)
            (block,) = re.findall(rf"^```{language}\n(.*?)^```$", text(page), re.MULTILINE | re.DOTALL)
            (tmp_path / name).write_text(block, encoding="utf-8")
        for command in re.findall(r"^\$ doubleback (.*)$", text(page), re.MULTILINE):
            code, out, err = run(*shlex.split(command))
            assert code == 0, (command, out, err)
            printed.append(" ".join(out.split()))
    checked, _, tried, _, compared = printed
    assert "questions.jsonl" in checked or "golds" in checked
    assert "hangs and crashes" in tried
    assert "pass@1" in compared
    rows = [json.loads(line) for line in (tmp_path / "runs/shown/metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [0, 1, 2]
    assert all(0 <= row["reward/part/shows_work"] <= 1 for row in rows[1:])
