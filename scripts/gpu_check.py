"""Everything that only an NVIDIA GPU can show, in one go: `make gpu-check`. Writes gpu-check/check.json and table.md.

    python scripts/gpu_check.py [--dry-run] [--out FOLDER] [--packed ARCHIVE]

Parts run one after the other, each in a process of its own with a deadline that is named where it passes, and the
whole ends after ten minutes. Each row is measured (what there is to measure stands behind it), failed or skipped, both
with a reason; the exit code is 1 where any failed. --dry-run does the same without a GPU: what needs none runs on tiny
models, and the rest is skipped. --packed: a tar archive of packages (of site-packages) that is unpacked and put
first, for a machine without a package registry. Standard library alone: what is missing is a row, not a traceback.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ALL_SECONDS = 600
UNHURRIED = 3600
"""Of a dry run, which a busy processor must not fail."""
NO_GPU = "needs an NVIDIA GPU"
REASON_LENGTH = 300


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    outcome: str
    """measured, failed or skipped."""
    reason: str = ""
    """Of what failed or was skipped."""
    seconds: float = 0.0
    figures: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """One process: tests, whose report names its rows, or a program that prints a line of JSON for each."""

    name: str
    seconds: int
    """Its deadline."""
    tests: tuple[str, ...] = ()
    program: tuple[str, ...] = ()


GPU_TESTS = ("tests/gpu/test_kernels.py", "tests/gpu/test_engines.py")
STEPS = "tests/gpu/steps.py"
MODEL = "model"
"""In the folder of the results, 14 GB, until all is done."""
WITH_GPU = (
    Part("experts and update", 90, tests=GPU_TESTS[:1]),
    Part("engines", 250, tests=GPU_TESTS[1:]),
    Part("steps, doubleback", 150, program=(STEPS, "doubleback", "--model", MODEL)),
    Part("steps, trl", 110, program=(STEPS, "trl", "--model", MODEL)),
)
WITHOUT = (
    Part(
        "tests",
        UNHURRIED,
        tests=(
            *GPU_TESTS,
            "tests/gpu/test_branches.py::test_experts_in_one_kernel_compute_what_they_compute_one_by_one",
            "tests/rl/policy/test_head.py::test_both_sides_compute_it[experts-vllm]",
            "tests/rl/engines/test_contract.py::test_adapter_arrives_and_leaves_the_base_alone[vllm]",
        ),
    ),
    Part("steps", UNHURRIED, program=(STEPS, "doubleback", "trl", "--tiny")),
)
"""In a dry run: the same tests, which skip themselves, those of the same things that need no GPU, and tiny steps."""


def environment(packages: Path | None) -> dict[str, str]:
    """Of every part: the packed packages first, ours from this checkout, pinned threads."""
    ours = [str(ROOT / folder) for folder in (".links", "tests", "tests/bench")]
    paths = [*([str(packages)] if packages else []), *ours]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def run(command: Sequence[str], seconds: float, variables: dict[str, str], log: Path) -> str:
    """What went wrong, in words; nothing if it ended well. The whole of what it said is in `log`."""
    with log.open("w", encoding="utf-8") as said:
        process = subprocess.Popen(
            command, cwd=ROOT, env=variables, stdout=said, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return f"was not done after {seconds:.0f} s"
        finally:  # Ctrl-C too: whatever it started ends with it
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return "" if code == 0 else f"exit code {code}: {last_line(log)}"


def last_line(log: Path) -> str:
    """What a process said last."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1][:REASON_LENGTH] if lines else "it said nothing"


def rows_of(part: Part, seconds: float, variables: dict[str, str], folder: Path) -> list[Row]:
    """The rows of a part that is run within `seconds`; one that failed, where it left none."""
    stem = part.name.replace(", ", "-").replace(" ", "-")
    log, report, started = folder / f"{stem}.log", folder / f"{stem}.jsonl", time.monotonic()
    report.unlink(missing_ok=True)
    command = [sys.executable, *(str(folder / MODEL) if word == MODEL else word for word in part.program)]
    if part.tests:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "gpu.rows", *part.tests]
    wrong = run(command, min(seconds, part.seconds), {**variables, "GPU_CHECK_ROWS": str(report)}, log)
    taken = time.monotonic() - started
    rows = list(reported(report, wrong) if part.tests else printed(part, log, taken))
    if wrong and not any(row.outcome == "failed" for row in rows):
        rows.append(Row(part.name, "failed", wrong, taken))
    return rows or [Row(part.name, "failed", "it ended well and reported nothing", taken)]


