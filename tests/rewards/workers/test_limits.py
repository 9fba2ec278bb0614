"""What a worker and all that it starts may take together, what it leaves, and how what it prints is shown."""

import os
import subprocess
import sys
import textwrap
from multiprocessing import shared_memory

import pytest
from support.processes import below
from support.rewarding import kept, score, spec

from doubleback.rewards.types import Verdict
from doubleback.rewards.workers.output import MAX_COLUMNS, MAX_LINES, shown
from doubleback.rewards.workers.shared_memory import Ledger, new_ledger
from doubleback.rewards.workers.tree import excess

CHILD = "subprocess.Popen([sys.executable, '-c', {!r}])"
FILLS = "b = bytearray({} << 20); b[::4096] = b'x' * len(b[::4096]); import time; time.sleep(1000)"


@pytest.fixture(scope="module")
def both():
    """A pool with the reward that runs completions, narrow limits, and its keeper."""
    limits = {"memory_mib": 200, "processes": 4, "file_mib": 1, "timeout_seconds": 1000}
    with kept(spec("runs"), **limits) as pool_and_keeper:
        yield pool_and_keeper


def test_children_count_together(both):
    """Each of the two is within the limit, and the worker too: only together they exceed it."""
    pool, keeper = both
    two = "; ".join([CHILD.format(FILLS.format(190))] * 2)
    said = score(pool, "runs", f"import subprocess, sys, time; {two}; time.sleep(1000)")
    assert said.verdict == Verdict.GRADER_ERROR
    assert said.detail.endswith("MiB with its processes and shared memory, more than reward.memory_mib=200")
    assert score(pool, "runs", "right").value == 1.0
    assert len(below(keeper)) == 1


def test_shared_memory_counts(both):
    deed = "import mmap, time; b = mmap.mmap(-1, 300 << 20); [b.write(b'x' * (10 << 20)) for _ in range(30)]"
    said = score(both[0], "runs", f"{deed}; time.sleep(1000)")
    assert said.detail.endswith("more than reward.memory_mib=200")


def test_so_many_processes_and_no_more(both):
    sleeps = "; ".join([CHILD.format("import time; time.sleep(1000)")] * 4)
    said = score(both[0], "runs", f"import subprocess, sys, time; {sleeps}; time.sleep(1000)")
    assert said.verdict == Verdict.GRADER_ERROR
    assert said.detail == "ran 5 processes at once, more than reward.processes=4"


def test_within_the_limits_nobody_is_ended(both):
    """Three children beside the worker, that end by themselves; nothing is exceeded by what does not exist."""
    three = "; ".join(["p.append(subprocess.Popen(['sleep', '0.3']))"] * 3)
    deed = f"import subprocess; p = []; {three}; [each.wait() for each in p]; said = 1.0"
    assert score(both[0], "runs", deed).value == 1.0
    assert excess(2**22 + 1, loaded_kib=0, memory_mib=16, processes=1) is None


def test_files_have_a_largest_size_and_descriptors_a_number(both, tmp_path):
    pool, _ = both
    write = f"f = open({str(tmp_path / 'large')!r}, 'wb', 0); f.write(bytes(1 << 20)); said = 1.0"
    assert score(pool, "runs", write).value == 1.0
    assert score(pool, "runs", f"{write}; f.write(b'x')").detail.startswith("raised OSError: [Errno 27] File too large")
    many = "import os; kept = [os.open('/dev/null', 0) for _ in range(2000)]"
    assert score(pool, "runs", many).detail.startswith("raised OSError: [Errno 24] Too many open files")


NAME = f"doubleback-test-{os.getpid()}"
CREATE = (
    f"from multiprocessing import shared_memory, resource_tracker; s = shared_memory.SharedMemory({NAME!r}, True, 9)"
)
UNTRACK = "; resource_tracker.unregister(s._name, 'shared_memory')"
LEFT = {
    "closed and forgotten": f"{CREATE}{UNTRACK}; s.close()",
    "written as a file": f"open('/dev/shm/{NAME}', 'w').write('x')",
    "by a child": f"import os; pid = os.fork()\nif pid == 0:\n    {CREATE}\n    os._exit(0)\nos.waitpid(pid, 0)",
    "by one that is killed": f"{CREATE}; import os; os.kill(os.getpid(), 9)",
    "by one that takes too long": f"{CREATE}; import time; time.sleep(1000)",
}


@pytest.mark.parametrize("deed", LEFT.values(), ids=LEFT)
def test_what_is_left_in_shared_memory_is_removed(deed):
    foreign = shared_memory.SharedMemory(f"{NAME}-foreign", create=True, size=9)
    try:
        with kept(spec("runs"), timeout_seconds=1.0) as (pool, _):
            write = f"f = open('/dev/shm/{NAME}-foreign', 'r+b', 0); f.write(bytes([7])); said = 1.0"
            assert score(pool, "runs", write).value == 1.0
            score(pool, "runs", deed)
            score(pool, "runs", "right")
            assert not os.path.exists(f"/dev/shm/{NAME}")
            assert foreign.buf[0] == 7
        assert os.path.exists(f"/dev/shm/{NAME}-foreign")
    finally:
        foreign.close()
        foreign.unlink()


