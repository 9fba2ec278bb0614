"""Data sets in the forms that people have them are read by one reader, and give the same rows."""

import csv
import gzip
import hashlib
import json

import datasets
import huggingface_hub
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from doubleback.eval.suites.suite import load_suite
from doubleback.recipes.tasks.math.task import Math
from doubleback.rewards.jsonl import field
from doubleback.rewards.rows import Source, read_data, stem
from doubleback.rewards.types import ConfigError

ROWS = [{"question": f"Über {n} + {n}?", "answer": str(2 * n)} for n in range(1, 9)]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()


def parquet(path):
    pq.write_table(pa.Table.from_pylist(ROWS), path)


def comma_separated(path, delimiter=",", encoding="utf-8-sig"):
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, ["question", "answer"], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(ROWS)


FORMS = {
    "a.jsonl": lambda path: path.write_bytes(LINES),
    "bom.jsonl": lambda path: path.write_bytes(b"\xef\xbb\xbf" + LINES),
    "a.jsonl.gz": lambda path: path.write_bytes(gzip.compress(LINES)),
    "lines.json": lambda path: path.write_bytes(LINES),
    "array.json": lambda path: path.write_text(json.dumps(ROWS, indent=1), encoding="utf-8-sig"),
    "array.json.gz": lambda path: path.write_bytes(gzip.compress(json.dumps(ROWS).encode())),
    "a.parquet": parquet,
    "a.csv": comma_separated,
    "a.tsv": lambda path: comma_separated(path, "\t"),
    "saved": lambda path: datasets.Dataset.from_list(ROWS).save_to_disk(path),
    "splits:test": lambda path: datasets.DatasetDict(
        {"train": datasets.Dataset.from_list(ROWS[:1]), "test": datasets.Dataset.from_list(ROWS)}
    ).save_to_disk(str(path).removesuffix(":test")),
}


def as_text(row):
    return {"question": row["question"], "answer": str(row["answer"])}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_same_rows_and_the_same_problems(tmp_path, name):
    path = tmp_path / name
    FORMS[name](path)
    data = read_data(Source(str(path)), [("question",), ("answer",)])
    assert ([as_text(row.data) for row in data.rows], data.bad) == (ROWS, [])
    if path.is_file():
        assert data.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    questions = [row["question"] for row in ROWS]
    assert [item.question for item in load_suite("gsm8k", path).items] == questions
    splits = Math(name="math", train=str(path), test=0.5, validation_problems=1).splits()
    assert sorted(problem.prompt for problem in splits.everything) == sorted(questions)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.parquet", b"PAR", "a.parquet cannot be read: "),
        ("a.csv", b"a,b\n1,2,3\n", "a.csv cannot be read: CSV parse error"),
        ("a.csv", b"a,b,b\n1,2,3\n", "a.csv cannot be read: two columns are called 'b'; rename one"),
        ("a.json", b"[1, 2", "a.json is no JSON array"),
        ("a.json", b'[{"a": 1, "a": 2}]', "a.json is no JSON array (the key 'a' stands twice)"),
        ("a.jsonl.gz", b"no gzip", "a.jsonl.gz cannot be read: Not a gzipped file"),
        ("a.csv", b"question,answer\n", "a.csv has no rows"),
        ("a.csv", b"question,answer\nK\xe4se?,7\n", "a.csv cannot be read: 'utf-8' codec can't decode byte 0xe4"),
        ("a.json", b"[]", "a.json has no rows"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_data(Source(str(tmp_path / name)))
    (line,) = str(caught.value).splitlines()
    assert line.replace(f"{tmp_path}/", "").startswith(message)


def test_a_number_that_python_does_not_read_is_a_bad_row(tmp_path):
    """json says so by a ValueError of its own kind."""
    (tmp_path / "a.jsonl").write_text(f'{{"question": {"9" * 4300}}}\n{{"question": {"9" * 4301}}}\n')
    data = read_data(Source(str(tmp_path / "a.jsonl")))
    (line,) = data.bad
    assert [row.number for row in data.rows] == [1]
    assert line.startswith(f"{tmp_path}/a.jsonl:2: no JSON (Exceeds the limit (4300 digits)")


def test_a_key_that_stands_twice_is_a_bad_row(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"a": 1, "b": {"c": 1}}\n{"a": 1, "b": {"c": 1, "c": 1}}\n', encoding="utf-8")
    data = read_data(Source(str(tmp_path / "a.jsonl")))
    assert ([row.number for row in data.rows], data.bad) == (
        [1],
        [f"{tmp_path}/a.jsonl:2: no JSON (the key 'c' stands twice)"],
    )


def test_a_folder_needs_its_split_where_it_has_several(tmp_path):
    FORMS["splits:test"](tmp_path / "splits:test")
    assert len(read_data(Source(str(tmp_path / "splits"), "train")).rows) == 1
    with pytest.raises(ConfigError, match=r"has no split 'dev' but train, test; write it as FOLDER:SPLIT"):
        read_data(Source(f"{tmp_path / 'splits'}:dev"))
    with pytest.raises(ConfigError, match="is a folder, but not one of save_to_disk"):
        read_data(Source(str(tmp_path)))


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("openai/gsm8k", ("openai/gsm8k", None, "train", "v1")),
        ("openai/gsm8k:main", ("openai/gsm8k", "main", "train", "v1")),
        ("openai/gsm8k:main:test", ("openai/gsm8k", "main", "test", "v1")),
        ("openai/gsm8k@7403:main:test", ("openai/gsm8k", "main", "test", "7403")),
        ("openai/gsm8k@refs/pr/1", ("openai/gsm8k", None, "train", "refs/pr/1")),
    ],
)
def test_a_hub_id_is_typed_plainly(monkeypatch, name, asked):
    seen = []

    def load(source, config, *, split, revision, streaming):
        seen.append((source, config, split, revision))
        return iter(ROWS)

    monkeypatch.setattr(datasets, "load_dataset", load)
    assert [row.data for row in read_data(Source(name, revision="v1")).rows] == ROWS
    assert seen == [asked]


