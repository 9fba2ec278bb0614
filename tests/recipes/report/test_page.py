"""One file, with what a run's folder says in it, that asks nobody for anything."""

import re

import pytest
from support.folders.written import write_run


@pytest.mark.slow
def test_the_page_of_a_run_has_its_figures_and_asks_nobody(run, tmp_path):
    folder = write_run(tmp_path / "first")
    code, out, err = run("report", folder)
    assert (code, out) == (0, f"report  {folder / 'report.html'}\n"), err
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Finished at step 4 of 4." in page
    assert "pass@1 before, step 0" in page
    assert re.search(r"<dt>after - before, paired</dt><dd class=\"value\">[+-]0\.\d{3}</dd>", page)
    assert "default-src &#39;none&#39;" in page
    assert re.findall(r"(?:src|href)=\"(?!#|data:,\")[^\"]*\"", page) == []
    assert "style=" not in page.partition("</style>")[2]


def test_a_folder_without_a_run_is_one_line(run, tmp_path):
    code, _, err = run("report", tmp_path)
    assert (code, len(err.splitlines())) == (2, 1)
    assert "is no run" in err
