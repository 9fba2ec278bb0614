"""Has lm-evaluation-harness grade stored completions by its task gsm8k; runs where lm_eval is installed.

    python tests/bench/agreement/lm_eval_grades.py EVAL SAMPLES.jsonl

EVAL is the folder of an evaluation; SAMPLES gets the lines that `lm_eval --log_samples` would write of it, but for the
requests, which nobody made.
"""

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from lm_eval import simple_evaluate
from lm_eval.api.model import LM

KEPT = ("doc_id", "doc", "target", "resps", "filtered_resps", "filter", "exact_match")


class Stored(LM):
    """A model that says again what was said."""

    def __init__(self, completions: dict[str, str]) -> None:
        super().__init__()
        self._completions = completions

    def generate_until(self, requests: list) -> list[str]:
        return [self._completions[request.doc["question"]] for request in requests]

    def loglikelihood(self, requests: list) -> list:
        raise NotImplementedError

    loglikelihood_rolling = loglikelihood


def main() -> None:
    folder, out = map(Path, sys.argv[1:])
    columns = {line["id"]: line["columns"] for line in _lines(folder / "problems.jsonl")}
    texts = {columns[line["problem"]]["question"]: line["completion"] for line in _lines(folder / "samples.jsonl")}
    rows = [{"question": it["question"], "answer": _solution(it["answer"])} for it in columns.values()]
    (installed,) = find_spec("lm_eval").submodule_search_locations
    with TemporaryDirectory() as scratch:
        data = Path(scratch, "rows.jsonl")
        _write(data, rows)
        files = {"train": str(data), "test": str(data)}
        task = {
            "include": str(Path(installed, "tasks", "gsm8k", "gsm8k.yaml")),
            "task": "stored",
            "dataset_path": "json",
            "dataset_name": None,
            "dataset_kwargs": {"data_files": files},
            "num_fewshot": 0,
        }
        config = Path(scratch, "stored.yaml")
        config.write_text(json.dumps(task), encoding="utf-8")
        results = simple_evaluate(Stored(texts), tasks=[str(config)], bootstrap_iters=0)
    (graded,) = results["samples"].values()
    _write(out, [{key: line[key] for key in KEPT} for line in graded])


def _solution(answer: str | float) -> str:
    """A gold as GSM8K writes it: a number alone becomes its last line."""
    return answer if isinstance(answer, str) and "####" in answer else f"#### {answer}".removesuffix(".0")


def _lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _write(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
