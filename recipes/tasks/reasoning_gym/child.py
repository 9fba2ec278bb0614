"""The process in which reasoning-gym runs: `python -m doubleback.recipes.tasks.reasoning_gym.child`.

It reads one request from its input, a JSON object with `dataset`, `size`, `seed`, `config` and `levels`, and writes one
JSON object a line: `{"question": ..., "answer": ..., "level": ...}` for each item, and at the end `{"num_items": ...}`
or `{"error": ...}`. What the package prints goes to the error stream, and its scorers are never called.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any


def items(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The items that are asked for, by level; without levels those of the data set's own defaults."""
    from reasoning_gym.factory import create_curriculum, create_dataset, has_curriculum

    name, given = request["dataset"], {**request["config"], "seed": request["seed"], "size": request["size"]}
    if request["levels"] and not has_curriculum(name):
        raise ValueError(f"levels: {name} has no curriculum; leave them out")
    for level in request["levels"] or [None]:
        config = dict(given)
        if level is not None:
            curriculum = create_curriculum(name)
            curriculum.set_global_level(level)
            config = {**vars(curriculum.generate_configuration()), **given}
        for item in create_dataset(name, **config):
            yield {"question": item["question"], "answer": item["answer"], "level": 0 if level is None else level}


def main() -> None:
    """Answer one request."""
    out, sys.stdout = sys.stdout, sys.stderr
    num_items = 0
    try:
        for item in items(json.load(sys.stdin)):
            out.write(json.dumps(item) + "\n")
            num_items += 1
        last: dict[str, Any] = {"num_items": num_items}
    except ModuleNotFoundError as error:
        last = {"error": f"{error}", "missing": error.name}
    except (AssertionError, TypeError, ValueError, KeyError) as error:
        last = {"error": f"{type(error).__name__}: {error}"}
    out.write(json.dumps(last) + "\n")
    out.flush()


if __name__ == "__main__":
    main()
