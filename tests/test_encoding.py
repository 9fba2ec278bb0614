"""Everything is read and written as UTF-8, whatever the locale of the machine says."""

import ast
import json
import os
import subprocess
import sys

import pytest
from support.paths import ROOT

READS_TEXT = {"open": 3, "read_text": 0, "write_text": 1}
"""Method or function -> the place of `encoding` among its arguments, where it has one by place."""
LATIN = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONWARNDEFAULTENCODING": "1"}


def without_encoding(path):
    """The lines of a file that open text without saying in which encoding."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        is_os = isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") in ("os", "gzip")
        modes = [value.value for value in node.args if isinstance(value, ast.Constant) and isinstance(value.value, str)]
        is_os = is_os or (name == "read_text" and "distribution" in ast.dump(node.func))  # metadata's, which is UTF-8
        is_os = is_os or getattr(getattr(node.func, "value", None), "id", "") == "tarfile"
        is_binary = name == "open" and any("b" in mode for mode in modes)
        if name in READS_TEXT and not is_os and not is_binary and "encoding" not in {it.arg for it in node.keywords}:
            yield f"{path.relative_to(ROOT)}:{node.lineno}"


def test_every_text_file_is_opened_with_its_encoding():
    files = [path for layer in ("rewards", "rl", "eval", "recipes", "scripts") for path in (ROOT / layer).rglob("*.py")]
    assert len(files) > 100
    assert [line for path in files for line in without_encoding(path)] == []


@pytest.mark.slow
def test_the_command_line_reads_and_writes_utf_8_where_the_locale_is_another(tmp_path):
    """What a terminal of another encoding has no character for is escaped."""
    rows = tmp_path / "zeilen.jsonl"
    row = {
        "completion": "<think> 3 \u00d7 4 \u2192 12 </think> <answer> 12 </answer>",
        "answer": "12",
        "question": "\u00dcber?",
    }
    rows.write_bytes((json.dumps(row, ensure_ascii=False) + "\n").encode())
    command = [sys.executable, "-m", "doubleback.recipes", "score", str(rows), "--reward", "format"]
    done = subprocess.run(command, env={**os.environ, **LATIN}, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert rb"\u2192" in done.stdout
    scored = json.loads((tmp_path / "zeilen.scored.jsonl").read_bytes())
    assert scored["completion"] == row["completion"]
