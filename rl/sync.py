"""The adapter's way into the engine, with a receipt: after every push both sides score the same canary tokens.

The most damaging failure in the field is an adapter that never arrives, or arrives without its experts: the run goes
on, samples from another policy, and nothing says so. Here it stops at once and says what the engine serves instead.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from doubleback.rewards.types import Problem, RunError
from doubleback.rl.config import SyncConfig
from doubleback.rl.engines.engine import Engine
from doubleback.rl.learner.learner import ALL_PARTS, QUANTILE, Learner
from doubleback.rl.seeds import sample_seed
from doubleback.rl.types import Sampling, TokenSequence

BOUNDS = {"float32": 5e-5, "bfloat16": 0.1}
"""Default `sync.bound` in nats by precision of the base. Measured: see docs/sync.md."""
CANARY_TOKENS = 64

Logprobs = list[tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof that the engine serves the learner's adapter."""

    version: int
    """The step of the adapter."""
    adapter_hash: str
    mean_abs: float
    """Mean |trainer - engine| log-probability over the canary tokens, nats."""
    max_abs: float
    moved: float
    """Mean |this adapter - the one before| (trainer). Under the bound, a stale engine could not be told apart."""
    from_base: float
    """Mean |this adapter - bare base| (trainer)."""
    seconds: float
    """What the push and its proof took."""

    def metrics(self) -> dict[str, float]:
        """Group sync/ of `rl.run.metrics`."""
        return {f"sync/{name}": getattr(self, name) for name in ("mean_abs", "max_abs", "moved", "from_base")}


class AdapterSync:
    """Pushes adapters and checks that they arrived. Create it before the first push: canaries come from the base."""

    def __init__(
        self, engine: Engine, learner: Learner, problems: Sequence[Problem], config: SyncConfig, dtype: str, seed: int
    ) -> None:
        self._engine, self._learner = engine, learner
        self._bound = config.bound if config.bound is not None else BOUNDS[dtype]
        self._canaries = _draw_canaries(engine, problems[: config.num_canaries], seed)
        self._base = learner.score(self._canaries, parts=frozenset())
        self._before = self._base
        _require_agreement("the bare base, before any adapter", self._base, engine.score(self._canaries), self._bound)

    def push(self) -> Receipt:
        """Send the learner's adapter; RunError unless the engine then computes the learner's log-probabilities."""
        started = time.perf_counter()
        adapter = self._learner.adapter()
        self._engine.load_adapter(adapter, version=self._learner.step)
        expected = self._learner.score(self._canaries)
        served = self._engine.score(self._canaries)
        if _quantile_gap(expected, served) > self._bound:
            raise RunError(self._diagnosis(expected, served))
        receipt = Receipt(
            version=self._learner.step,
            adapter_hash=adapter.hash,
            mean_abs=_mean_gap(expected, served),
            max_abs=max(_gaps(expected, served)),
            moved=_mean_gap(expected, self._before),
            from_base=_mean_gap(expected, self._base),
            seconds=time.perf_counter() - started,
        )
        self._before = expected
        return receipt

    def _diagnosis(self, expected: Logprobs, served: Logprobs) -> str:
        """Which policy the engine serves instead: the known candidate that fits its numbers, if one does."""
        candidates = {
            "the bare base, without any adapter": self._base,
            "the adapter of an earlier push (stale)": self._before,
            "the adapter without its expert part": self._learner.score(self._canaries, ALL_PARTS - {"experts"}),
            "the adapter without its attention part": self._learner.score(self._canaries, ALL_PARTS - {"attention"}),
        }
        gaps = {name: _quantile_gap(candidate, served) for name, candidate in candidates.items()}
        name = min(gaps, key=lambda key: gaps[key])
        cause = f"it serves {name}" if gaps[name] <= self._bound else "it serves none of the policies we know"
        return (
            f"step {self._learner.step}: the adapter did not reach the engine: on {QUANTILE:.0%} of the canary tokens "
            f"trainer and engine log-probabilities differ by up to {_quantile_gap(expected, served):.2g} nats "
            f"(bound {self._bound:g}); {cause}"
        )


def _draw_canaries(engine: Engine, problems: Sequence[Problem], seed: int) -> list[TokenSequence]:
    sampling = Sampling(group_size=2, temperature=1.0, max_tokens=CANARY_TOKENS)
    groups = engine.sample(problems, sampling, [sample_seed(seed, "canary", problem.id) for problem in problems])
    return [(group.prompt_ids, completion.token_ids) for group in groups for completion in group.completions]


def _require_agreement(what: str, expected: Logprobs, served: Logprobs, bound: float) -> None:
    if (gap := _quantile_gap(expected, served)) > bound:
        raise RunError(
            f"trainer and engine disagree on {what}: {QUANTILE:.0%} of the canary tokens differ by up to "
            f"{gap:.2g} nats (sync.bound {bound:g}); the engine computes this model differently, and training on its "
            f"samples would be wrong"
        )


def _gaps(left: Logprobs, right: Logprobs) -> list[float]:
    pairs = zip(left, right, strict=True)
    return sorted(abs(a - b) for first, second in pairs for a, b in zip(first, second, strict=True))


def _mean_gap(left: Logprobs, right: Logprobs) -> float:
    gaps = _gaps(left, right)
    return sum(gaps) / len(gaps)


def _quantile_gap(left: Logprobs, right: Logprobs) -> float:
    gaps = _gaps(left, right)
    return gaps[max(0, round(QUANTILE * len(gaps)) - 1)]
