"""Installed from the wheel, away from the checkout: the docs' first page runs, and nobody outside is spoken to."""

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from support.paths import ROOT

WATCH = """
import json, os, sys

def wrote(*what):
    with open(os.environ["WATCHED"], "a") as file:
        file.write(json.dumps(what) + "\\n")

def watch(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"):
        given = arguments[1:] if event in ("socket.connect", "socket.sendto") else arguments[:1]
        wrote(event, repr(given[0]))

wrote("started", sys.argv[0] if hasattr(sys, "argv") else "")
sys.addaudithook(watch)
"""
"""A sitecustomize, which every Python process of the run loads: what it asks of the network goes into a file."""

ALONE = """
import ctypes, fcntl, os, socket, struct, sys

if ctypes.CDLL(None).unshare(0x40000000) == 0:  # CLONE_NEWNET: a network of its own, with nothing in it but loopback
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
os.execv(sys.argv[1], sys.argv[1:])
"""


OUTER = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HF_", "VLLM_"))}
HERE = ("127.0.0.1", "'::1'", "localhost", repr(socket.gethostname()), "'0.0.0.0'", "None", "('',")
"""Hosts that are this machine, and a name of none."""


def is_outside(what: str) -> bool:
    """Whether an address or a host, as Python shows it, is another machine's; one of the file system is not."""
    return not what.startswith(("'/", "b'")) and not any(host in what for host in HERE)


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The bin of a fresh environment: doubleback from the wheel, what it depends on from this environment."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    where = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    # A path is only a path here: the editable installation of the checkout, a .pth file in it, is not followed.
    Path(where, "others.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return python.parent


@pytest.fixture(scope="module")
def ran(installed, tmp_path_factory):
    """The commands of the docs' first page in an empty folder: (what each printed, what was asked of the network)."""
    folder = tmp_path_factory.mktemp("anywhere")
    (folder / "hook").mkdir()
    (folder / "hook" / "sitecustomize.py").write_text(WATCH, encoding="utf-8")
    settings = {"PYTHONPATH": str(folder / "hook"), "WATCHED": str(folder / "watched"), "HF_HOME": str(folder / "home")}
    page = (ROOT / "docs" / "start" / "demo.md").read_text(encoding="utf-8")
    printed = []
    for command in re.findall(r"^\$ doubleback (.*)$", page, re.MULTILINE):
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                ALONE,
                str(installed / "python"),
                str(installed / "doubleback"),
                *shlex.split(command),
            ],
            cwd=folder,
            env={**OUTER, **settings, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        printed.append(done.stdout)
    lines = (folder / "watched").read_text(encoding="utf-8").splitlines()
    return folder, printed, [tuple(json.loads(line)) for line in lines]


@pytest.mark.slow
def test_what_runs_is_the_wheels(installed, wheel):
    code = "import doubleback.rewards.types as it; print(it.__file__)"
    found = subprocess.run(
        [installed / "python", "-c", code], cwd="/", env=OUTER, capture_output=True, text=True, check=True
    )
    assert Path(found.stdout.strip()).is_relative_to(installed.parent)


@pytest.mark.slow
def test_the_first_page_of_the_docs_runs_from_any_folder(ran):
    folder, printed, _ = ran
    assert len(printed) == 2
    assert "pass@1" in printed[0]
    metrics = [json.loads(line) for line in (folder / "runs/first/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in metrics] == [0, 1, 2]
    environment = json.loads((folder / "runs/first/environment.json").read_text())
    assert environment["commit"] is None  # no checkout, no commit; the hashes of the code are there all the same
    assert set(environment["code"]) == {"rewards", "rl", "eval", "recipes"}


@pytest.mark.slow
def test_a_run_from_local_files_speaks_to_nobody_outside(ran):
    _, _, asked = ran
    assert [what for event, what in asked if event == "started"] != []
    assert [(event, what) for event, what in asked if event != "started" and is_outside(what)] == []


@pytest.mark.parametrize("what", ["'/tmp/socket'", "('127.0.0.1', 5000)", "'localhost'", "None"])
def test_an_address_of_this_machine_is_inside(what):
    assert not is_outside(what)


@pytest.mark.parametrize("what", ["('8.8.8.8', 80)", "'stats.vllm.ai'", "('2001:4860:4860::8888', 80, 0, 0)"])
def test_an_address_of_another_machine_is_outside(what):
    assert is_outside(what)
