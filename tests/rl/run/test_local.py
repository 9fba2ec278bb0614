"""A whole run from local files, seen by Python's audit hooks: it reaches no network, and nothing bypasses what keeps
files whole.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import SMALL_COUNTDOWN

PROGRAM = """
import os, socket, sys
os.environ.pop("HF_HUB_OFFLINE", None)
out, asked, written = sys.argv[1], [], []
CHANGES = ("os.rename", "os.remove", "os.truncate", "os.link", "os.symlink")
CONNECTIONS, NAMES = ("socket.connect", "socket.sendto"), ("socket.getaddrinfo", "socket.gethostbyname")

def files_of(frame):
    while frame is not None:
        yield frame.f_code.co_filename.rpartition("/doubleback/")[2]
        frame = frame.f_back

def hook(event, arguments):
    # A text is the path of a socket of this machine.
    if event in NAMES or (event in CONNECTIONS and not isinstance(arguments[1], (str, bytes))):
        asked.append(f"{event} {arguments[0] if event in NAMES else arguments[1]}")
        raise OSError("there is no network")
    path = str(arguments[0]) if arguments else ""
    if event == "open":
        flags = arguments[2] if isinstance(arguments[2], int) else 0
        if not (set(arguments[1] or "") & set("wax+") or flags & (os.O_WRONLY | os.O_RDWR)):
            return
    elif event not in CHANGES:
        return
    if path.startswith(out) and not ("/." in path[len(out):] and ".tmp" in path):
        code = set(files_of(sys._getframe(1)))
        if not code & {"rl/run/files.py", "rl/run/owner.py"}:
            written.append(f"{event} {path[len(out):]}")

sys.addaudithook(hook)
from doubleback.recipes.commands.cli import main
sys.argv = ["doubleback", "train", "countdown", "--out", *sys.argv[1:]]
try:
    main()
finally:
    import json
    print(json.dumps({"asked": asked, "written": written}))
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What a run asked of the network, and what it wrote around `rl.run.files`."""
    out = tmp_path_factory.mktemp("local") / "run"
    few = ["eval.n=1", "eval.k=[1]", "eval.test_problems=2", "eval.validation_problems=2", "eval.validation_n=1"]
    more = ["tiny=true", "engine.name=transformers", "steps=1", "sync.num_canaries=2", *SMALL_COUNTDOWN, *few]
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(out), *more], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_a_run_from_local_files_asks_nothing_of_the_network(seen):
    assert seen[1]["asked"] == []


@pytest.mark.slow
def test_nothing_is_written_into_a_run_around_what_keeps_files_whole(seen):
    """What is filled under a drawn name becomes whole by its rename."""
    assert seen[1]["written"] == []


@pytest.mark.slow
def test_the_files_of_a_run_are_the_users_alone(seen):
    others = [path for path in [seen[0], *Path(seen[0]).rglob("*")] if path.stat().st_mode & 0o077]
    assert others == []
