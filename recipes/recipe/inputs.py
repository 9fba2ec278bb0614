"""What a run depends on, and what of it a resumed run may change: settings, problems, model, code and files.

The settings are compared with the run's recipe.yaml, everything else by hash with its inputs.json. Of code that is the
file that a key names (`path.py:attr`, `package.module:attr`) with what it imports of its folder or package, and of
doubleback what rewards are made of; what else doubleback is, the run's environment.json says.
"""

import hashlib
import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from transformers.utils import cached_file

from doubleback.recipes.models.bundled import bundled_path
from doubleback.recipes.models.pinned import commit_of
from doubleback.recipes.recipe.assembly import Prepared
from doubleback.recipes.recipe.origin.software import code_hash
from doubleback.recipes.recipe.policy import Policy, adapter_hash
from doubleback.recipes.recipe.schema import Recipe
from doubleback.recipes.tasks.task import GROUP as TASKS
from doubleback.rewards.contract.imports import code_files
from doubleback.rewards.contract.lookup import is_location, offered
from doubleback.rewards.jsonl import to_lines
from doubleback.rewards.records import read_record
from doubleback.rewards.sample_lines import problem_line
from doubleback.rewards.settings import MayChange, may_change
from doubleback.rewards.types import ConfigError
from doubleback.rl.run.manifest import file_hash
from doubleback.rl.run.names import INPUTS, is_run

NEW_RUN = "put it back, or start a new run in another --out"
ELSEWHERE = ("description", "sampling.stop", "model.path", "lora.init", "distil.teacher", "distil.model")
"""Keys whose text names no file, those that name a model or a teacher, and the one whose adapter init.json knows."""


@dataclass(frozen=True, slots=True)
class _Change:
    key: str
    old: Any
    new: Any
    mark: MayChange | None

    @property
    def is_free(self) -> bool:
        """Whether a resumed run may have the new value."""
        return self.mark is not None and not (self.mark.only_up and not self._is_up)

    @property
    def _is_up(self) -> bool:
        return isinstance(self.old, int | float) and self.old < self.new


def changed_settings(stored: Mapping[str, Any], recipe: Recipe) -> list[str]:
    """What of the run's settings changes and may, a line each. ConfigError with a line for each that may not."""
    changes = list(_changes(stored, recipe, recipe.model_dump(mode="json")))
    bound = {it.key: it for it in changes if not it.is_free}
    reasons = {it.key: reason for it in changes if (reason := _reason_to_stay(it, recipe))}
    if held := [it for it in changes if it.key in {**bound, **reasons}]:
        raise ConfigError(
            "\n".join(
                f"--resume: {it.key} is {it.new!r}, the run has {it.old!r}{reasons.get(it.key, '')}; {NEW_RUN}"
                for it in held
            )
        )
    notes = {it.key: f" ({it.mark.note})" if it.mark and it.mark.note else "" for it in changes}
    return [f"--resume: {it.key} is {it.new!r} from now on, it was {it.old!r}{notes[it.key]}" for it in changes]


def _reason_to_stay(change: _Change, recipe: Recipe) -> str | None:
    """Why a key that may change otherwise may not in this recipe."""
    if change.mark is None or change.mark.where is None:
        return None
    key, neutral = change.mark.where
    value = attrgetter(key)(recipe)
    return None if value == neutral else f", and with {key}={value} the result depends on it"


def _changes(
    stored: Mapping[str, Any], section: Any, wanted: Mapping[str, Any], prefix: str = "", mark: MayChange | None = None
) -> Iterator[_Change]:
    for key in {**stored, **wanted}:
        old, new = stored.get(key), wanted.get(key)
        fields = type(section).model_fields if isinstance(section, BaseModel) else {}
        own = mark or (may_change(fields[key]) if key in fields else None)
        inner = section.get(key) if isinstance(section, Mapping) else getattr(section, key, None)
        if key not in stored and _is_default(section, key):
            continue  # a key that the run's doubleback did not have yet: nothing has changed
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _changes(old, inner, new, f"{prefix}{key}.", own)
        elif old != new:
            yield _Change(f"{prefix}{key}", old, new, own)


def _is_default(section: Any, key: str) -> bool:
    """Whether this key of a section of ours is as it is where nothing is said."""
    field = type(section).model_fields.get(key) if isinstance(section, BaseModel) else None
    if field is None or field.is_required():
        return False
    return bool(getattr(section, key) == field.get_default(call_default_factory=True))


def require_same_inputs(path: Path, hashes: Mapping[str, str]) -> None:
    """ConfigError, a line each, unless the run in the folder `path` began with these `hashes`."""
    began = read_record(path / INPUTS, NEW_RUN)
    lines = [
        f"--resume: {name} is not what the run began with: {hashes.get(name, 'not there')} now, "
        f"{began.get(name, 'not there')} then; {NEW_RUN}"
        for name in {**began, **hashes}
        if began.get(name) != hashes.get(name)
    ]
    if lines:
        raise ConfigError("\n".join(lines))


