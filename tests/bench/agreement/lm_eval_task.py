"""Writes lm-evaluation-harness's task gsm8k for local data; runs where lm_eval is installed, and needs nothing else.

    python tests/bench/agreement/lm_eval_task.py TRAIN.jsonl TEST.jsonl FOLDER

FOLDER gets `gsm8k_local.yaml`: the installed task with its prompt, filters and metric, but for the data and for the
examples, which are the first of TRAIN instead of five others for each question.
"""

import json
import sys
from importlib.util import find_spec
from pathlib import Path


def main() -> None:
    train, test, folder = (Path(argument).resolve() for argument in sys.argv[1:])
    (installed,) = find_spec("lm_eval").submodule_search_locations
    task = {
        "include": str(Path(installed, "tasks", "gsm8k", "gsm8k.yaml")),
        "task": "gsm8k_local",
        "dataset_path": "json",
        "dataset_name": None,
        "dataset_kwargs": {"data_files": {"train": str(train), "test": str(test)}},
        "fewshot_config": {"sampler": "first_n"},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gsm8k_local.yaml").write_text(json.dumps(task, indent=2), encoding="utf-8")  # JSON is YAML too


if __name__ == "__main__":
    main()