def test_what_loading_made_stays_until_the_end():
    ledger = Ledger(new_ledger())
    for name in (f"{NAME}-a", f"{NAME}-b"):
        with open(f"/dev/shm/{name}", "w") as file:
            file.write("x")
        ledger._note(f"/dev/shm/{name}", is_new=True)
        if name.endswith("a"):
            ledger.keep()
    ledger._note("/dev/shm/../outside", is_new=True)
    ledger.remove()
    assert [os.path.exists(f"/dev/shm/{NAME}-{end}") for end in "ab"] == [True, False]
    ledger.close()
    assert not os.path.exists(f"/dev/shm/{NAME}-a")


@pytest.mark.slow
def test_what_a_reward_prints_is_named_harmless_and_not_endless(tmp_path):
    (tmp_path / "loud.py").write_text(
        textwrap.dedent("""
        import os, sys
        print("loading")
        def loud(completions, **columns):
            print("\\x1b]52;c;cm0=\\x1b\\\\\\x1b[2Jhello\\rthere \\u202e", flush=True)
            os.write(2, b"\\xff" + b"x" * 5000 + b"\\n")
            for number in range(1000):
                print(number)
            print("half a line", end="", flush=True)
            os.system("echo from a child >&2")
            return [1.0] * len(completions)
        """),
        encoding="utf-8",
    )
    program = textwrap.dedent(f"""
        from doubleback.rewards import Completion, Problem, load_reward
        components = {{"loud": {{"function": {str(tmp_path / "loud.py") + ":loud"!r}}}}}
        with load_reward({{"components": components}}) as reward:
            for text in "ab":
                reward(Problem("p", "?"), [Completion(text, (1,), (0.0,), "stop", 0, "", 0)])
    """)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    ended = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    lines = [line for line in ended.stderr.splitlines() if "lazy_loader" not in line and "with open(" not in line]
    assert ended.stdout == ""
    assert all(line.startswith("reward.components.loud: ") for line in lines), lines
    assert not set("\x1b\r\u202e") & set(ended.stderr)
    said = [line.removeprefix("reward.components.loud: ") for line in lines]
    assert said[0] == "loading"
    assert r"\x1b]52;c;cm0=\x1b\\x1b[2Jhello\rthere \u202e" in said
    assert max(map(len, said)) <= MAX_COLUMNS + 3
    assert said.count(f"more than {MAX_LINES} lines; the others are not shown") == 2
    assert len(said) == 1 + 2 * (MAX_LINES + 1)


@pytest.mark.slow
def test_lines_are_cut_and_escaped():
    assert shown(b"\x1b[31m\xff\t\xc3\xa9") == "\\x1b[31m\\xff\té"
    assert shown(b"x" * 501) == "x" * 500 + "..."


@pytest.mark.slow
def test_python_files_of_the_current_folder_are_imported_by_nobody(tmp_path):
    """Neither by a library that could use them (sympy), nor by Python as it starts, nor beside one's own reward."""
    for name in ("gmpy2", "flint", "sitecustomize", "usercustomize", "numpy", "antlr4", "secrets", "cloudpickle"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write({name!r} + chr(10))\n")
    (tmp_path / "helper.py").write_text("NUMBER = 1.0\n")
    (tmp_path / "mine.py").write_text(
        "import sympy\nimport helper\n\ndef mine(completions, **columns):\n    return [helper.NUMBER]\n"
    )
    program = textwrap.dedent("""
        import os, sys
        sys.path = [entry for entry in sys.path if os.path.realpath(entry) != os.getcwd()]  # here it may be looked for
        from doubleback.rewards import Completion, Problem, load_reward
        sys.path.insert(0, "")
        config = {"components": {"math": 1.0, "mine": {"function": "mine.py:mine"}}, "judge": "math"}
        with load_reward(config) as reward:
            sampled = Completion("<answer> x+x </answer>", (1,), (0.0,), "stop", 0, "", 0)
            (score,) = reward(Problem("p", "?", {"answer": "2x"}), [sampled])
        print(score.verdict, score.parts["mine"])
    """)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.environ.get("PYTHONPATH", ""), ".", ""])}
    command = [sys.executable, "-P", "-c", program]
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ended.stdout.split() == ["correct", "1.0"], ended.stderr
    ran = (tmp_path / "ran").read_text().split() if (tmp_path / "ran").exists() else []
    # Python itself, as the host was started here, and nobody that it has started.
    assert "sitecustomize" in ran
    assert len(ran) == len(set(ran) & {"sitecustomize", "usercustomize"})


@pytest.mark.slow
def test_a_function_of_a_module_in_the_current_folder_travels_as_it_is(tmp_path):
    """No worker looks for modules there, and needs not."""
    (tmp_path / "deeper.py").write_text("def half():\n    return 0.5\n")
    (tmp_path / "mine.py").write_text(
        "import deeper\n\ndef mine(completions, **columns):\n    return [deeper.half()]\n"
    )
    program = textwrap.dedent("""
        import mine
        from doubleback.rewards import Completion, Problem, load_reward
        with load_reward({"components": {"mine": mine.mine}}) as reward:
            print(reward(Problem("p", "?"), [Completion("a", (1,), (0.0,), "stop", 0, "", 0)])[0].value)
    """)
    (tmp_path / "program.py").write_text(program)
    ended = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True)
    assert ended.stdout.split() == ["0.5"], ended.stderr
