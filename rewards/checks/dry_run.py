"""Try a reward before it trains anything: golds, determinism, order, batches, hostile input. See `doubleback check`."""

import itertools
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zlib import crc32

from doubleback.rewards.answers.grade import gold_completion
from doubleback.rewards.answers.messages import completion_text
from doubleback.rewards.builtin.table import BUILTIN, JUDGES
from doubleback.rewards.compose.config import RewardConfig
from doubleback.rewards.compose.reward import Reward, load_reward
from doubleback.rewards.contract.call import Samples
from doubleback.rewards.contract.functions import Scope, value_of
from doubleback.rewards.hostile.cases import Case, cases
from doubleback.rewards.hostile.planted import planted
from doubleback.rewards.settings import validated
from doubleback.rewards.types import UNUSABLE, ConfigError, Score, Verdict

NAME = "reward"
KEY = "--reward"
"""What messages call it."""
MAX_TIMEOUTS = 5
"""After so many the others are given up: a reward that hangs would hang on all of it."""
MAX_BATCH_CHARACTERS = 2_000
"""Longer completions stay out of the batches."""
STYLES = ("think_answer", "boxed", "hash", "answer_is")
_GIVEN_COLUMNS = frozenset({"answer", "solution", "style", "completion_ids"})
_GOLDS = ("72", "-5", "1,234", "0.75", r"\frac{3}{4}", "even", r"2\sqrt{3}", "#### 18")


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the table."""

    name: str
    is_ok: bool | None
    """None: does not apply to this reward."""
    figures: str
    examples: tuple[str, ...] = ()
    """What failed, a few."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One completion for the reward, with its row of the dataset."""

    name: str
    prompt: str
    completion: str
    columns: Mapping[str, Any] = field(default_factory=dict)
    is_right: bool | None = None
    """Whether it must be scored correct, must not be (False), or either (None)."""


def dry_run(
    config: RewardConfig, rows: Sequence[Trial] = (), *, style: str | None = None, is_about_form: bool = False
) -> list[Check]:
    """Try the one component of `config`. `rows`: samples of the user's own data, golds among them.

    The built-in samples have the columns `answer` (`solution` too), `style`, and words for tokens in `completion_ids`;
    where the reward needs others, only `rows` are used, and ConfigError says so where there are none. `style`: only
    samples that mark their answer in this style, for a reward that reads no other. With `is_about_form` nothing is
    asked about right and wrong.
    """
    with load_reward(config, key=KEY) as reward:
        component = reward.components[0]
        missing = [name for name in component.facts.columns if name not in _GIVEN_COLUMNS]
        if missing and not rows:
            raise ConfigError(
                f"{KEY}: the reward needs a column {missing[0]!r}; give rows that have it with --data FILE"
            )
        builtin = [] if missing else [*_golds(), *_cases()]
        reward.ready()
        singles = _Singles(reward, [*rows, *(it for it in builtin if style in (None, it.columns["style"]))])
        runs_text = run_planted(reward, rows[0].columns if missing else _columns(next(iter(cases()))))
    calm = [
        sample
        for sample, score, _ in singles.judged
        if not _is_fault(score) and len(sample.completion) <= MAX_BATCH_CHARACTERS
    ]
    about_right = [] if is_about_form else _about_right(singles)
    return [*about_right, runs_text, *_about_calls(config, calm, singles), _about_limits(singles, config)]


def config_for(function: str, arguments: Mapping[str, Any], **settings: Any) -> RewardConfig:
    """The configuration of a reward that is this one function, a name or a place. ConfigError, one line a finding."""
    component = {"function": function, "args": dict(arguments)}
    return validated(RewardConfig, {"components": {NAME: component}, **settings}, "--reward: ")


def is_about_form(function: str) -> bool:
    """Whether it is a built-in reward that does not tell right from wrong."""
    return function in BUILTIN.keys() - JUDGES


def gold_samples(rows: Iterable[tuple[str, Mapping[str, Any]]]) -> Iterator[Trial]:
    """The golds of (name, row of a dataset with `answer`), each stated in every style."""
    for (name, row), style in itertools.product(rows, STYLES):
        text = gold_completion(row["answer"], style)
        prompt = completion_text(row.get("prompt") or row.get("question") or "")
        columns = {"solution": row["answer"], **row, "style": style}
        yield Trial(f"gold of {name}, {style}", prompt, text, columns, is_right=True)


def _golds() -> Iterator[Trial]:
    return gold_samples((f"{gold!r}", {"answer": gold}) for gold in _GOLDS)


def _cases() -> Iterator[Trial]:
    for case in cases():
        yield Trial(case.name, case.prompt, case.completion, _columns(case), case.is_honest)


def _columns(case: Case) -> dict[str, Any]:
    return {"answer": case.answer, "solution": case.answer, "style": case.style}


class _Singles:
    """Every sample scored by itself, with the seconds each took from call to answer."""

    def __init__(self, reward: Reward, samples: Iterable[Trial]) -> None:
        self.judged: list[tuple[Trial, Score | None, float]] = []
        self.num_left_out = 0
        component, timeouts = reward.components[0], 0
        for sample in samples:
            if timeouts >= MAX_TIMEOUTS:
                self.num_left_out += 1
                continue
            begun = time.perf_counter()
            (score,) = component.start(_one(sample), 0)()
            self.judged.append((sample, score, time.perf_counter() - begun))
            timeouts += score is not None and score.verdict == Verdict.TIMEOUT

    def left_out(self) -> str:
        """What a line says of samples that were not tried; nothing where all were."""
        return f"; {self.num_left_out} left out after {MAX_TIMEOUTS} timeouts" if self.num_left_out else ""


