"""The files that code consists of: its own, and those beside it that it imports. Nothing is run to find them.

Code that is named by its file finds beside it what it imports by name, and nothing else that lies there: a gmpy2.py in
its folder is not what sympy means.
"""

import ast
import sys
import sysconfig
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Any

INSTALLED = ("site-packages", "dist-packages")
"""Where packages lie that are installed."""


def code_files(place: str) -> list[Path]:
    """The files of `path.py` or `package.module`, its own first; none where there is no such code.

    Followed are `import` and `from ... import`, wherever they stand, into the folder of a file, the package of a module
    and what lies beside it; not into what is installed, which has versions.
    """
    if place.endswith(".py"):
        file = Path(place).resolve()
        return _followed([file], file.parent) if file.is_file() else []
    package = place.split(".")[0]
    if not all(map(str.isidentifier, place.split("."))) or (root := _root_of(package)) is None:
        return []
    own = [*_run_by(root, place)][::-1]
    is_installed = root.name in INSTALLED or root == Path(sysconfig.get_path("stdlib"))
    return own[:1] if is_installed else _followed(own, root)


@dataclass(frozen=True)
class Beside(MetaPathFinder):
    """Finds modules in a folder by their names."""

    folder: Path
    names: frozenset[str]

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        """Where the module is; None where it is none of these."""
        return PathFinder.find_spec(name, [str(self.folder)]) if path is None and name in self.names else None


def find_beside(file: Path) -> None:
    """Let what this file imports of its folder be found, after all other places."""
    below = [it for it in code_files(str(file))[1:] if it.is_relative_to(file.parent)]
    names = frozenset(it.relative_to(file.parent).parts[0].removesuffix(".py") for it in below)
    finder = Beside(file.parent, names)
    if finder.names and finder not in sys.meta_path:
        sys.meta_path.append(finder)


def _root_of(package: str) -> Path | None:
    """The folder that a package, or a module alone, is imported from."""
    spec = find_spec(package)  # of a first name: nothing is imported for that
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).parent
    return Path(spec.origin).parent if spec.has_location and spec.origin else None


def _followed(files: list[Path], root: Path) -> list[Path]:
    """`files`, and what they import from below `root`, directly or not."""
    found, waiting = list(files), list(files)
    while waiting:
        for folder, name in _imports(waiting.pop(), root):
            fresh = [file for file in _run_by(folder, name) if file not in found]
            found, waiting = found + fresh, waiting + fresh
    return found


def _imports(file: Path, root: Path) -> Iterator[tuple[Path, str]]:
    """(folder, dotted name below it) of all that `file` imports; `from a import b` may mean a module a.b."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # whoever runs the file hears of them
            tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # nor can it be imported
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((root, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            folder = file.parents[node.level - 1] if node.level else root
            yield from ((folder, ".".join(filter(None, (node.module, alias.name)))) for alias in node.names)


def _run_by(folder: Path, name: str) -> Iterator[Path]:
    """The files that an import of the dotted `name` from `folder` runs: of each package on the way, then its own."""
    for part in name.split("."):
        folder /= part
        candidates = (folder / "__init__.py", folder.with_name(f"{part}.py"))
        yield from [file for file in candidates if file.is_file()][:1]