def reported(report: Path, wrong: str) -> Iterator[Row]:
    """A row for each test that was planned, as `tests/gpu/rows.py` writes them; none where there is no report.

    A test that had begun and has no row has failed of what went `wrong`, and one that had not begun with it.
    """
    if not report.is_file():
        return
    lines = [json.loads(line) for line in report.read_text(encoding="utf-8").splitlines()]
    rows = {line["name"]: Row(**{**line, "reason": line["reason"][:REASON_LENGTH]}) for line in lines if "name" in line}
    begun = {line["started"] for line in lines if "started" in line}
    for name in lines[0]["planned"]:
        yield rows.get(name) or Row(name, "failed", wrong if name in begun else f"not begun: {wrong}")


def printed(part: Part, log: Path, seconds: float) -> Iterator[Row]:
    """A row for each line of JSON that a program printed."""
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("{"):
            figures = json.loads(line)
            name = f"{part.name.split(',')[0]}, {figures.pop('trainer')}"
            yield Row(name, "measured", "", seconds, {key: round(value, 3) for key, value in figures.items()})


def the_device(variables: dict[str, str]) -> Row:
    """The machine: what the driver and the packages say of themselves, asked in a process that may fail."""
    program = (
        "import json, importlib.metadata as m, torch\n"
        "found = {p: m.version(p) for p in ('torch', 'transformers', 'vllm', 'triton') if p in "
        "{d.name for d in m.distributions()}}\n"
        "found['CUDA'] = torch.version.cuda\n"
        "for i in range(torch.cuda.device_count()):\n"
        "    it = torch.cuda.get_device_properties(i)\n"
        "    found[f'GPU {i}'] = f'{it.name}, {it.total_memory >> 30} GiB'\n"
        "print(json.dumps(found))"
    )
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], env=variables, capture_output=True, encoding="utf-8")
    seconds = time.monotonic() - started
    if done.returncode:
        return Row("the machine", "failed", done.stderr.strip().splitlines()[-1][:REASON_LENGTH], seconds)
    found = json.loads(done.stdout.splitlines()[-1])
    if "GPU 0" in found:
        return Row("the machine", "measured", "", seconds, found)
    return Row("the machine", "skipped", NO_GPU, seconds, found)


def check(parts: Sequence[Part], seconds: float, variables: dict[str, str], folder: Path) -> Iterator[Row]:
    """The rows, as they come; a part that would begin when all `seconds` are over has failed."""
    end = time.monotonic() + seconds
    for part in parts:
        left = end - time.monotonic()
        if left <= 0:
            yield Row(part.name, "failed", f"the {seconds:.0f} s for all parts were over before it")
        else:
            yield from rows_of(part, left, variables, folder)


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown."""
    lines = ["| check | outcome | s | figures, or why not |", "|---|---|---|---|"]
    for row in rows:
        figures = "; ".join(f"{name} {value}" for name, value in row.figures.items())
        lines.append(f"| {row.name} | {row.outcome} | {row.seconds:.0f} | {row.reason or figures} |".replace("\n", " "))
    return "\n".join(lines)


def main() -> int:
    """Run all of it; 1 where any row failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--out", type=Path, default=ROOT / "gpu-check")
    parser.add_argument("--packed", type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    packages = None
    if options.packed:
        packages = options.out.resolve() / "packages"
        shutil.unpack_archive(options.packed, packages, filter="data")
    variables = environment(packages) | ({"CUDA_VISIBLE_DEVICES": ""} if options.dry_run else {})
    machine = the_device(variables)
    has_gpu = machine.outcome == "measured"
    if not has_gpu and not options.dry_run:
        machine = Row("the machine", "failed", machine.reason, machine.seconds, machine.figures)
    rows = [machine]
    if machine.outcome != "failed":
        parts, seconds = (WITH_GPU, ALL_SECONDS) if has_gpu else (WITHOUT, 2 * UNHURRIED)
        rows += check(parts, seconds, variables, options.out.resolve())
    shutil.rmtree(options.out / MODEL, ignore_errors=True)
    result = {"is_dry_run": not has_gpu, "rows": [asdict(row) for row in rows]}
    (options.out / "check.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (options.out / "table.md").write_text(table(rows) + "\n", encoding="utf-8")
    print(table(rows))
    return int(any(row.outcome == "failed" for row in rows))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
