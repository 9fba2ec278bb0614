"""The documents say what the code does."""

import re
import shlex
from importlib.util import module_from_spec, spec_from_file_location
from typing import Literal, get_args, get_origin

import pytest
from support.paths import ROOT

from doubleback.rewards.answers.extract import Style
from doubleback.rewards.builtin.table import BUILTIN
from doubleback.rewards.compose.config import RewardConfig
from doubleback.rewards.compose.reward import load_reward
from doubleback.rewards.settings import validated
from doubleback.rewards.types import Verdict
from doubleback.rl.config import ProblemsConfig
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.objective.presets import PRESETS
from doubleback.rl.objective.tables import TABLES


def test_pages_that_are_made_from_the_code_are_up_to_date():
    spec = spec_from_file_location("write_docs", ROOT / "scripts" / "write_docs.py")
    pages = module_from_spec(spec)
    spec.loader.exec_module(pages)
    assert (ROOT / "docs" / "metrics.md").read_text() == pages.metrics_page()
    assert (ROOT / "docs" / "keys.md").read_text() == pages.keys_page()


def algorithms():
    return (ROOT / "docs" / "algorithms.md").read_text()


def test_every_preset_stands_in_the_table_of_algorithms_with_its_paper():
    section = algorithms().split("\n## ")[1]
    rows = re.findall(r"^\| `(\w+)` \| .+? \| (arXiv:\S+) \| `tests/\S+` .*\|$", section, re.MULTILINE)
    assert dict(rows) == {name: preset.paper for name, preset in PRESETS.items()}


def test_every_key_and_value_of_algorithm_and_problems_stands_in_the_table():
    text = " ".join(line for line in algorithms().splitlines() if line.startswith("| "))
    for key, field in AlgorithmConfig.model_fields.items():
        values = TABLES.get(key) or (get_args(field.annotation) if get_origin(field.annotation) is Literal else [])
        missing = [value for value in values if f"| `{key}: {value}` |" not in text]
        assert missing == [], key
        assert values or f"`{key}`" in algorithms() or key == "preset", key
    assert [key for key in ProblemsConfig.model_fields if f"`problems.{key}`" not in text] == []


def test_every_row_of_the_tables_stands_with_its_paper_in_the_table_of_algorithms():
    lines = algorithms().splitlines()
    for key, table in TABLES.items():
        for name, row in table.items():
            (line,) = [line for line in lines if line.startswith(f"| `{key}: {name}` |")]
            assert f"| {row.paper} |" in line


def test_every_test_named_by_the_table_of_algorithms_exists():
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", algorithms())
    assert len(named) > len(PRESETS) + 30
    missing = [(path, name) for path, name in named if f"def {name}(" not in (ROOT / path).read_text()]
    assert missing == []


def test_every_row_of_the_table_of_faults_names_a_test_that_exists():
    rows = re.findall(r"^\| (?!fault |---).*$", (ROOT / "docs/faults.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) > 20
    named = [re.search(r"\| `(tests/[\w/]+\.py)::(test_\w+)` \|$", row) for row in rows]
    assert [row for row, test in zip(rows, named, strict=True) if test is None] == []
    tests = [test.groups() for test in named if test is not None]
    files = {path: (ROOT / path).read_text(encoding="utf-8") for path, _ in tests}
    assert [(path, name) for path, name in tests if f"def {name}(" not in files[path]] == []


def test_every_row_of_the_table_of_algorithms_names_a_test():
    rows = [line for line in algorithms().split("\n## A function")[0].splitlines() if line.startswith("| ")]
    assert [row for row in rows if "::test_" not in row and "| tested |" not in row] == []


def test_the_recipe_of_the_algorithms_is_valid():
    import yaml

    (block,) = re.findall(r"^```yaml\n(.*?)^```$", algorithms(), re.MULTILINE | re.DOTALL)
    settings = yaml.safe_load(block)["algorithm"]
    assert AlgorithmConfig(**settings).clip_high == settings["clip_high"] != PRESETS["gspo"].settings["clip_high"]


def fenced(language):
    """The code blocks of docs/rewards.md in a language."""
    return re.findall(
        rf"^```{language}\n(.*?)^```$", (ROOT / "docs" / "rewards.md").read_text(), re.MULTILINE | re.DOTALL
    )


@pytest.mark.slow
def test_the_reward_of_the_documents_does_what_they_show(run, tmp_path, monkeypatch):
    """Every command is run, and every line shown is a line of its output."""
    (tmp_path / "my_rewards.py").write_text(fenced("python")[0])
    (tmp_path / "answers.jsonl").write_text(fenced("json")[0])
    monkeypatch.chdir(tmp_path)
    num_commands = 0
    for block in fenced("console"):
        for command, shown in re.findall(r"^\$ doubleback (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
            _, out, err = run(*shlex.split(command))
            printed = " ".join((out + err).split())
            missing = [line for line in shown.splitlines() if " ".join(line.split()) not in printed]
            assert missing == [], printed
            num_commands += 1
    assert num_commands == 5


def test_the_recipe_of_the_documents_is_valid(tmp_path, monkeypatch):
    import yaml

    (tmp_path / "my_rewards.py").write_text(fenced("python")[0])
    monkeypatch.chdir(tmp_path)
    (block,) = fenced("yaml")
    with load_reward(validated(RewardConfig, yaml.safe_load(block)["reward"]), max_tokens=128) as reward:
        assert [component.name for component in reward.components] == ["math", "format", "brevity"]


def test_tables_of_rewards_styles_and_verdicts_are_complete():
    text = (ROOT / "docs" / "rewards.md").read_text()
    first_cells = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", text, re.MULTILINE)
    named = set(re.findall(r"`(\w+)`", " ".join(first_cells)))
    assert set(BUILTIN) | {str(style) for style in Style} | {str(verdict) for verdict in Verdict} == named


def test_every_built_in_reward_documents_source_or_failure():
    for name, function in BUILTIN.items():
        assert function.__doc__, name
        if name != "random":
            assert re.search(r"[Ff]ailure case|cannot tell", function.__doc__), name