@pytest.mark.parametrize("name", ["a.jsonl", "saved"])
def test_fields_that_nobody_asked_for_are_dropped_row_by_row(tmp_path, name):
    FORMS[name](tmp_path / name)
    kept = read_data(Source(str(tmp_path / name), fields=frozenset({"answer"})), [("question",)])
    assert [row.data for row in kept.rows] == [{"answer": row["answer"]} for row in ROWS]
    assert kept.bad == []


@pytest.mark.parametrize("name", ["data/rows.jsonl", "data/rows.PARQUET", "data/rows", "./rows", "nowhere/rows.csv.gz"])
def test_what_can_only_be_a_file_is_not_asked_of_the_hub(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(datasets, "load_dataset", lambda *args, **options: pytest.fail("the hub was asked"))
    with pytest.raises(ConfigError, match="there is no such file or folder") as caught:
        read_data(Source(name))
    has_hint = "a data set of the hub is written data/rows:CONFIG:SPLIT" in str(caught.value)
    assert has_hint == (name == "data/rows")
    with pytest.raises(pytest.fail.Exception, match="the hub was asked"):
        read_data(Source("data/rows:main"))


def test_a_hub_that_cannot_be_reached_is_asked_once(monkeypatch):
    def away(api, name, *, revision, timeout):
        raise huggingface_hub.utils.httpx.ConnectError("Name or service not known")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", away)
    monkeypatch.setattr(datasets, "load_dataset", lambda *args, **options: pytest.fail("the hub was asked again"))
    with pytest.raises(
        ConfigError, match=r"^someone/rows is no file or folder here, and on the hub it failed \(Name or"
    ):
        read_data(Source("someone/rows"))


def test_a_field_may_lie_inside_another(tmp_path):
    """As in verl's files: the prompt is a message, the gold lies in `reward_model`."""
    row = {"prompt": [{"role": "user", "content": "2 + 2?"}], "reward_model": {"ground_truth": "4"}}
    assert field(row, "reward_model.ground_truth") == "4"
    assert field(row, "reward_model.style") is field(row, "prompt.content") is field(row, "a.b") is None
    assert field({"a.b": 1}, "a.b") == 1
    pq.write_table(
        pa.Table.from_pylist([row, row | {"prompt": [{"role": "user", "content": "3?"}]}]), tmp_path / "v.parquet"
    )
    keys = {"question": "prompt", "answer": "reward_model.ground_truth"}
    math = Math(
        name="math", train=str(tmp_path / "v.parquet"), test=[row | {"prompt": "5?"}], validation_problems=1, **keys
    )
    assert sorted(problem.columns["answer"] for problem in math.splits().everything) == ["4", "4", "4"]
    suite = tmp_path / "mine.yaml"
    suite.write_text(
        f"description: d\nsource: {tmp_path}/v.parquet\nquestion: '{{prompt}}'\nanswer: reward_model.ground_truth\n",
        encoding="utf-8",
    )
    assert [item.columns["answer"] for item in load_suite(str(suite)).items] == ["4", "4"]


def test_the_stem_is_the_name_without_its_form(tmp_path):
    assert [stem(tmp_path / name) for name in ("a.jsonl.gz", "a.b.parquet", "a.csv", "a")] == ["a", "a.b", "a", "a"]
