"""A suite names every row that it cannot use, and knows which bytes it was made of."""

import hashlib
import json

import pytest

from doubleback.eval.suites.suite import load_config, load_suite, shipped_suites
from doubleback.recipes.recipe.problems import task_problems
from doubleback.rewards.answers.grade import gold_answers
from doubleback.rewards.types import ConfigError


@pytest.fixture
def data(tmp_path):
    def write(*lines):
        path = tmp_path / "rows.jsonl"
        path.write_bytes(
            b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
        )
        return path

    return write


GOOD = {"question": "How many?", "answer": "so\n#### 1,072"}


def test_shipped_suites_are_valid():
    of_tasks = {"countdown", "knights"}
    of_the_hub = set(shipped_suites()) - of_tasks
    assert of_the_hub == {"aime24", "aime25", "amc23", "gsm8k", "math500", "minerva", "olympiadbench", "svamp"}
    for name in of_the_hub | of_tasks:
        config = load_config(name)[1]
        assert config.description
        assert (config.revision is None) == (name in of_tasks)


def test_items_and_the_hash_of_the_file(data):
    path = data(GOOD, {"question": "And now?", "answer": 5, "extra": True})
    suite = load_suite("gsm8k", path)
    assert [item.question for item in suite.items] == ["How many?", "And now?"]
    assert suite.items[1].columns == {"question": "And now?", "answer": 5, "extra": True}
    assert len({item.id for item in suite.items}) == 2
    assert suite.data_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert load_suite("gsm8k", data(GOOD)).items[0].id == suite.items[0].id


def test_fields_make_the_question_and_name_the_row(data):
    path = data({"ID": "chal-1", "Body": "A has 3.", "Question": "And B?", "Answer": 51.0})
    (item,) = load_suite("svamp", path).items
    assert (item.id, item.question, item.columns["answer"]) == ("chal-1", "A has 3. And B?", 51.0)


ON_THE_HUB = {
    "aime24": ({"id": 60, "problem": "P?", "solution": "S", "answer": "204", "url": "u", "year": "2024"}, "60", "204"),
    "aime25": ({"id": "0", "problem": "P?", "answer": "070"}, "0", "070"),
    "amc23": ({"id": 3, "question": "P?", "answer": 27.0, "url": "u"}, "3", "27"),
    "minerva": ({"question": "P?", "answer": "8.7e8"}, None, "8.7e8"),
    "math500": (
        {"problem": "P?", "solution": "S", "answer": "\\pi", "unique_id": "test/a.json"},
        "test/a.json",
        "\\pi",
    ),
    "olympiadbench": ({"id": 1606, "question": "P?", "final_answer": ["2"], "unit": None}, "1606", "2"),
}
"""Suite -> a row with the fields that it has on the hub, made by hand; its id and its gold."""


@pytest.mark.parametrize("name", ON_THE_HUB)
def test_a_row_of_a_suites_schema_is_read(data, name):
    row, identity, gold = ON_THE_HUB[name]
    (item,) = load_suite(name, data(row)).items
    assert (item.question, gold_answers(item.columns["answer"])[0]) == ("P?", gold)
    assert identity in (None, item.id)


BAD = [
    (b'{"question": "\xff"}', "2: not UTF-8"),
    ({"question": "Q"}, "2: no 'answer'; the row has question"),
    ({"question": "  ", "answer": "1"}, "2: the question is empty"),
    ({"question": "Q", "answer": "so ####"}, "2: answer='so ####' has no gold answer"),
    ({"question": "Q", "answer": {}}, "2: answer={} is no gold answer"),
    (GOOD, "2: id '"),
    (b"[1]", "2: no JSON object, but list"),
]


@pytest.mark.parametrize(("row", "message"), BAD)
def test_a_bad_row_is_named_and_nothing_starts(data, row, message):
    path = data(GOOD, row)
    with pytest.raises(ConfigError) as caught:
        load_suite("gsm8k", path)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{path}:{message}")
    assert line.endswith("(--skip-bad leaves such rows out)")


