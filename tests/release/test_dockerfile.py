"""The Dockerfile, read: no daemon was at hand to build it, here or in CI."""

import re

from support.paths import ROOT

INSTRUCTIONS = {"FROM", "RUN", "ARG", "WORKDIR", "COPY", "ENV", "USER", "ENTRYPOINT", "CMD"}


def instructions():
    """(instruction, what follows) of each, with its continued lines joined."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    joined = "\n".join(line for line in text.splitlines() if not line.startswith("#")).replace("\\\n", " ")
    return [tuple(re.sub(" +", " ", line).split(" ", 1)) for line in joined.splitlines() if line.strip()]


def test_every_line_is_an_instruction_and_the_first_names_a_python_that_the_locks_are_made_for():
    lines = instructions()
    assert {name for name, _ in lines} <= INSTRUCTIONS
    image = re.fullmatch(r"python:(3\.\d+)-slim", lines[0][1])
    assert lines[0][0] == "FROM"
    assert image[1] in ("3.11", "3.12", "3.13")


def test_it_installs_as_everyone_does_and_runs_nothing_as_root():
    lines = instructions()
    installs = [text for name, text in lines if name == "RUN" and "make install" in text]
    assert installs == ['make install DEVICE="$DEVICE"']
    assert [text for name, text in lines if re.search(r"pip|curl|wget|ADD", f"{name} {text}")] == []
    user = lines.index(("USER", "user"))
    assert [name for name, _ in lines[user + 1 :]] == ["WORKDIR", "ENTRYPOINT", "CMD"]
    assert ("RUN", "git config --system --add safe.directory /opt/doubleback") in lines[:user], "no commit for the user"
    assert ("ARG", "DEVICE=cpu") in lines[: lines.index(("RUN", installs[0]))]


def test_what_stays_on_the_machine_is_not_copied():
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {".venv", "runs", "models", "build"} <= set(ignored)
    assert ".git" not in ignored, "a run could not say its commit"
