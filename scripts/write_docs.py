"""Write the pages of docs/ that are made from the code, metrics.md and keys.md. A test compares."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from doubleback.recipes.recipe.schema import Recipe
from doubleback.recipes.recipe.stages.taken import TAKEN
from doubleback.recipes.tasks.task import Task, find_task, shipped_tasks
from doubleback.rewards.settings import may_change
from doubleback.rl.objective.tables import TABLES
from doubleback.rl.run.metrics import METRICS

DOCS = Path(__file__).parents[1] / "docs"
METRICS_HEAD = """# Metrics

Every number in `metrics.jsonl`, one line a step. Written from `METRICS` in `rl/run/metrics.py` by `make docs`. Shares
are of 1; an undefined value is `null`, never 0. Groups `seconds/`, `speed/` and `fleet/` differ between two runs of
one seed; everything else is equal to the last bit on the CPU.

| name | what it is |
|---|---|
"""
KEYS_HEAD = """# Every key of a recipe

Written from the schema by `make docs`: what a key is called in YAML and on the command line, its default, its meaning.
Any key can be given as `key.path=value` behind a recipe's name. An unknown key is an error that names the nearest one.
A number in the place of a component is short for its weight: `reward.components.format=0.1` and
`reward.components.format.weight=0.1` are the same.
"""


STAGES_HEAD = """
## A stage of `stages`

`stages` is a mapping of names to the keys in which each stage differs from those above ([road.md](road.md)); behind
the recipe's name it is `stages.NAME.key.path=value`. Beside the keys of a recipe, or in their place, a stage may say:

| key | default | what it means |
|---|---|---|
| `from` | the stage before | Whose adapter it starts from: an earlier stage, `base` for a fresh one, or a folder. |
"""


def metrics_page() -> str:
    """docs/metrics.md."""
    return METRICS_HEAD + "".join(f"| `{name}` | {cell(text)} |\n" for name, text in METRICS.items())


def keys_page() -> str:
    """docs/keys.md: the recipe's own keys, then a table a section."""
    return KEYS_HEAD + "".join(_tables("", Recipe)) + _stages()


def _stages() -> str:
    """What a stage may say beside the keys of a recipe; what it takes stays as it was on --resume."""
    fields = [(f"{key}.", name, field) for key, it in TAKEN.items() for name, field in it.model_fields.items()]
    return STAGES_HEAD + "".join(_row(*it).replace(_on_resume(it[2]), "") for it in fields)


def _tables(path: str, section: type[BaseModel]) -> Iterator[str]:
    """The table of a section, then those of the sections in it."""
    fields = section.model_fields
    told = {name: field for name, field in fields.items() if not _is_section(field.annotation) or _own(path, field)}
    rows = [_row(path, name, field) for name, field in told.items()]
    if rows:
        title = f"`{path.rstrip('.')}`" if path else "The recipe itself"
        yield f"\n## {title}\n\n| key | default | what it means |\n|---|---|---|\n" + "".join(rows)
    if section is Task:
        yield from map(_task_table, shipped_tasks())
    for name, field in fields.items():
        for inner, model in [] if _own(path, field) else _sections_in(field.annotation):
            yield from _tables(f"{path}{name}.{inner}", model)


def _own(path: str, field: FieldInfo) -> str | None:
    """The recipe's own section that a deeper one is another of, as a mode's reward is: told once, there."""
    kinds = {it.annotation: name for name, it in Recipe.model_fields.items() if _is_section(it.annotation)}
    found = [kinds[model] for _, model in _sections_in(field.annotation) if model in kinds]
    return found[0] if path and found else None


def _task_table(name: str) -> str:
    """What a shipped task adds to the keys that all have, and where its defaults differ."""
    task = find_task(name)
    own = {key: field for key, field in task.model_fields.items() if _default(field) != _default_of_all(key)}
    rows = "".join(_row("task.", key, field) for key, field in own.items())
    return (
        f"\n## `task` with `name: {name}`\n\n{task.__doc__}\n\n| key | default | what it means |\n|---|---|---|\n{rows}"
    )


def _default_of_all(key: str) -> str | None:
    return _default(Task.model_fields[key]) if key in Task.model_fields else None


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _sections_in(annotation: Any) -> Iterator[tuple[str, type[BaseModel]]]:
    """(what stands before its keys, section): of a section itself, one that may be null, or those of a mapping."""
    if _is_section(annotation):
        yield "", annotation
    before = "NAME." if get_origin(annotation) is dict else ""
    for argument in get_args(annotation):
        yield from ((f"{before}{inner}", model) for inner, model in _sections_in(argument))


def _row(path: str, name: str, field: FieldInfo) -> str:
    is_table = path == "algorithm." and name in TABLES
    choices = list(TABLES[name]) if is_table else _choices(field.annotation)
    listed = (
        f" {'Rows' if is_table else 'One of'}: {', '.join(f'`{choice}`' for choice in choices)}." if choices else ""
    )
    keys = f" Keys as in `{own}`." if (own := _own(path, field)) else ""
    said = cell((field.description or "") + listed + keys + _on_resume(field))
    return f"| `{path}{name}` | {_default(field)} | {said} |\n"


def _on_resume(field: FieldInfo) -> str:
    """Whether the key may change on --resume, from the mark beside it."""
    mark = may_change(field)
    if mark is None:
        return ""
    how = "grow" if mark.only_up else "change"
    where = f", where `{mark.where[0]}` is `{str(mark.where[1]).lower()}`" if mark.where else ""
    return f" May {how} on `--resume`{where}{f' ({mark.note})' if mark.note else ''}."


def _choices(annotation: Any) -> list[str]:
    """The values that a key may have, where they can be counted."""
    return [str(value) for value in get_args(annotation)] if get_origin(annotation) is Literal else []


def _default(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True, validated_data={})
    if default is PydanticUndefined:
        return "required"
    if isinstance(default, dict):
        return f"`{', '.join(default)}`" if default else "`{}`"
    return f"`{cell(as_yaml(default))}`"


def as_yaml(value: object) -> str:
    """A plain value as a recipe has it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def cell(text: str) -> str:
    """The text as the cell of a table takes it."""
    return " ".join(text.split()).replace("|", r"\|")


if __name__ == "__main__":
    for name, page in (("metrics.md", metrics_page()), ("keys.md", keys_page())):
        (DOCS / name).write_text(page, encoding="utf-8")
        print(DOCS.name, name)
