"""How the replicas of a fleet stood while a step was sampled: figures for metrics and the progress line."""

import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from doubleback.rl.engines.engine import Load, bare
from doubleback.rl.engines.fleet.health import Health, State

Standing = tuple[str, Health, int | None, Load | None]
"""Of a replica its name and machine, its health, the version of its adapter, and how its engine stood."""


@runtime_checkable
class Several(Protocol):
    """An engine of several replicas, each of which can be asked how it stands."""

    def load(self) -> Load | None:
        """How all of them stand together; each is asked."""

    def standing(self) -> Sequence[Standing]:
        """How each stood when it was last asked."""


def standing_of(engine: object) -> Sequence[Standing]:
    """How each replica stands now; none of an engine that is one."""
    several = bare(engine)
    if not isinstance(several, Several):
        return ()
    several.load()
    return several.standing()


def replica_metrics(before: Sequence[Standing], after: Sequence[Standing], seconds: float) -> dict[str, float]:
    """Group fleet/ of the metrics, from two looks with `seconds` of sampling between them; empty without replicas.

    A replica that was replaced meanwhile, or that does not answer, has no rate: its counters began anew.
    """
    if not after:
        return {}
    metrics = {
        "fleet/serving": float(sum(health.state == State.SERVING for _, health, _, _ in after)),
        "fleet/restarts": float(sum(health.restarts for _, health, _, _ in after)),
    }
    newest = max((version for _, _, version, _ in after if version is not None), default=None)
    for number, (then, now) in enumerate(zip(before, after, strict=True), start=1):
        metrics[f"fleet/{number}/tokens_per_s"] = _rate(then, now, seconds)
        version = now[2]
        metrics[f"fleet/{number}/adapter_age"] = math.nan if version is None or newest is None else newest - version
    return metrics


def _rate(then: Standing, now: Standing, seconds: float) -> float:
    is_same = then[1].restarts == now[1].restarts
    if not is_same or then[3] is None or now[3] is None or seconds <= 0:
        return math.nan
    return (now[3].tokens - then[3].tokens) / seconds
