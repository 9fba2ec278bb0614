"""From components to one score: load by name, start together, weigh, gate, combine.

A reward is what a recipe says under `reward:` (`rewards.compose.config`). `load_reward` makes it; `Reward.start` begins
scoring and returns at once what is still to be waited for, so that a group is scored while the engine works on the
next.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any

from doubleback.rewards.builtin.math import MathCorrect
from doubleback.rewards.builtin.table import BUILTIN, make_builtin
from doubleback.rewards.compose.component import Component, Start, in_host, in_worker
from doubleback.rewards.compose.config import PYTHON, ComponentConfig, RewardConfig
from doubleback.rewards.compose.fault_limit import refuse_faults
from doubleback.rewards.contract.call import Results, Samples
from doubleback.rewards.contract.functions import Scope, required_columns, scope_of
from doubleback.rewards.contract.lookup import is_location, offered
from doubleback.rewards.nearest import nearest
from doubleback.rewards.settings import validated
from doubleback.rewards.types import UNUSABLE, Completion, ConfigError, Problem, RunError, Score, Verdict
from doubleback.rewards.workers.messages import FunctionSpec, Limits, pickled
from doubleback.rewards.workers.pool import SYMBOLIC, Facts, WorkerPool


class Reward:
    """Scores the completions of a problem. Close it: it may keep worker processes."""

    def __init__(self, config: RewardConfig, components: Sequence[Component], pools: Sequence[WorkerPool] = ()) -> None:
        self._config, self.components, self._pools = config, tuple(components), tuple(pools)

    def start(self, problem: Problem, completions: Sequence[Completion]) -> Callable[[], list[Score]]:
        """Begin to score; the returned function waits for the workers and gives one score per completion."""
        size, step = len(completions), completions[0].policy_version
        samples = Samples(
            prompts=(problem.prompt,) * size,
            completions=tuple(completion.text for completion in completions),
            columns={
                **{name: [value] * size for name, value in problem.columns.items()},
                "completion_ids": [list(completion.token_ids) for completion in completions],
                "sample_seeds": [completion.seed for completion in completions],
                "is_truncated": [completion.is_truncated for completion in completions],
            },
        )
        started = {component.name: component.start(samples, step) for component in self.components}

        def finish() -> list[Score]:
            results = {name: wait() for name, wait in started.items()}
            return [self._combine(completion, results, row) for row, completion in enumerate(completions)]

        return finish

    def __call__(self, problem: Problem, completions: Sequence[Completion]) -> list[Score]:
        """Score and wait."""
        return self.start(problem, completions)()

    @property
    def needs_group(self) -> bool:
        """Whether a component must see all completions of a problem at once."""
        return any(component.scope == Scope.GROUP for component in self.components)

    def require_columns(self, problems: Sequence[Problem], has_ids: bool = True) -> None:
        """ConfigError where a component cannot do without a column that some problem lacks, or without token ids."""
        common = set.intersection(*(set(problem.columns) for problem in problems))
        given = common | ({"completion_ids", "sample_seeds"} if has_ids else set())
        lines = [
            f"{component.key} needs a column {column!r} in every row; {nearest(column, given)}"
            for component in self.components
            for column in component.facts.columns
            if column not in given
        ]
        if lines:
            raise ConfigError("\n".join(lines))

    def refuse_faults(self, judged: Sequence[tuple[Problem, Completion, Score]]) -> None:
        """RunError with the worst examples where more than `reward.max_faults` of a step could not be judged."""
        refuse_faults(judged, self._config.max_faults)

    def ready(self) -> None:
        """Wait until the workers have loaded: what is timed afterwards is scoring alone."""
        for pool in self._pools:
            pool.ready()

    def close(self) -> None:
        """End the workers, if there are any."""
        for pool in self._pools:
            pool.close()

    def __enter__(self) -> "Reward":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _combine(self, completion: Completion, results: Mapping[str, Results], row: int) -> Score:
        scores = {name: column[row] for name, column in results.items()}
        times = [score.seconds for score in scores.values() if score is not None and score.seconds is not None]
        judged = scores[self._config.judge_name] or Score(None, Verdict.GRADER_ERROR, detail="does not apply here")
        common = replace(judged, parts=_parts(scores), weighted={}, seconds=math.fsum(times) if times else None)
        checked = {**scores, self._config.judge_name: judged}
        for name, score in checked.items():
            if score is not None and score.verdict in UNUSABLE:
                return replace(common, value=None, verdict=score.verdict, detail=f"{name}: {score.detail}")
        values = {name: None if score is None else score.value for name, score in scores.items()}
        value, weighted = combine(values, self._config)
        if value is None:
            return replace(common, value=None, verdict=Verdict.GRADER_ERROR, detail="no rewarded component applies")
        if not math.isfinite(value):
            return replace(common, value=None, verdict=Verdict.GRADER_ERROR, detail=f"the components come to {value}")
        if completion.is_truncated and judged.verdict in (Verdict.NO_ANSWER, Verdict.BAD_FORMAT):
            common = replace(common, verdict=Verdict.TRUNCATED)
        return replace(common, value=value, weighted=weighted)


def combine(values: Mapping[str, float | None], config: RewardConfig) -> tuple[float | None, dict[str, float]]:
    """The reward of raw component values, and what each component comes to in it.

    Each value is clipped, set to 0 where its gate is closed, and weighted; then all are summed, or multiplied but for
    those of weight 0; then the result is clipped. None does not apply: it stays out, and closes a gate. The reward is
    None where no component of a weight other than 0 applies.
    """
    weighted: dict[str, float] = {}
    for name, component in config.components.items():
        value = values[name]
        if value is not None:
            weighted[name] = component.weight * _clip(value, component.clip) if _is_open(component, values) else 0.0
    rewarded = [value for name, value in weighted.items() if config.components[name].weight]
    if not rewarded and any(component.weight for component in config.components.values()):
        return None, weighted
    return _clip(_total(rewarded, config.combine), config.clip), weighted


def _total(values: Sequence[float], how: str) -> float:
    """The sum or product; NaN where a sum is more than a float can hold."""
    try:
        return math.fsum(values) if how == "sum" else math.prod(values)
    except (OverflowError, ValueError):
        return math.nan


def _is_open(component: ComponentConfig, values: Mapping[str, float | None]) -> bool:
    gate = component.only_if
    if gate is None:
        return True
    value = values[gate.component]
    return value is not None and value >= gate.at_least


def _clip(value: float, bounds: Sequence[float] | None) -> float:
    return value if bounds is None else min(max(value, bounds[0]), bounds[1])


def _parts(scores: Mapping[str, Score | None]) -> dict[str, float]:
    """Raw values by component, and what a component reports of itself as component/part."""
    found = {}
    for name, score in scores.items():
        if score is not None and score.value is not None:
            found[name] = score.value
            found |= {f"{name}/{part}": value for part, value in score.parts.items()}
    return found


def load_reward(
    section: RewardConfig | Mapping[str, Any], max_tokens: int | None = None, key: str = "reward.components.{}"
) -> Reward:
    """The reward that a recipe's section names, for completions of up to `max_tokens` tokens.

    In Python the section may be a mapping: `load_reward({"components": {"short": my_function, "format": 0.1}})`.

    Built-in functions run in this process; all others, and the symbolic checks of `math`, in worker processes that are
    started here. ConfigError, one line each, for names, arguments and modules that do not fit; `key` is what the user
    knows a component by.
    """
    config = section if isinstance(section, RewardConfig) else validated(RewardConfig, {**section}, "reward.")
    functions, specs = _located(config, max_tokens, key)
    mathematical = [function for function in functions.values() if isinstance(function, MathCorrect)]
    pool = _start_pool(config, specs, config.environment)
    # Of its own: whatever becomes of the others, math-verify judges on.
    judges = _start_pool(config, [SYMBOLIC] if mathematical else [])
    for function in mathematical:
        function.use(judges)
    pools = [it for it in (pool, judges) if it is not None]
    try:
        return Reward(
            config, [_component(name, key.format(name), config, functions, pool) for name in config.components], pools
        )
    except (ConfigError, RunError):
        for it in pools:
            it.close()
        raise


def _located(config: RewardConfig, max_tokens: int | None, key: str) -> tuple[dict[str, Any], list[FunctionSpec]]:
    """What is built in, by its component's name, and what workers have to load. ConfigError, a line a finding."""
    functions: dict[str, Any] = {}
    specs: list[FunctionSpec] = []
    lines: list[str] = []
    for name, component in config.components.items():
        target, place = component.function or name, key.format(name)
        try:
            if callable(target):
                specs.append(FunctionSpec(name, pickled(target, place), component.args, place))
            elif target.startswith(PYTHON):
                raise ConfigError(f"{place}.function={target} was given as a Python object; give it again in Python")
            elif target in BUILTIN:
                functions[name] = make_builtin(target, component.args, max_tokens, place)
            elif is_location(target) or target in offered():
                specs.append(FunctionSpec(name, target, component.args, place))
            else:
                raise ConfigError(f"{place}: there is no reward {target!r}; {nearest(target, [*BUILTIN, *offered()])}")
        except ConfigError as error:
            lines += str(error).splitlines()
    if lines:
        raise ConfigError("\n".join(lines))
    return functions, specs


def _start_pool(config: RewardConfig, specs: Sequence[FunctionSpec], environment: Sequence[str] = ()) -> Any:
    if not specs:
        return None
    return WorkerPool(
        specs,
        Limits(
            timeout_seconds=config.timeout_seconds,
            memory_mib=config.memory_mib,
            processes=config.processes,
            file_mib=config.file_mib,
            load_seconds=config.load_seconds,
            first_call_seconds=config.first_call_seconds,
            stall_seconds=config.stall_seconds,
        ),
        num_workers=config.workers,
        environment=environment,
    )


def _component(name: str, key: str, config: RewardConfig, functions: Mapping[str, Any], pool: Any) -> Component:
    settings = config.components[name]
    if name in functions:
        function = functions[name]
        facts = Facts(scope_of(function), required_columns(function))
        start: Start = in_host(function, settings.conversational)
    else:
        facts = pool.ready()[name]
        start = in_worker(pool, name, Scope(settings.scope or facts.scope), settings.conversational)
    return Component(name, key, settings, facts, start)
