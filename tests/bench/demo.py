"""What `make demo` takes, against the same training in one process: `python tests/bench/demo.py [--steps 60]`.

Both trainings are whole commands, as a user types them: starting, evaluations, pictures and all, the number of threads
left to doubleback. They alternate on an otherwise idle machine. The settings of the demo are those of the Makefile.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.table import Table

from doubleback.eval.show.console import Console

MAKEFILE = Path(__file__).parents[2] / "Makefile"
PHASES = ("rollout", "update", "wait", "sync", "step")


def demo_settings(makefile: str) -> list[str]:
    """What the demo says beside its recipe."""
    return re.search(r"doubleback train countdown(.*)", makefile).group(1).split()


def run(settings: list[str], steps: int) -> dict[str, float]:
    """Seconds of the command, medians over its steps but for the first, and what it has learned."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [sys.executable, "-m", "doubleback.recipes", "train", "countdown", f"steps={steps}", *settings]
        began = time.perf_counter()
        subprocess.run([*command, "--out", out], env=environment, stdout=subprocess.DEVNULL, check=True)
        whole = time.perf_counter() - began
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    steps_seconds = sum(line.get("seconds/step", 0.0) for line in lines)
    phases = {name: statistics.median(line[f"seconds/{name}"] for line in lines[2:]) for name in PHASES}
    return {"whole": whole, "other": whole - steps_seconds, **phases, "pass@1": lines[-1]["eval/test/pass@1"]}


def processor() -> str:
    """As `lscpu` names it, with the cores that may be used."""
    names = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    avx512 = "with" if "avx512f" in flags else "without"
    return f"{names[0] if names else 'unknown'} ({avx512} AVX512), {len(os.sched_getaffinity(0))} cores"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    settings = {"one process": [], "make demo": demo_settings(MAKEFILE.read_text(encoding="utf-8"))}
    results: dict[str, list[dict[str, float]]] = {name: [] for name in settings}
    for _ in range(options.repeats):
        for name, keys in settings.items():
            results[name].append(run(keys, options.steps))
    table = Table(title=f"{processor()}; {options.steps} steps, seconds")
    for column in ("training", "whole", "share", "steps apart", *(f"{name} (median)" for name in PHASES), "pass@1"):
        table.add_column(column, justify="right")
    medians = {
        name: {key: statistics.median(it[key] for it in runs) for key in runs[0]} for name, runs in results.items()
    }
    for name, found in medians.items():
        share = found["whole"] / medians["one process"]["whole"]
        phases = (f"{found[phase]:.2f}" for phase in PHASES)
        table.add_row(
            name, f"{found['whole']:.0f}", f"{share:.2f}", f"{found['other']:.0f}", *phases, f"{found['pass@1']:.3f}"
        )
    Console().print(table)


if __name__ == "__main__":
    main()
