"""Completions with a command in the place of the answer: a reward that runs what a model wrote leaves a file behind.

Public reward collections call `eval`, sympy's `sympify` (which calls it) or a template engine on the extracted answer.
A policy under pressure finds that sooner or later; these find it before. Every command writes one empty file, no more.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_COMMANDS = {
    "open": "open('{path}', 'w')",
    "__import__": "__import__('pathlib').Path('{path}').touch()",
    "sum that calls": "70 + 2 * bool(open('{path}', 'w'))",
    "attributes": "[c for c in ().__class__.__base__.__subclasses__() if c.__name__ == 'FileIO'][0]('{path}', 'w')",
    "os.system": "__import__('os').system('touch {path}')",
    "lambda": "(lambda: open('{path}', 'w'))()",
    "exec": "exec(\"import pathlib; pathlib.Path('{path}').touch()\")",
    "statements": "import pathlib; pathlib.Path('{path}').touch()",
    "sympy in LaTeX": r"\operatorname{{__import__}}('os').system('touch {path}')",
    "yaml": "!!python/object/apply:builtins.open ['{path}', 'w']",
    "template": "{{{{ cycler.__init__.__globals__.os.system('touch {path}') }}}}",
    "shell": "$(touch {path})",
}
"""Name -> a command as Python, sympy, YAML, a template engine or a shell reads it; `{path}` is what it writes."""
_PLACES = (
    "<think> I see. </think> <answer> {} </answer>",
    r"So the answer is $\boxed{{{}}}$.",
    "...\n#### {}",
    "The answer is {}",
    "```python\n{}\n```",
    "{}",
)


@dataclass(frozen=True, slots=True)
class Planted:
    """A completion with a command in it."""

    name: str
    """What the command is called, and the number of the place it stands in."""
    completion: str
    marker: Path
    """What exists afterwards where something ran it."""


def planted(folder: Path) -> Iterator[Planted]:
    """Every command in every place where an answer may stand; their files would lie in `folder`."""
    for index, (name, command) in enumerate(_COMMANDS.items()):
        for place, text in enumerate(_PLACES):
            marker = folder / f"ran-{index}-{place}"
            yield Planted(f"{name}, {place}", text.format(command.format(path=marker)), marker)
