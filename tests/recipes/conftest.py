"""The command line as a fixture."""

import sys

import pytest

from doubleback.recipes.cli import main


@pytest.fixture
def run(monkeypatch, capfd):
    """Call the program in this process: (exit code, standard output, standard error)."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["doubleback", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return call
