"""scripts/install.sh, with stand-ins for what it meets: the interpreters, nvidia-smi, uname and pip's sources.

The stand-in for pip lies in the .venv of a copy of the checkout and fails in the words of the real one.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.paths import ROOT

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
INDEX = "https://download.pytorch.org/whl/cpu"

FAKE_PIP = """
import json, os, pathlib, sys
folder = pathlib.Path(__file__).parent
calls = json.loads((folder / "calls.json").read_text())
calls.append({"args": sys.argv[1:], "writes_bytecode": not sys.dont_write_bytecode})
(folder / "calls.json").write_text(json.dumps(calls))
for rule in json.loads((folder / "failures.json").read_text()):
    if rule["when"] in sys.argv and rule["unless"] not in sys.argv:
        print(rule["says"])
        raise SystemExit(1)
"""

MISSING_WHEEL = """\
ERROR: Could not find a version that satisfies the requirement torch==2.13.0+cpu (from versions: 2.12.0, 2.13.0)
ERROR: No matching distribution found for torch==2.13.0+cpu"""

UNREACHABLE = """\
WARNING: Retrying (Retry(total=0, connect=None, read=None)) after connection broken by 'NewConnectionError'
ERROR: Could not find a version that satisfies the requirement torch==2.13.0+cpu (from versions: none)
ERROR: No matching distribution found for torch==2.13.0+cpu"""


@dataclass(frozen=True, slots=True)
class Checkout:
    """A copy of what the install reads, with its own PATH in front."""

    root: Path
    bin: Path
    env: dict[str, str] = field(default_factory=dict)

    def command(self, name: str, script: str) -> None:
        """Puts an executable shell script before everything else on PATH."""
        (self.bin / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.bin / name).chmod(0o755)

    def install(self, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", self.root / "scripts/install.sh", *args],
            cwd=self.root.parent,
            env=self.env | env,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )

    def plan(self, **env: str) -> str:
        planned = self.install("--plan", **env)
        assert planned.returncode == 0, planned.stderr
        return planned.stdout

    @property
    def pip(self) -> Path:
        return self.root / f".venv/lib/python{VERSION}/site-packages/pip"

    def pip_calls(self) -> list[list[str]]:
        return [call["args"] for call in json.loads((self.pip / "calls.json").read_text())]

    def fail_pip(self, when: str, says: str, unless: str = "") -> None:
        """From now on pip fails with these words if one argument is present and the other is not."""
        (self.pip / "failures.json").write_text(json.dumps([{"when": when, "says": says, "unless": unless}]))


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    root = tmp_path / "a checkout"
    locks = ("requirements/cpu.lock", "requirements/cuda.lock", "requirements/uv.lock")
    for name in ("pyproject.toml", *locks, "scripts/install.sh"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, root / name)
    (tmp_path / "bin").mkdir()
    outer = {name: value for name, value in os.environ.items() if name not in {"PYTHON", "DEVICE"}}
    checkout = Checkout(root, tmp_path / "bin", outer | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"})
    checkout.command("nvidia-smi", "exit 127")
    checkout.command("uname", "test $1 = -s && echo Linux || echo x86_64")
    checkout.command("python3", f'exec {sys.executable} "$@"')
    return checkout


@pytest.fixture
def checkout_with_venv(checkout: Checkout) -> Checkout:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", checkout.root / ".venv"], check=True)
    checkout.pip.mkdir()
    (checkout.pip / "__main__.py").write_text(FAKE_PIP)
    (checkout.pip / "calls.json").write_text("[]")
    (checkout.pip / "failures.json").write_text("[]")
    return checkout


# ---- which Python


def test_takes_the_first_interpreter_that_serves(checkout: Checkout) -> None:
    checkout.command("python3", "echo 3.9")
    checkout.command("python3.13", "exit 127")  # a shim for a version that is not there
    checkout.command("python3.12", "echo 3.12")
    assert checkout.plan().splitlines()[0] == "python3.12 -m venv --clear .venv"


@pytest.mark.parametrize("unsuitable", ["3.10", "3.14", "2.7"])
def test_says_which_versions_serve_when_none_is_found(checkout: Checkout, unsuitable: str) -> None:
    for name in ("python3", "python3.13", "python3.12", "python3.11"):
        checkout.command(name, f"echo {unsuitable}")
    refused = checkout.install()
    assert refused.returncode == 2
    assert refused.stderr == (
        f"doubleback: Python 3.11 to 3.13 is needed; tried python3 ({unsuitable}), python3.13 ({unsuitable}), "
        f"python3.12 ({unsuitable}), python3.11 ({unsuitable}). "
        "Point at one with: make install PYTHON=python3.12\n"
    )
    assert not (checkout.root / ".venv").exists()


def test_looks_nowhere_else_when_pointed_at_an_interpreter(checkout: Checkout) -> None:
    checkout.command("python3.10", "echo 3.10")
    refused = checkout.install(PYTHON="python3.10")
    assert refused.returncode == 2
    assert "tried python3.10 (3.10)." in refused.stderr


def test_another_python_than_that_of_the_venv_makes_it_anew(checkout_with_venv: Checkout) -> None:
    assert "venv --clear" not in checkout_with_venv.plan()
    checkout_with_venv.command("python3", "echo 3.9")  # not asked: the one behind .venv serves
    assert "venv --clear" not in checkout_with_venv.plan()
    checkout_with_venv.command("other", "echo 3.13" if VERSION != "3.13" else "echo 3.12")
    assert checkout_with_venv.plan(PYTHON="other").startswith("other -m venv --clear .venv\n")


@pytest.mark.parametrize("system", ["Darwin arm64", "MINGW64_NT-10.0 x86_64", "Linux riscv64"])
def test_unsupported_platform_is_named_in_one_line(checkout: Checkout, system: str) -> None:
    kernel, machine = system.split()
    checkout.command("uname", f"test $1 = -s && echo {kernel} || echo {machine}")
    refused = checkout.install()
    assert refused.returncode == 2
    assert f"this is {kernel} on {machine};" in refused.stderr
    assert refused.stderr.count("\n") == 1


# ---- which device

HAS_GPU = "echo 'GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-0)'"


@pytest.mark.parametrize(
    ("nvidia_smi", "device", "is_cuda"),
    [
        ("exit 127", "", False),
        ("echo 'NVIDIA-SMI has failed'; exit 9", "", False),
        ("echo 'No devices found.'", "", False),
        (HAS_GPU, "", True),
        (HAS_GPU, "cpu", False),
        ("exit 127", "cuda", True),
    ],
)
def test_device_is_the_given_one_or_what_nvidia_smi_lists(
    checkout: Checkout, nvidia_smi: str, device: str, is_cuda: bool
) -> None:
    checkout.command("nvidia-smi", nvidia_smi)
    plan = checkout.plan(DEVICE=device).splitlines()[1:]
    locked = "pip install --no-deps --only-binary :all: --require-hashes -r"
    ourselves = "pip install --no-deps --no-index --no-build-isolation -e ."
    if is_cuda:
        assert plan == [f"{locked} requirements/cuda.lock", ourselves]
    else:
        assert plan == [f"{locked} .venv/torch.lock", f"{locked} requirements/cpu.lock", ourselves]


def test_unknown_device_is_refused(checkout: Checkout) -> None:
    refused = checkout.install(DEVICE="tpu")
    assert (refused.returncode, refused.stderr) == (2, "doubleback: DEVICE=tpu is neither cpu nor cuda.\n")


def test_device_of_an_installed_venv_stays_until_another_is_named(checkout_with_venv: Checkout) -> None:
    assert checkout_with_venv.install(DEVICE="cpu").returncode == 0
    checkout_with_venv.command("nvidia-smi", HAS_GPU)
    assert "up to date (cpu" in checkout_with_venv.plan()
    # torch==2.13.0+cpu would pass for torch==2.13.0: nothing of the other device may stay.
    assert (
        "venv --clear .venv\npip install --no-deps --only-binary :all: --require-hashes -r requirements/cuda"
        in checkout_with_venv.plan(DEVICE="cuda")
    )


# ---- pip, on the first try and the second


@pytest.mark.slow
def test_installs_once_and_again_only_after_a_change(checkout_with_venv: Checkout) -> None:
    first = checkout_with_venv.install()
    assert first.returncode == 0, first.stderr
    assert len(checkout_with_venv.pip_calls()) == 3
    again = checkout_with_venv.install()
    assert again.stdout == f"doubleback: .venv is up to date (cpu, Python {VERSION})\n"
    assert len(checkout_with_venv.pip_calls()) == 3
    for other in ("cuda", "uv"):  # of another device, and of the tools that make locks
        with (checkout_with_venv.root / f"requirements/{other}.lock").open("a") as lock:
            lock.write("six==1.17.0\n")
    assert checkout_with_venv.install().stdout == again.stdout
    with (checkout_with_venv.root / "requirements/cpu.lock").open("a") as lock:
        lock.write("six==1.17.0\n")
    assert checkout_with_venv.install().returncode == 0
    assert len(checkout_with_venv.pip_calls()) == 6


def test_torch_goes_first_with_the_hashes_of_the_lock(checkout_with_venv: Checkout) -> None:
    assert checkout_with_venv.install().returncode == 0
    first = (checkout_with_venv.root / ".venv/torch.lock").read_text()
    assert first.startswith("torch==2.13.0+cpu \\\n    --hash=sha256:")
    assert first in (checkout_with_venv.root / "requirements/cpu.lock").read_text()
    assert {line.split(":")[0] for line in first.splitlines()[1:]} == {"    --hash=sha256"}


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_every_package_from_outside_is_installed_by_its_hash(checkout: Checkout, device: str) -> None:
    *outside, ourselves = checkout.plan(DEVICE=device).splitlines()[1:]
    assert [line for line in outside if "--require-hashes" not in line or "--no-deps" not in line] == []
    assert "--no-index" in ourselves


def test_a_moved_checkout_is_installed_anew(checkout_with_venv: Checkout) -> None:
    assert checkout_with_venv.install().returncode == 0
    moved = Checkout(checkout_with_venv.root.with_name("moved"), checkout_with_venv.bin, checkout_with_venv.env)
    checkout_with_venv.root.rename(moved.root)
    assert "venv --clear .venv\n" in moved.plan()


def test_bytecode_is_compiled_whatever_the_shell_says(checkout_with_venv: Checkout) -> None:
    assert checkout_with_venv.install(PYTHONDONTWRITEBYTECODE="1", PIP_NO_COMPILE="1").returncode == 0
    calls = json.loads((checkout_with_venv.pip / "calls.json").read_text())
    assert [("--compile" in call["args"], call["writes_bytecode"]) for call in calls] == [(True, True)] * 3


def test_second_try_goes_to_the_pytorch_index_for_torch_alone(checkout_with_venv: Checkout) -> None:
    checkout_with_venv.fail_pip(when=".venv/torch.lock", unless=INDEX, says=MISSING_WHEEL)
    installed = checkout_with_venv.install()
    assert installed.returncode == 0, installed.stderr
    assert [line for line in installed.stdout.splitlines() if INDEX in line] == [
        f"doubleback: pip's sources have no torch==2.13.0+cpu; trying again with PyTorch's own CPU index, {INDEX}"
    ]
    assert [INDEX in call for call in checkout_with_venv.pip_calls()] == [False, True, False, False]


def test_second_try_that_fails_says_so(checkout_with_venv: Checkout) -> None:
    checkout_with_venv.fail_pip(when=".venv/torch.lock", says=MISSING_WHEEL)
    failed = checkout_with_venv.install()
    assert failed.returncode == 2
    assert f"torch==2.13.0+cpu for Python {VERSION} was not to be had from {INDEX} either" in failed.stderr
    assert len(checkout_with_venv.pip_calls()) == 2


def test_unreachable_sources_are_no_missing_wheel(checkout_with_venv: Checkout) -> None:
    checkout_with_venv.fail_pip(when=".venv/torch.lock", says=UNREACHABLE)
    failed = checkout_with_venv.install()
    assert failed.returncode == 2
    assert INDEX not in failed.stdout + failed.stderr
    assert len(checkout_with_venv.pip_calls()) == 1


@pytest.mark.parametrize("step", [".venv/torch.lock", "requirements/cpu.lock", "--no-build-isolation"])
def test_other_failures_show_pips_last_lines_and_one_sentence(checkout_with_venv: Checkout, step: str) -> None:
    says = "\n".join([*(f"line {i}" for i in range(40)), "ERROR: [Errno 28] No space left on device"])
    checkout_with_venv.fail_pip(when=step, says=says)
    failed = checkout_with_venv.install()
    assert failed.returncode == 2
    *shown, sentence = failed.stderr.splitlines()
    assert shown == says.splitlines()[-15:]
    assert sentence.startswith("doubleback: pip failed, its last lines are above and all of them in .venv/install.log.")
    assert INDEX not in failed.stdout + failed.stderr


@pytest.mark.slow
def test_a_failed_install_is_never_up_to_date(checkout_with_venv: Checkout) -> None:
    assert checkout_with_venv.install().returncode == 0
    lock = checkout_with_venv.root / "requirements/cpu.lock"
    before = lock.read_text()
    lock.write_text(before + "six==1.17.0\n")
    checkout_with_venv.fail_pip(when="requirements/cpu.lock", says="ERROR: half of it is installed")
    assert checkout_with_venv.install().returncode == 2
    lock.write_text(before)
    checkout_with_venv.fail_pip(when="nothing", says="")
    assert checkout_with_venv.install().stdout.endswith("installed; try: make demo\n")
