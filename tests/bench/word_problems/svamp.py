"""SVAMP (arXiv:2103.07191) in two files whose problems share no sentence, to train on one and test on the other.

    python tests/bench/word_problems/svamp.py svamp.jsonl svamp/      # writes svamp/train.jsonl and svamp/test.jsonl
    python tests/bench/word_problems/svamp.py svamp.jsonl svamp/ --operations 1     # those of one operation alone

SVAMP varies a story several times: other numbers, another question. Two problems are of one family where they share a
sentence of four words and more, numbers aside, and a family is trained on or tested, never both. Rows of the input are
SVAMP's own (`ID`, `Body`, `Question`, `Answer`, `Equation`); those written have `question`, `answer`, `operations` (how
many), `family` and `id`.
"""

import argparse
import hashlib
import json
import re
from pathlib import Path

TEST_SHARE = 0.25
"""Of the families, by hash."""
FEWEST_WORDS = 4
"""A shorter piece of a story is found in unrelated ones."""


def pieces(body: str) -> list[str]:
    """The sentences and clauses of a story that are long enough, with # for every number.

    "Dan had 3 red cats. Two left." has one: "dan had # red cats".
    """
    text = re.sub(r"\d+(?:\.\d+)?", "#", body.lower())
    parts = (part.strip() for part in re.split(r"[.?!,]| and | if ", text))
    return [part for part in parts if len(part.split()) >= FEWEST_WORDS]


def families(bodies: list[str]) -> list[int]:
    """The family of each story: the place of its first member."""
    parents = list(range(len(bodies)))

    def root(place: int) -> int:
        while parents[place] != place:
            place = parents[place]
        return place

    first: dict[str, int] = {}
    for place, body in enumerate(bodies):
        for piece in pieces(body):
            low, high = sorted((root(place), root(first.setdefault(piece, place))))
            parents[high] = low
    return [root(place) for place in range(len(bodies))]


def is_tested(family: str) -> bool:
    """Whether a family is held out; depends on its name alone."""
    return hashlib.sha256(family.encode()).digest()[0] < 256 * TEST_SHARE


def question(row: dict) -> str:
    """The story, which may lack its last full stop or comma, and what is asked."""
    return f"{row['Body'].strip()} {row['Question'].strip()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--operations", type=int, help="how many the problems shall have; any where nothing is said")
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.data.read_text(encoding="utf-8").splitlines()]
    options.folder.mkdir(parents=True, exist_ok=True)
    parts: dict[str, list[dict]] = {"train": [], "test": []}
    for row, family in zip(rows, families([row["Body"] for row in rows]), strict=True):
        name = rows[family]["ID"]
        operations = len(re.findall(r"[-+*/]", row["Equation"]))
        written = {"question": question(row), "answer": row["Answer"], "operations": operations, "family": name}
        if options.operations not in (None, operations):
            continue
        parts["test" if is_tested(name) else "train"].append(written | {"id": row["ID"]})
    for name, written in parts.items():
        text = "".join(json.dumps(row) + "\n" for row in written)
        (options.folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
        print(f"{name}: {len(written)} problems of {len({row['family'] for row in written})} families")


if __name__ == "__main__":
    main()
