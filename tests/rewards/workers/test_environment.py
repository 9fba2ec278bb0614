"""What a worker sees of the host: a short list of variables, no other secret, no descriptor, no other process."""

import os
import socket
import subprocess
import sys

import pytest
from support.rewarding import kept, score, spec

from doubleback.rewards import Completion, Problem, load_reward
from doubleback.rewards.types import Verdict
from doubleback.rewards.workers import confinement
from doubleback.rewards.workers.environment import PASSED_ON, visible_environment, without_here

SECRETS = ("HF_TOKEN", "WANDB_API_KEY", "OPENAI_API_KEY", "AWS_SESSION_TOKEN", "https_proxy", "PGPASSWORD", "MINE")
HAS_LANDLOCK = confinement._landlock_version() >= confinement.FIRST_WITH_SCOPES
needs_landlock = pytest.mark.skipif(not HAS_LANDLOCK, reason="the kernel has no Landlock with scopes")


@pytest.fixture(scope="module")
def runs():
    """A pool with the reward that runs completions, and its keeper."""
    with kept(spec("runs"), timeout_seconds=1000) as pool_and_keeper:
        yield pool_and_keeper


def test_a_short_list_is_passed_on_and_what_the_recipe_names():
    names = dict.fromkeys((*SECRETS, "PATH", "HOME", "LC_ALL", "OMP_NUM_THREADS"), "x")
    assert set(visible_environment(names)) == {"PATH", "HOME", "LC_ALL", "OMP_NUM_THREADS"}
    assert set(visible_environment(names, named=["MINE"])) - set(visible_environment(names)) == {"MINE"}
    assert len(PASSED_ON) < 50
    assert not [name for name in PASSED_ON if "TOKEN" in name.replace("TOKENIZERS", "") or "KEY" in name]


def test_the_current_folder_is_no_place_for_modules(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    path = ["", ".", str(tmp_path / "here"), str(tmp_path / "link"), "../here", "/usr/lib"]
    assert without_here(path) == ["/usr/lib"]
    assert visible_environment({"PYTHONPATH": os.pathsep.join(path)}) == {"PYTHONPATH": "/usr/lib"}
    assert visible_environment({"PYTHONPATH": "."}) == {}


@needs_landlock
def test_a_worker_sees_no_secret_of_the_host_anywhere(tmp_path):
    """Neither in its environment nor in that of any process above it: /proc is closed to it."""
    program = """
import os
from pathlib import Path
from doubleback.rewards import Completion, Problem, load_reward

def num_seen(completions, **columns):
    seen, pid = list(os.environ.values()), os.getpid()
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
        try:
            seen.append(Path(f"/proc/{pid}/environ").read_text(encoding="utf-8"))
        except OSError:
            continue
    return [float(sum(text.count("secret of") for text in seen))]

for names in ([], ["MINE"]):
    with load_reward({"components": {"num_seen": num_seen}, "environment": names}) as reward:
        (score,) = reward(Problem("p", "?"), [Completion("a", (1,), (0.0,), "stop", 0, "", 0)])
        print(score.value, score.detail)
"""
    environment = {**os.environ, **{name: f"secret of {name}" for name in SECRETS}}
    ended = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["0.0", "1.0"]


def test_descriptors_of_the_host_reach_no_worker(tmp_path):
    """Inherited ones are closed first thing: those of a shell, of a library, of a neighbour."""
    opened = [os.open(tmp_path / str(number), os.O_CREAT | os.O_RDWR) for number in range(20)]
    listener = socket.create_server(("127.0.0.1", 0))
    opened.append(listener.fileno())
    for descriptor in opened:
        os.set_inheritable(descriptor, True)
    links = "[os.readlink(f'/proc/self/fd/{n}') for n in range(200) if os.path.lexists(f'/proc/self/fd/{n}')]"
    show = f"import os; open({str(tmp_path / 'shown')!r}, 'w').write(chr(10).join({links}))"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {show!r}], close_fds=False)"
    with listener, kept(spec("runs"), spec("careful"), timeout_seconds=1000) as (pool, _):
        for deed, num_sockets, num_pipes in ((show, 3, 2), (child, 0, 2)):
            score(pool, "runs", deed)
            shown = (tmp_path / "shown").read_text().splitlines()
            known = ("/dev/null", "socket:", "pipe:", "anon_inode:[eventpoll]", "/proc/", str(tmp_path / "shown"))
            assert [link for link in shown if not link.startswith(known)] == []
            assert sum(link.startswith("socket:") for link in shown) == num_sockets
            assert sum(link.startswith("pipe:") for link in shown) == num_pipes
    for descriptor in opened[:-1]:
        os.close(descriptor)


@needs_landlock
@pytest.mark.parametrize(
    "deed",
    [
        "os.kill(os.getppid(), 9)",
        "os.kill(HOST, 9)",
        "os.readlink(f'/proc/{os.getppid()}/fd/2')",
        "open('/proc/HOST/environ').read()",
        "open('/proc/HOST/mem')",
        "open(f'/proc/{os.getppid()}/mem')",
    ],
)
def test_a_worker_can_neither_end_nor_read_another_process(runs, deed):
    pool, keeper = runs
    tried = score(pool, "runs", f"import os; {deed.replace('HOST', str(os.getpid()))}")
    assert tried.verdict == Verdict.GRADER_ERROR
    assert tried.detail.startswith("raised PermissionError")
    assert os.path.exists(f"/proc/{keeper}")
    assert score(pool, "runs", "right").value == 1.0


@pytest.mark.parametrize("version", [0, confinement.FIRST_WITH_REFER, confinement.FIRST_WITH_SCOPES])
def test_every_landlock_leaves_files_as_they_were(tmp_path, version):
    """In a process of its own, since there is no way back: files are moved between folders, children signalled."""
    if version and not HAS_LANDLOCK:
        pytest.skip("the kernel has no Landlock with scopes")
    (tmp_path / "other").mkdir()
    (pid := os.fork()) or os._exit(_moves_files(tmp_path, version))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _moves_files(folder, version):
    try:
        confinement._give_up(confinement.OVER_OTHERS)
        confined = confinement._restrict(version)
        (folder / "file").write_text("x")
        os.rename(folder / "file", folder / "other" / "file")
        child = os.posix_spawn("/bin/sleep", ["sleep", "1000"], {})
        os.kill(child, 9)
        os.waitpid(child, 0)
        may_read = os.access(f"/proc/{os.getppid()}/mem", os.R_OK)
        try:
            open(f"/proc/{os.getppid()}/environ").close()
        except OSError:
            may_read = False
        # Without Landlock another of the same user is open, unless it may do more than this one.
        return 0 if (confined, may_read) == (version > 0, version == 0 and os.getuid() != 0) else 2
    except BaseException:  # noqa: BLE001 - shown as an exit code
        return 1


def test_files_and_network_are_open_to_a_reward_as_docs_rewards_says(tmp_path):
    """No sandbox is claimed: this holds the page to what it says."""
    (tmp_path / "secret").write_text("mine")
    listener = socket.create_server(("127.0.0.1", 0))
    places = {"file": str(tmp_path / "secret"), "port": listener.getsockname()[1]}

    def reaches(completions, **columns):
        with socket.create_connection(("127.0.0.1", places["port"])) as connection, open(places["file"]) as file:
            return [float(connection.fileno() > 0 and file.read() == "mine")] * len(completions)

    with listener, load_reward({"components": {"reaches": reaches}}) as reward:
        (score,) = reward(Problem("p", "?"), [Completion("a", (1,), (0.0,), "stop", 0, "", 0)])
    assert score.value == 1.0
