"""The settings as data: what differs from the defaults, or between runs; no code of a recipe is run for it."""

from support.folders.written import write_run

from doubleback.recipes.recipe.loading import load_recipe
from doubleback.recipes.recipe.schema import Recipe
from doubleback.recipes.report.content import read_runs
from doubleback.recipes.report.sections.settings import read_settings, settings


def rows(folder):
    return {row[0]: tuple(row[1:]) for row in settings(read_runs([folder])).blocks[0].rows}


def test_what_differs_from_the_defaults(tmp_path):
    shown = rows(write_run(tmp_path / "run", steps=4))
    assert shown["steps"] == ("4", "(has none)")
    assert shown["lora.rank"] == ("16", "32")
    assert shown["reward.components.format.weight"] == ("0.2", "1.0")
    assert shown["reward.components.countdown"] == ("(defaults)", "(has none)")
    assert "optim.betas" not in shown
    assert "description" not in shown


def test_every_default_of_the_schema_is_known():
    data = load_recipe("countdown", []).model_dump(mode="json")
    items = {item.key: item for item in read_settings(data, Recipe)}
    assert items["optim.weight_decay"].differs is False
    given = {key for key, item in items.items() if item.differs}
    assert {"steps", "optim.lr", "sampling.group_size", "rollout.prompts_per_step"} <= given
    assert not {"eval.k", "lora.init", "checkpoint.every", "algorithm.epochs"} & given


def test_a_task_of_a_stranger_is_not_imported(tmp_path):
    folder = write_run(tmp_path / "run", steps=2)
    (tmp_path / "mine.py").write_text("raise SystemExit('it was run')\n", encoding="utf-8")
    recipe = (folder / "recipe.yaml").read_text(encoding="utf-8")
    text = recipe.replace("name: countdown", f"name: {tmp_path}/mine.py:Task")
    assert text != recipe
    (folder / "recipe.yaml").write_text(text, encoding="utf-8")
    assert rows(folder)["task.name"] == ("mine.py:Task", "(has none)")


def test_secrets_and_folders_are_left_out(tmp_path):
    folder = write_run(tmp_path / "run", steps=2)
    with (folder / "recipe.yaml").open("a", encoding="utf-8") as file:
        file.write("api_key: sk-1234567890abcdefgh\n")
    section = settings(read_runs([folder]))
    assert "sk-1234567890" not in str(section)
    assert section.intro.endswith("Left out as secrets: api_key.")


def test_between_two_runs_only_what_differs(tmp_path):
    folders = [write_run(tmp_path / f"seed{seed}", steps=2, seed=seed) for seed in (0, 1)]
    table = settings(read_runs(folders)).blocks[0]
    assert table.columns == ("key", "seed0", "seed1")
    assert [tuple(row) for row in table.rows] == [("seed", "0", "1")]