def _one(sample: Trial) -> Samples:
    return _together([sample])


def _together(samples: Sequence[Trial]) -> Samples:
    names = set.intersection(*(set(sample.columns) for sample in samples)) if samples else set()
    columns = {name: [sample.columns[name] for sample in samples] for name in sorted(names)}
    # A stand-in where the data has no tokens: a number for each word.
    columns.setdefault("completion_ids", [_word_ids(sample.completion) for sample in samples])
    prompts = tuple(sample.prompt for sample in samples)
    return Samples(prompts, tuple(sample.completion for sample in samples), columns)


def _word_ids(text: str) -> list[int]:
    return [crc32(word) for word in text.encode("utf-8", "replace").split()]


def _is_fault(score: Score | None) -> bool:
    return score is not None and score.verdict in UNUSABLE


def _about_right(singles: _Singles) -> list[Check]:
    wanted = {True: "honest", False: "hostile"}
    by_kind: dict[str, list[tuple[Trial, bool]]] = {"gold": [], "honest": [], "hostile": []}
    for sample, score, _ in singles.judged:
        if sample.is_right is not None:
            kind = "gold" if sample.name.startswith("gold") else wanted[sample.is_right]
            by_kind[kind].append((sample, score is not None and score.verdict == Verdict.CORRECT))
    texts = {
        "gold": ("golds state themselves", "graded correct"),
        "honest": ("honest controls", "graded correct"),
        "hostile": ("hostile completions", "not graded correct"),
    }
    checks = []
    for kind, items in by_kind.items():
        name, verb = texts[kind]
        bad = [sample.name for sample, is_correct in items if is_correct != sample.is_right]
        figures = f"{len(items) - len(bad)} of {len(items)} {verb}"
        checks.append(Check(name, not bad if items else None, figures, tuple(bad)))
    return checks


def run_planted(reward: Reward, columns: Mapping[str, Any]) -> Check:
    """The check whether a reward runs what stands where an answer may: a planted command leaves a file behind."""
    with TemporaryDirectory(prefix="doubleback-planted-") as folder:
        commands = list(planted(Path(folder)))
        singles = _Singles(reward, (Trial(each.name, "", each.completion, columns) for each in commands))
        ran = tuple(each.name for each in commands if each.marker.exists())
    figures = f"{len(ran)} of {len(singles.judged)} planted commands were run{singles.left_out()}"
    return Check("text is not run", not ran, figures, ran)


def _about_calls(config: RewardConfig, calm: Sequence[Trial], singles: _Singles) -> list[Check]:
    """Three more calls with the samples that gave no trouble: again in a new process, as a batch, as one reversed."""
    alone = {id(sample): value_of(score) for sample, score, _ in singles.judged}
    with load_reward(_as_batch(config), key=KEY) as reward:
        component = reward.components[0]
        asks_for_group = component.facts.scope == Scope.GROUP
        batch, backwards = (component.start(_together(order), 0)() for order in (calm, calm[::-1]))
    with load_reward(config, key=KEY) as reward:
        again = [reward.components[0].start(_one(sample), 0)()[0] for sample in calm]
    named = [sample.name for sample in calm]
    expected = [alone[id(sample)] for sample in calm]

    def differing(values: Sequence[Score | None], reference: Sequence[float | None]) -> tuple[str, ...]:
        rows = zip(named, map(value_of, values), reference, strict=True)
        return tuple(f"{name}: {value} and {other}" for name, value, other in rows if value != other)

    def check(name: str, different: tuple[str, ...]) -> Check:
        return Check(name, not different, f"{len(calm) - len(different)} of {len(calm)} the same", different)

    in_order = differing(backwards[::-1], [value_of(score) for score in batch])
    as_batch = differing(batch, expected)
    return [
        check("again in a new process", differing(again, expected)),
        check("in reversed order", in_order),
        Check("single and batch", None, "scores a group at once")
        if asks_for_group
        else check("single and batch", as_batch),
    ]


def _as_batch(config: RewardConfig) -> RewardConfig:
    (component,) = config.components.values()
    return config.model_copy(update={"components": {NAME: component.model_copy(update={"scope": "group"})}})


def _about_limits(singles: _Singles, config: RewardConfig) -> Check:
    faults = [(sample, score) for sample, score, _ in singles.judged if score is not None and _is_fault(score)]
    timeouts = sum(score.verdict == Verdict.TIMEOUT for _, score in faults)
    slowest, _, seconds = max(singles.judged, key=lambda item: item[2])
    figures = (
        f"{timeouts} timeouts, {len(faults) - timeouts} grader errors in {len(singles.judged)}{singles.left_out()}; "
        f"slowest {seconds:.3f} s of {config.timeout_seconds:g} ({slowest.name[:40]})"
    )
    examples = tuple(f"{sample.name}: {score.verdict}, {score.detail}" for sample, score in faults)
    return Check("hangs and crashes", not faults, figures, examples)
