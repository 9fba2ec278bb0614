"""docs/notebook.ipynb, run from its first cell to its last, in a kernel of its own."""

import re

import pytest
from support.paths import ROOT


@pytest.mark.slow
def test_the_notebook_runs_and_shows_what_it_says(tmp_path, monkeypatch):
    import nbformat  # six seconds, which a run without this test does not spend
    from nbclient import NotebookClient

    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    notebook = nbformat.read(ROOT / "docs" / "notebook.ipynb", as_version=4)
    assert [cell for cell in notebook.cells if cell.get("outputs")] == [], "outputs are made, not kept"
    NotebookClient(notebook, timeout=500, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = {cell.source.split("\n")[0]: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    _, train, plot, samples, reward, measure = shown.values()
    assert re.findall(r"^(\d) (?:None|\d)", text(train), re.MULTILINE) == [*"012345"]
    assert any("image/png" in output.get("data", {}) for output in plot)
    assert "<think>" in text(samples)
    assert "reward/part/brief" in text(reward)
    assert "PairedDifference" in text(measure) or "value=" in text(measure)
    assert (tmp_path / "runs" / "brief" / "metrics.jsonl").exists()


def text(outputs):
    """What a cell printed."""
    return "".join(output.get("text", "") for output in outputs)
