"""Which files of samples a folder holds: a run's rollouts and what was measured on the way, or an evaluation's own."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from doubleback.eval.compare import SAMPLES
from doubleback.eval.measures.moves import Moves
from doubleback.recipes.models.bundled import bundled_path
from doubleback.recipes.tasks.task import all_moves
from doubleback.rewards.answers.extract import Style
from doubleback.rewards.sample_lines import PROBLEMS, ROLLOUTS, read_problems
from doubleback.rewards.settings import read_yaml
from doubleback.rewards.types import ConfigError, Problem
from doubleback.rl.rollout.strand import strand_of
from doubleback.rl.run.names import EVALUATIONS, RECIPE, SAMPLES_END, is_run, newest_run, step_of

TRAINING = "training"
"""What the set of a run's rollouts is called."""
TINY_FOLDER = "tiny"
TOKENIZER = "tokenizer.json"


@dataclass(frozen=True, slots=True)
class SampleFile:
    """Samples that were drawn together."""

    path: Path
    set: str
    """`training`, or the suite: `validation`, `test`, ..."""
    step: int
    """Of training; 0 for what is of none."""

    @property
    def stamp(self) -> tuple[int, int]:
        """Changes with the file."""
        state = self.path.stat()
        return state.st_mtime_ns, state.st_size


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """What the samples of one folder have in common."""

    problems: Mapping[str, Problem]
    weights: Mapping[str, Mapping[str, float]]
    """Mode -> component of the reward -> its weight; the mode is "" where there is one alone. Empty where not known."""
    strands: tuple[str, ...]
    """Modes, or tasks of a mixture."""
    style: Style
    """How answers to questions are marked."""
    tokenizer: Tokenizer | None
    """None where it is not at hand: then nobody knows which text a token stands for."""
    moves: tuple[Moves, ...]

    def mode(self, problem: str) -> str:
        """The mode or task that a problem is answered in; nothing where there is one alone."""
        return strand_of(problem) if strand_of(problem) in self.strands else ""


def files_of(folder: Path) -> list[SampleFile]:
    """The files of samples in a folder, training first, each set by its steps."""
    folder = newest_run(folder)
    training = [(TRAINING, path) for path in sorted((folder / ROLLOUTS).glob(f"step-*{SAMPLES_END}"))]
    measured = [
        (path.name.partition("-step-")[0], path)
        for path in sorted((folder / EVALUATIONS).glob(f"*-step-*{SAMPLES_END}"))
    ]
    found = [SampleFile(path, name, step_of(path.name) or 0) for name, path in [*training, *measured]]
    if (folder / SAMPLES).exists():
        found.append(SampleFile(folder / SAMPLES, "sampled" if is_run(folder) else "evaluation", 0))
    return found


def origin_of(folder: Path) -> Origin:
    """What the samples of a folder have in common; read anew where its problems have changed."""
    folder = newest_run(folder)
    problems = folder / PROBLEMS
    return _origin(folder, problems.stat().st_mtime_ns if problems.exists() else 0)


@lru_cache(maxsize=8)
def _origin(folder: Path, stamp: int) -> Origin:
    recipe = read_yaml(folder / RECIPE, "recipe") if is_run(folder) else {}
    return Origin(
        problems=read_problems(folder),
        weights=_weights(recipe),
        strands=(*(recipe.get("modes") or ()), *(recipe.get("mix") or ())),
        style=_style(recipe),
        tokenizer=_tokenizer(folder, recipe),
        moves=tuple(all_moves()),
    )


def _weights(recipe: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    if not (recipe.get("reward") or {}).get("components"):
        return {}
    strands = {**(recipe.get("modes") or {}), **(recipe.get("mix") or {})}
    rewards = {
        "": recipe["reward"],
        **{name: strand.get("reward") or recipe["reward"] for name, strand in strands.items()},
    }
    return {
        name: {part: settings["weight"] for part, settings in reward["components"].items()}
        for name, reward in rewards.items()
    }


def _style(recipe: Mapping[str, Any]) -> Style:
    components = (recipe.get("reward") or {}).get("components") or {}
    named = [settings["args"]["style"] for settings in components.values() if "style" in (settings.get("args") or {})]
    return Style(named[0]) if named and named[0] in list(Style) else Style.FLEXIBLE


def _tokenizer(folder: Path, recipe: Mapping[str, Any]) -> Tokenizer | None:
    """The tokenizer of the run's base, where it lies on this disk: no hub is asked."""
    if not recipe:
        return None
    try:
        base = Path(bundled_path(recipe["model"]["path"], asks_hub=False))
    except ConfigError:
        return None
    places = [folder / TINY_FOLDER, base] if recipe.get("tiny") else [base]
    found = next((place / TOKENIZER for place in places if (place / TOKENIZER).is_file()), None)
    try:
        return None if found is None else Tokenizer.from_file(str(found))
    except Exception:  # noqa: BLE001 (it raises no other)
        return None  # a damaged one is at hand for nobody
