"""The table of data sets: what a recipe starts from, which commit of the hub is asked, and that its own keys win."""

import re

import datasets
import huggingface_hub
import pytest

from doubleback.recipes import load_recipe
from doubleback.recipes.data.table import load_data, shipped_data
from doubleback.rewards.types import ConfigError

PINNED = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)@(?P<commit>[0-9a-f]{40}):(?P<config>\w+):(?P<split>\w+)")
ALL = ["big-math", "dapo-math-17k", "deepscaler", "gsm8k", "math", "olympiadbench", "openr1-math", "svamp"]


def test_the_table_holds_what_people_have():
    assert list(shipped_data()) == ALL


@pytest.mark.parametrize("name", ALL)
def test_a_recipe_on_it_asks_the_hub_for_one_commit(monkeypatch, name):
    """Id, configuration, split and commit reach the hub's reader as the file has them."""
    asked = []

    def load(source, config, *, split, revision, streaming):
        asked.append((source, config, split, revision))
        raise ConnectionError("away")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda api, name, *, revision, timeout: None)
    monkeypatch.setattr(datasets, "load_dataset", load)
    task = load_recipe("math", [f"data={name}"]).task
    sources = [task.train] if isinstance(task.test, float) else [task.train, task.test]
    wanted = [PINNED.fullmatch(source) for source in sources]
    assert load_data(name).licence
    with pytest.raises(ConfigError, match=r"on the hub it failed \(away\); give a file: task.train=FILE"):
        task.splits()
    assert asked == [(wanted[0]["id"], wanted[0]["config"], wanted[0]["split"], wanted[0]["commit"])]
    assert {found["commit"] for found in wanted} == {wanted[0]["commit"]}


def test_the_recipe_wins_and_a_file_keeps_the_fields():
    task = load_recipe("math", ["data=svamp", "task.train=mine.jsonl", "task.test=0.3"]).task
    assert (task.train, task.test, task.question, task.answer) == ("mine.jsonl", 0.3, "{Body} {Question}", "Answer")
    assert (task.validation_problems, task.drop_unscorable, task.gold_form) == (128, True, None)
    assert load_recipe("gsm8k").task == load_recipe("math", ["data=gsm8k"]).task
    assert load_recipe("math", ["data=openr1-math", "task.only=null"]).task.only is None
    other = load_recipe("gsm8k", ["data=openr1-math", "task.only.question_type=proof"])
    assert (other.data, other.task.only) == ("openr1-math", {"question_type": "proof"})


@pytest.mark.parametrize(
    ("recipe", "data", "message"),
    [
        ("math", "svmp", "data set 'svmp' is no YAML file and not shipped; did you mean svamp?"),
        ("math", "mine.yaml", "data set mine.yaml: there is no such file"),
        (
            "math",
            "openai/gsm8k",
            "data=openai/gsm8k is a name of the hub; write task.train=openai/gsm8k, or a YAML file",
        ),
        (
            "word-problems",
            "svamp",
            "data=svamp is for task.name=math, and the recipe has task.name=word_problems; take a",
        ),
        ("math", "[1]", "data set '[1]' is no YAML file and not shipped; known: "),
    ],
)
def test_a_data_set_that_cannot_be_taken_is_one_line(recipe, data, message):
    with pytest.raises(ConfigError) as caught:
        load_recipe(recipe, [f"data={data}"])
    assert str(caught.value).splitlines()[-1].startswith(message)


def test_a_bad_key_is_named_where_it_stands(tmp_path):
    (tmp_path / "a.yaml").write_text("description: d\nlicense: MIT\ntask: {train: a.jsonl}\n")
    (tmp_path / "b.yaml").write_text("description: d\ntask: {train: a.jsonl, test: 0.1, anwser: a}\n")
    with pytest.raises(ConfigError, match=r"a.yaml: license: there is no such key; did you mean licence\?"):
        load_recipe("math", [f"data={tmp_path / 'a.yaml'}"])
    with pytest.raises(ConfigError, match=r"^task.anwser: there is no such key; did you mean answer\?"):
        load_recipe("math", [f"data={tmp_path / 'b.yaml'}"])
