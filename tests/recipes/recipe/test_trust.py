"""What a file names that does not come with doubleback runs once the user has said so, and is listed before."""

import pytest
from support.commands import call, errors

from doubleback.eval.suites.suite import load_suite
from doubleback.recipes import load_recipe
from doubleback.recipes.recipe.policy import recipe_of
from doubleback.rewards.contract import trust
from doubleback.rewards.types import ConfigError

MARK = "from pathlib import Path\nPath({!r}).touch()\n"


@pytest.fixture(autouse=True)
def _nothing_said():
    trust.forget()
    yield
    trust.forget()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with code that leaves a mark where it runs, and recipes and suites that name it."""
    monkeypatch.chdir(tmp_path)
    mark = MARK.format(str(tmp_path / "ran"))
    (tmp_path / "beside.py").write_text(mark)
    (tmp_path / "evil.py").write_text(
        f"{mark}import beside\nfrom doubleback.recipes.tasks.task import Task\n\n"
        "def f(completions, **columns):\n    return [0.0] * len(completions)\n\n"
        "class T(Task):\n    def splits(self):\n        raise NotImplementedError\n"
    )
    return tmp_path


RECIPE = "description: d\nsteps: 1\nmodel: {path: bundled:countdown}\n"
TASK, REWARD = "task: {name: countdown}\n", "reward: {components: {countdown: 1.0}}\n"
JUDGED = "reward: {{judge: countdown, components: {{countdown: 1.0, {}}}}}\n"
OTHER = "mix: {other: {task: {name: 'evil.py:T'}, reward: {components: {countdown: 1}}}}\n"
RECIPES = {
    "reward.components.x": RECIPE + TASK + JUDGED.format("x: {function: 'evil.py:f'}"),
    "a component's name": RECIPE + TASK + JUDGED.format("'evil.py:f': 0.5"),
    "task.name": RECIPE + "task: {name: 'evil.py:T'}\n" + REWARD,
    "engine.name": RECIPE + TASK + REWARD + "engine: {name: 'evil.py:E'}\n",
    "algorithm.advantage": RECIPE + TASK + REWARD + "algorithm: {advantage: 'evil.py:f'}\n",
    "mix.other.task.name": RECIPE + TASK + REWARD + OTHER,
    "data": RECIPE + "task: {train: rows.jsonl}\ndata: data.yaml\n" + REWARD,
    "eval.suites": RECIPE + TASK + REWARD + "eval: {suites: [suite.yaml]}\n",
    "stages": RECIPE + TASK + REWARD + "stages: {a: {}, b: {reward: {components: {x: {function: 'evil.py:f'}}}}}\n",
}
SUITE = "description: d\ntask: {name: 'evil.py:T'}\n"
DATA = "description: d\ntask: {name: 'evil.py:T'}\n"


@pytest.mark.parametrize("text", RECIPES.values(), ids=RECIPES)
def test_code_of_a_recipe_is_listed_and_does_not_run(folder, text):
    for name, content in (("recipe.yaml", text), ("suite.yaml", SUITE), ("data.yaml", DATA)):
        (folder / name).write_text(content)
    with pytest.raises(ConfigError, match="names code that would run; read it, then say so: --trust") as caught:
        load_recipe("recipe.yaml")
    assert "evil.py:" in str(caught.value)
    assert "runs evil.py, beside.py" in str(caught.value)
    assert not (folder / "ran").exists()


def test_who_says_so_runs_it(folder):
    (folder / "recipe.yaml").write_text(RECIPES["reward.components.x"])
    assert load_recipe("recipe.yaml", trust=True).reward.components["x"].function == "evil.py:f"
    # What has been said of this code holds on; of other code nothing has been said.
    load_recipe("recipe.yaml")
    (folder / "other.yaml").write_text(RECIPES["reward.components.x"].replace("evil.py:f", "beside.py:f"))
    with pytest.raises(ConfigError, match=r"reward.components.x.function='beside.py:f' runs beside.py"):
        load_recipe("other.yaml")


@pytest.mark.parametrize(
    "overrides", [["reward.components.y.function=evil.py:f"], {"reward.components.y": {"function": "evil.py:f"}}]
)
def test_what_the_user_names_runs(folder, overrides):
    """On the command line, or in Python, whatever recipe it is put into."""
    judged = ["reward.judge=countdown"] if isinstance(overrides, list) else {"reward.judge": "countdown"}
    both = [*overrides, *judged] if isinstance(overrides, list) else {**overrides, **judged}
    assert load_recipe("countdown", both).reward.components["y"].function == "evil.py:f"


def test_a_suite_and_a_run_are_files_too(folder):
    (folder / "suite.yaml").write_text(SUITE)
    (folder / "run").mkdir()
    (folder / "run" / "recipe.yaml").write_text(RECIPES["task.name"])
    with pytest.raises(ConfigError, match=r"^suite suite.yaml is not of doubleback"):
        load_suite("suite.yaml")
    with pytest.raises(ConfigError, match=r"^recipe .*recipe.yaml is not of doubleback"):
        recipe_of(folder / "run")
    assert not (folder / "ran").exists()


def test_a_library_is_code_too(folder):
    (folder / "recipe.yaml").write_text(RECIPES["reward.components.x"].replace("evil.py:f", "numpy:load"))
    with pytest.raises(ConfigError, match=r"function='numpy:load' runs .*numpy/__init__.py"):
        load_recipe("recipe.yaml")


@pytest.mark.parametrize(
    "command",
    [
        ["check", "recipe.yaml"],
        ["train", "recipe.yaml"],
        ["eval", "bundled:countdown", "--suite", "suite.yaml", "--out", "o"],
        ["eval", "run", "--suite", "countdown", "--out", "o"],
        ["merge", "run", "--out", "merged"],
        ["show", "road"],
    ],
)
def test_the_command_line_lists_and_ends_with_2(folder, command, capsys):
    (folder / "recipe.yaml").write_text(RECIPES["task.name"])
    (folder / "suite.yaml").write_text(SUITE)
    for name, file, text in (("run", "recipe.yaml", RECIPES["task.name"]), ("road", "stages.yaml", RECIPES["stages"])):
        (folder / name).mkdir()
        (folder / name / file).write_text(text)
    assert call(*command) == 2
    first, *listed = errors(capsys.readouterr().err)
    assert first.endswith("names code that would run; read it, then say so: --trust")
    assert all(line.endswith("runs evil.py, beside.py") for line in listed)
    assert listed
    assert not (folder / "ran").exists()


def test_the_word_is_enough(folder, capsys):
    (folder / "recipe.yaml").write_text(RECIPES["task.name"].replace("steps: 1", "stepz: 1"))
    for words in ([], ["--trust"]):
        assert call("check", "recipe.yaml", *words) == 2
        said = capsys.readouterr().err
        assert ("say so: --trust" in said) is (words == [])
        assert ("stepz" in said) is (words != [])
        assert (folder / "ran").exists() is (words != [])
