"""What a fixed set of short runs computes, written down, so that a change which must not alter results can show it.

    python tests/bench/recordings.py before.json            # on the code before the change
    python tests/bench/recordings.py after.json --against before.json

Metrics (times aside), rollouts, evaluations and adapters are kept as they are, not as hashes: a difference is shown by
its place and both values. Bits depend on the processor and on the number of threads (one here), so recordings of two
machines cannot be compared. About five minutes.
"""

import argparse
import gzip
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

SMALL = (
    *("rollout.prompts_per_step=4", "sampling.group_size=4", "eval.validation_problems=8", "eval.validation_n=2"),
    *("eval.test_problems=8", "eval.n=4", "eval.k=[1,4]", "checkpoint.every=1", "checkpoint.keep=9", "steps=2"),
)
FULL = ("steps=3", "eval.validation_problems=16", "eval.test_problems=32", "eval.n=4", "eval.k=[1,4]", "eval.every=1")
RUNS: dict[str, tuple[str, ...]] = {
    "countdown": ("countdown", *FULL),
    "ahead": ("countdown", *FULL, "rollout.ahead=true", "checkpoint.every=2"),
    "kl_in_reward": ("countdown", *SMALL, "algorithm.preset=rloo", "algorithm.kl_coef=0.05"),
    "math": (
        "gsm8k",
        *SMALL,
        "model=olmoe-1b-7b",
        "tiny=true",
        "sampling.max_tokens=280",
        "model.max_length=1024",
        "engine.kv_cache_mib=256",
    ),
    "dapo": ("countdown", *SMALL, "algorithm.preset=dapo", "algorithm.mask_truncated=true"),
    "sapo": ("countdown", *SMALL, "algorithm.preset=sapo", "algorithm.updates_per_batch=2"),
    "gspo": ("countdown", *SMALL, "algorithm.preset=gspo", "algorithm.entropy_coef=0.01", "algorithm.kl_coef=0.02"),
    "cispo": ("countdown", *SMALL, "algorithm.preset=cispo", "optim.share_prompts=false"),
    "padded": ("countdown", *SMALL, "optim.pack=false", "optim.microbatch_tokens=600", "algorithm.routing_replay=true"),
    "reference_engine": ("countdown", *SMALL, "engine.name=transformers", "algorithm.preset=icepop"),
    "trl": ("countdown", *SMALL, "trainer=trl"),
}
"""Name -> recipe and overrides."""
SAMPLE_KEYS = (
    *("step", "problem", "sample", "seed", "completion", "token_ids", "sampler_logprobs", "finish_reason"),
    *("policy_version", "adapter_hash", "score", "verdict", "extracted", "parts", "weighted", "advantage"),
)
TIMED = ("seconds/", "speed/", "fleet/")
QUESTION = "Ann has {} beads and buys {} more. How many has she?"


def main() -> None:
    """Run everything and write the recording; compare it where another one is given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--against", type=Path, help="A recording of other code, to be compared with.")
    parser.add_argument("--only", nargs="*", help="Names of runs; all by default.")
    options = parser.parse_args()
    with TemporaryDirectory(prefix="doubleback-recordings-") as folder:
        recording = record(Path(folder), options.only or [*RUNS, "evaluation"])
    options.out.write_text(json.dumps(recording, indent=1, sort_keys=True))
    if options.against is not None:
        sys.exit(show_differences(json.loads(options.against.read_text()), recording))


def record(folder: Path, names: list[str]) -> dict[str, Any]:
    """Name -> what that run wrote, in a form that does not depend on how it is laid out on disk."""
    for split, numbers in (("train", range(1, 40)), ("test", range(40, 56))):
        rows = [{"question": QUESTION.format(n, n + 1), "answer": f"...\n#### {2 * n + 1}"} for n in numbers]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recording = {}
    for name, (recipe, *overrides) in RUNS.items():
        if name in names:
            data = [f"task.{split}={folder / f'{split}.jsonl'}" for split in ("train", "test")]
            extra = [*data, "task.validation_problems=8"] if recipe == "gsm8k" else []
            call("train", recipe, *overrides, *extra, "--out", str(folder / name))
            recording[name] = recorded_run(folder / name)
    if "evaluation" in names:
        recording["evaluation"] = recorded_evaluation(folder)
    return recording


def call(*arguments: str) -> str:
    """The output of the command; what it says on standard error goes through."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}
    command = [sys.executable, "-m", "doubleback.recipes", *arguments]
    print("doubleback", *arguments, flush=True)
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


def recorded_run(run: Path) -> dict[str, Any]:
    """Metrics, rollouts, evaluations and adapters of a training run."""
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {
        "metrics": [{key: line[key] for key in line if not key.startswith(TIMED)} for line in metrics],
        "rollouts": {path.name: samples(path) for path in sorted((run / "rollouts").glob("*.jsonl.gz"))},
        "eval_samples": {path.name: samples(path) for path in sorted((run / "eval").glob("*.jsonl.gz"))},
        "eval": {path.name: json.loads(path.read_text()) for path in sorted((run / "eval").glob("*.json"))},
        "adapters": {
            path.parent.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted((run / "checkpoints").glob("*/adapter_model.safetensors"))
        },
    }


def recorded_evaluation(folder: Path) -> dict[str, Any]:
    """An evaluation of a base and of a run on it, and their comparison."""
    if not (folder / "countdown").exists():
        call("train", *RUNS["countdown"], "--out", str(folder / "countdown"))
    options = ("--suite", "countdown", "--n", "4", "--limit", "48")
    policies = {"base": "bundled:countdown", "trained": str(folder / "countdown")}
    for name, policy in policies.items():
        call("eval", policy, *options, "--out", str(folder / f"eval-{name}"))
    shown = call("compare", str(folder / "eval-base"), str(folder / "eval-trained"))
    summaries = {name: json.loads((folder / f"eval-{name}" / "summary.json").read_text()) for name in policies}
    for summary in summaries.values():
        summary["adapter"] = None  # a folder of this recording
    return {
        "samples": {name: samples(folder / f"eval-{name}" / "samples.jsonl") for name in policies},
        "summaries": summaries,
        "comparison": [line for line in shown.splitlines() if str(folder) not in line],
    }


def samples(path: Path) -> list[dict[str, Any]]:
    """What every sample line must keep saying."""
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    lines = [json.loads(line) for line in content.splitlines()]
    return [{key: line[key] for key in SAMPLE_KEYS if key in line} for line in lines]


def show_differences(before: Any, after: Any) -> int:
    """Print where two recordings differ, name by name; the number of runs that do."""
    num_differing = 0
    for name in sorted({*before, *after}):
        places = list(differences(before.get(name), after.get(name), name))
        print(f"{name:18} {'equal' if not places else f'{len(places)} differences'}")
        for place in places[:12]:
            print(f"    {place}")
        num_differing += bool(places)
    return num_differing


def differences(before: Any, after: Any, place: str) -> Iterator[str]:
    """A line for each leaf that differs."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after}):
            yield from differences(before.get(key), after.get(key), f"{place}/{key}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, pair in enumerate(zip(before, after, strict=True)):
            yield from differences(*pair, f"{place}/{index}")
    elif before != after:
        yield f"{place}: {str(before)[:60]} | {str(after)[:60]}"


if __name__ == "__main__":
    main()