def inputs(recipe: Recipe, prepared: Prepared) -> dict[str, str]:
    """What a result depends on beside the settings: a name for people -> a hash, of problems with their number."""
    hashes = {f"model.path={recipe.model.path}{name}": value for name, value in _model(Path(prepared.model.path))}
    for split in ("train", "validation", "test"):
        problems = getattr(prepared.splits, split)
        digest = hashlib.sha256(to_lines(map(problem_line, problems))).hexdigest()
        hashes[f"the set of {split} problems"] = f"{len(problems)} problems (SHA-256 {digest})"
    for name in recipe.eval.suites:
        problems = prepared.suites[Path(name).stem].problems
        digest = hashlib.sha256(to_lines(map(problem_line, problems))).hexdigest()
        hashes[f"the problems of eval.suites={name}"] = f"{len(problems)} problems (SHA-256 {digest})"
    if prepared.demonstrations:
        lines = to_lines({"problem": name, "completion": text} for name, text in prepared.demonstrations.items())
        digest = hashlib.sha256(lines).hexdigest()
        hashes["the set of demonstrations"] = f"{len(prepared.demonstrations)} completions (SHA-256 {digest})"
    if prepared.teacher is not None and prepared.teacher.endpoint is None:
        hashes |= dict(_teacher(prepared.teacher))
    for key, value in [*_leaves(recipe.model_dump(mode="json")), *_named_code(recipe)]:
        # Where a run started is in its first checkpoint, and then in init.json: what lies there may go on, or go. What
        # lies in any other run may too: what is read of it has a hash of its own.
        files = [file for file in _files_of(value) if not is_run(file)] if key != "lora.init" else []
        hashes |= {f"{key}={value}": _hash_of(file) for file in files[:1]}
        hashes |= {f"{name}, which {key}={value} imports,": _hash_of(file) for name, file in _named(files)[1:]}
    graders = code_hash("rewards", but=("checks", "hostile"))
    hashes["the code of doubleback's own rewards"] = f"SHA-256 {graders}"
    for key, function in _functions(recipe):
        if (code := _source(function)) is not None:
            hashes[f"the code of {key}"] = f"SHA-256 {hashlib.sha256(code.encode()).hexdigest()}"
    return hashes


def _model(path: Path) -> Iterator[tuple[str, str]]:
    """(what is added to its name, hash) of each file of a local folder; of a model of the hub, its commit."""
    if commit := commit_of(path):
        yield "", f"commit {commit}"
    elif path.is_dir():
        for file in sorted(path.iterdir()):
            if file.is_file() and not file.name.startswith((".", "README")):
                yield f"/{file.name}", _hash_of(file)
    else:
        yield "", f"commit {Path(cached_file(str(path), 'config.json')).parent.name}"


def _teacher(policy: Policy) -> Iterator[tuple[str, str]]:
    """(name, hash) of a teacher's base, file by file, and of its adapter; what a server serves nobody knows."""
    for name, value in _model(Path(bundled_path(policy.model))):
        yield f"the teacher's base{name}", value
    if policy.adapter is not None:
        yield "the teacher's adapter", f"SHA-256 {adapter_hash(policy.adapter)}"


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """(key, text) of every text in the settings that may name a file or code."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(inner, f"{key}.{name}" if key else name)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, key)
    elif isinstance(value, str) and key not in ELSEWHERE:
        yield key, value


def _named_code(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """(key, place) of what installed packages offer by name."""
    rewards, tasks = offered(), offered(TASKS)
    for key, task in {"": recipe.task, **{f"mix.{name}.": it.task for name, it in recipe.mix.items()}}.items():
        if task.name in tasks:
            yield f"{key}task.name", tasks[task.name].value
    for key, target in _functions(recipe):
        if isinstance(target, str) and target in rewards:
            yield key, rewards[target].value


def _functions(recipe: Recipe) -> Iterator[tuple[str, str | Callable[..., Any]]]:
    """(key, name or function) of every component of every reward in the recipe."""
    sections = {"": recipe.reward, **{f"mix.{name}.": it.reward for name, it in recipe.mix.items()}}
    sections |= {f"modes.{name}.": it.reward for name, it in recipe.modes.items() if it.reward is not None}
    for key, section in sections.items():
        for name, component in section.components.items():
            yield f"{key}reward.components.{name}", component.function or name


def _files_of(value: str) -> list[Path]:
    """The file or folder that a setting names by its path, or the files of the code that it names."""
    if is_location(value):
        place, _, attribute = value.rpartition(":")
        return code_files(place) if attribute.replace(".", "").isidentifier() else []
    is_path = "/" in value or Path(value).suffix != ""
    return [Path(value)] if is_path and (os.path.isfile(value) or os.path.isdir(value)) else []


def _named(files: list[Path]) -> list[tuple[str, Path]]:
    """(name, file) of each, named from the folder of the first."""
    return [(os.path.relpath(file, files[0].parent), file) for file in files]


def _source(function: str | Callable[..., Any] | None) -> str | None:
    """The source of a function that was given in Python; None where Python does not know it."""
    if not callable(function):
        return None
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return None


def _hash_of(path: Path) -> str:
    """Of a file's content; of a folder's, the files in it with their names."""
    if path.is_dir():
        listed = "".join(f"{file.name} {_hash_of(file)}\n" for file in sorted(path.iterdir()) if file.is_file())
        return f"SHA-256 {hashlib.sha256(listed.encode()).hexdigest()}"
    return f"SHA-256 {file_hash(path)}"