def test_all_bad_rows_are_counted_and_left_out_when_told(data):
    path = data(*(row for row, _ in BAD), GOOD, {"question": "Another", "answer": "2"})
    suite = load_suite("gsm8k", path, skip_bad=True)
    assert [item.question for item in suite.items] == ["How many?", "Another"]
    assert [line.split(":")[1] for line in suite.bad] == ["1", "2", "3", "4", "5", "7", "8"]
    with pytest.raises(ConfigError, match="every row is bad"):
        load_suite("gsm8k", data(b"[1]"), skip_bad=True)


def test_a_suite_on_a_task_has_the_problems_of_its_split():
    suite = load_suite("countdown", task_problems=task_problems)
    assert len(suite.items) == 349
    assert set(suite.items[0].columns) == {"numbers", "target"}
    assert (suite.items[0].question, suite.task_name) == ("1 3 1 -> 2", "countdown")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "task: {name: chain_sum}\nsplit: pretrain",
            "split=pretrain: a task has no such split; did you mean train?",
        ),
        ("task: {name: chain_sun}", "task.name=chain_sun is no task; did you mean chain_sum?"),
        ("task: {name: chain_sum, hihgest: 9}", "suite: task.hihgest: there is no such key; did you mean highest?"),
        ("task: {name: chain_sum}\nsource: x", "source=x and task={'name': 'chain_sum'}: a suite has one of the two"),
        ("split: test", "source=None and task=None: a suite has one of the two"),
    ],
)
def test_a_bad_task_of_a_suite_is_named(tmp_path, content, message):
    (tmp_path / "mine.yaml").write_text(f"description: d\n{content}\n")
    with pytest.raises(ConfigError) as caught:
        load_suite(str(tmp_path / "mine.yaml"), task_problems=task_problems)
    assert message in str(caught.value)


def test_a_suite_of_ones_own(tmp_path, data):
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"description: mine\nsource: {data({'q': 'Hm?', 'gold': ['1', '2']})}\nquestion: '{{q}}'\nanswer: gold\n"
    )
    suite = load_suite(str(path))
    assert (suite.name, suite.items[0].question, suite.items[0].columns["answer"]) == ("mine", "Hm?", ["1", "2"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("description: d\nsource: s\nquestoin: x\n", "questoin: there is no such key; did you mean question"),
        ("source: s\n", "description: this key is required and absent"),
        ("description: d\nsource: s\nquestion: none\n", "names no field of the row in braces"),
        ("description: [", "is not YAML"),
    ],
)
def test_a_bad_suite_is_named(tmp_path, content, message):
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=message):
        load_suite(str(path))


def test_an_unknown_suite_is_named_with_the_nearest():
    with pytest.raises(ConfigError, match="suite 'gsm8' is no YAML file and not shipped; did you mean gsm8k"):
        load_suite("gsm8")
    with pytest.raises(ConfigError, match="there is no such file"):
        load_suite("nowhere.yaml")


def test_a_hub_that_cannot_be_reached_is_named_with_the_way_out(monkeypatch):
    import datasets

    def fail(*arguments, **options):
        raise ConnectionError("Couldn't reach the Hub")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(
        ConfigError, match=r"HuggingFaceH4/MATH-500 is no file or folder here, and on the hub it failed .*--data FILE"
    ):
        load_suite("math500")


def test_rows_of_a_hub_are_hashed_as_canonical_json(monkeypatch):
    import datasets

    rows = [{"problem": "Q?", "answer": "2", "unique_id": "a"}, {"answer": "3", "unique_id": "b", "problem": "R?"}]
    monkeypatch.setattr(datasets, "load_dataset", lambda *arguments, **options: iter(rows))
    suite = load_suite("math500")
    canonical = '{"answer": "2", "problem": "Q?", "unique_id": "a"}\n{"answer": "3", "problem": "R?", "unique_id": "b"}'
    assert suite.data_sha256 == hashlib.sha256(canonical.encode()).hexdigest()
    assert [item.id for item in suite.items] == ["a", "b"]
