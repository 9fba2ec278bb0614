"""Write the pages of docs/ that are made from the code, metrics.md and keys.md. A test compares."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from doubleback.recipes.recipe.schema import Recipe
from doubleback.rl.run.metrics import METRICS

DOCS = Path(__file__).parents[1] / "docs"
METRICS_HEAD = """# Metrics

Every number in `metrics.jsonl`, one line a step. Written from `METRICS` in `rl/run/metrics.py` by `make docs`. Shares
are of 1; an undefined value is `null`, never 0. Groups `seconds/` and `speed/` differ between two runs of one seed;
everything else is equal to the last bit on the CPU.

| name | what it is |
|---|---|
"""
KEYS_HEAD = """# Every key of a recipe

Written from the schema by `make docs`: what a key is called in YAML and on the command line, its default, its meaning.
Any key can be given as `key.path=value` behind a recipe's name. An unknown key is an error that names the nearest one.
"""


def metrics_page() -> str:
    """docs/metrics.md."""
    return METRICS_HEAD + "".join(f"| `{name}` | {_cell(text)} |\n" for name, text in METRICS.items())


def keys_page() -> str:
    """docs/keys.md: the recipe's own keys, then a table a section."""
    return KEYS_HEAD + "".join(_tables("", Recipe))


def _tables(path: str, section: type[BaseModel]) -> Iterator[str]:
    """The table of a section, then those of the sections in it."""
    fields = section.model_fields
    inner = {name: model for name, field in fields.items() if (model := _section(field)) is not None}
    rows = [_row(path, name, field) for name, field in fields.items() if name not in inner]
    if rows:
        title = f"`{path.rstrip('.')}`" if path else "The recipe itself"
        yield f"\n## {title}\n\n| key | default | what it means |\n|---|---|---|\n" + "".join(rows)
    for name, model in inner.items():
        yield from _tables(f"{path}{name}.", model)


def _section(field: FieldInfo) -> type[BaseModel] | None:
    annotation = field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _row(path: str, name: str, field: FieldInfo) -> str:
    return f"| `{path}{name}` | {_default(field)} | {_cell(field.description or '')} |\n"


def _default(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True, validated_data={})
    if default is PydanticUndefined:
        return "required"
    if isinstance(default, dict):
        return "see below" if default else "`{}`"
    shown = "null" if default is None else str(default).lower() if isinstance(default, bool) else str(default)
    return f"`{_cell(shown)}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


if __name__ == "__main__":
    for name, page in (("metrics.md", metrics_page()), ("keys.md", keys_page())):
        (DOCS / name).write_text(page, encoding="utf-8")
        print(DOCS.name, name)
