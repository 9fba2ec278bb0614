"""The reference pages of the docs site that are made from the code: rewards, presets, command line, Python."""

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from write_docs import as_yaml, cell

from doubleback.recipes.commands.cli.program import app
from doubleback.rewards.builtin.table import BUILTIN
from doubleback.rl.objective.presets import PRESETS

LAYERS = ("recipes", "rewards", "eval", "rl")
CODE = Path(importlib.import_module("doubleback.rewards").__file__ or "").parents[1]


def rewards_page() -> str:
    """Every reward that comes with doubleback: its arguments, and what its docstring says."""
    head = "# Rewards that come with doubleback\n\nBy the name that `reward.components` takes. "
    head += "[rewards.md](../rewards.md) says how a reward of your own is written and tried.\n"
    return head + "".join(_reward(name) for name in BUILTIN)


def _reward(name: str) -> str:
    function = BUILTIN[name]
    signature = inspect.signature(function)
    arguments = [str(it) for it in signature.parameters.values() if it.default is not it.empty]
    said = f"\n`args`: {', '.join(f'`{it}`' for it in arguments)}\n" if arguments else ""
    return f"\n## `{name}`\n{said}\n{inspect.getdoc(function)}\n"


def presets_page() -> str:
    """Every preset of `algorithm.preset`, with its paper and the keys that it sets."""
    rows = ""
    for name, preset in PRESETS.items():
        keys = ", ".join(f"`{key}: {as_yaml(value)}`" for key, value in preset.settings.items())
        rows += f"| `{name}` | {preset.paper} | {keys} |\n"
    return (
        "# Presets\n\n`algorithm.preset=NAME` sets these keys of `algorithm`; what a recipe says itself wins. "
        "[algorithms.md](../algorithms.md) has their formulas and the test of each.\n\n"
        f"| preset | paper | keys |\n|---|---|---|\n{rows}"
    )


def cli_page() -> str:
    """Every command with its arguments and options, as `--help` has them."""
    head = "# Command line\n\nWhat `doubleback COMMAND --help` says. A mistake is one line and exit code 2; a run that "
    head += "had to stop ends with 1, an interrupted one with 130 or 143.\n"
    group = typer.main.get_group(app)
    return head + "".join(_command(name, command) for name, command in group.commands.items())


def _command(name: str, command: Any) -> str:
    rows = "".join(_row(it) for it in command.params if not it.hidden)
    table = f"\n| argument or option | default | what it says |\n|---|---|---|\n{rows}" if rows else ""
    return f"\n## `doubleback {name}`\n\n{inspect.cleandoc(command.help or '')}\n{table}"


def _row(parameter: Any) -> str:
    """A line of a command's table, of an argument or an option of click."""
    is_option = parameter.param_type_name == "option"
    called = ", ".join(parameter.opts) if is_option else parameter.metavar or parameter.name.upper()
    default = parameter.default
    shown = "" if default is None or default is False or callable(default) else f"`{default}`"
    return f"| `{called}` | {shown} | {cell(parameter.help or '')} |\n"


def api_page() -> str:
    """Every promised name of each layer: signature and docstring, read from the source without importing it."""
    head = "# From Python, name by name\n\nWhat each layer promises; everything else may move. "
    head += "[python.md](../python.md) shows them at work.\n"
    return head + "".join(part for layer in LAYERS for part in _layer(layer))


def _layer(layer: str) -> Iterator[str]:
    stub = ast.parse((CODE / layer / "__init__.pyi").read_text(encoding="utf-8"))
    yield f"\n## `doubleback.{layer}`\n"
    for statement in stub.body:
        if isinstance(statement, ast.ImportFrom):
            for alias in statement.names:
                yield _promised(_module(layer, statement), alias.name)


def _module(layer: str, statement: ast.ImportFrom) -> Path:
    parts = (statement.module or "").removeprefix("doubleback.").split(".")
    place = CODE.joinpath(*([layer, *parts] if statement.level else parts))
    return place.with_suffix(".py") if place.with_suffix(".py").exists() else place / "__init__.py"


def _promised(module: Path, name: str) -> str:
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            shown = f"{name}({ast.unparse(node.args)})" if isinstance(node, ast.FunctionDef) else f"class {name}"
            returns = f" -> {ast.unparse(node.returns)}" if isinstance(node, ast.FunctionDef) and node.returns else ""
            return f"\n### `{name}`\n\n```python\n{shown}{returns}\n```\n\n{ast.get_docstring(node)}\n"
    raise ValueError(f"{module} has no {name}, which its layer promises")


REFERENCE = {
    "reference/rewards.md": rewards_page,
    "reference/presets.md": presets_page,
    "reference/cli.md": cli_page,
    "reference/api.md": api_page,
}
"""Page of the site -> what makes it."""
