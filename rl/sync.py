"""The adapter's way into the engine, with a receipt: after every push both sides score the same canary tokens.

The most damaging failure in the field is an adapter that never arrives, or arrives without its experts: the run goes
on, samples from another policy, and nothing says so. Here it stops at once and says what the engine serves instead.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from statistics import mean
from typing import Protocol

from doubleback.rewards.types import Problem, RunError
from doubleback.rl.config import SyncConfig
from doubleback.rl.engines.engine import THE_ENGINE, Engine, Proof, Scores, scores_each, settle
from doubleback.rl.learner.finite import diverged
from doubleback.rl.learner.learner import ALL_PARTS, Learner
from doubleback.rl.objective.agreement import QUANTILE, Gap, gap_between, largest
from doubleback.rl.seeds import sample_seed
from doubleback.rl.stopwatch import Stopwatch
from doubleback.rl.types import Sampling, TokenSequence

MULTIPLE = 16.0
"""How many times as far as a model is from itself trainer and engine may be apart. Measured: one to two times where all
is well, up to five on experts in bfloat16, and 10.5 where the processor has AMX (docs/sync.md)."""
LIMITS = {"float32": (1e-5, 1e-3), "bfloat16": (1e-2, 0.5)}
"""The least and the largest bound in nats by precision of the base, whatever its rounding."""
CANARY_TOKENS = 64
"""Longest canary completion."""
CANARY_SHARE = 0.05
"""Of the tokens that a step is expected to sample, what the canaries may have in all, their prompts included. A canary
token costs a forward pass on either side, a step's token that and more."""
CANARY_CONTEXT = 16
"""Tokens that each prompt keeps, its last ones, where whole prompts would cost more than that: what both sides score
need be no answer, only the same text."""
FEWEST_TOKENS = 32
"""Completion tokens that the canaries keep however small the step is: fewer would prove little."""


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
    bound: float
    """What 98 % of the canary tokens had to keep, nats."""
    seconds: Mapping[str, float]
    """`sync`: export, merge and load of the adapter. `receipt`: the canaries on both sides."""

    def metrics(self) -> dict[str, float]:
        """Group sync/ of `rl.run.metrics`."""
        names = ("mean_abs", "max_abs", "moved", "from_base", "bound")
        return {f"sync/{name}": getattr(self, name) for name in names}

    def kept(self) -> "Receipt":
        """That of a step whose adapter stays with the learner: the engine keeps this one, and nothing was measured."""
        nan, seconds = math.nan, {"sync": 0.0, "receipt": 0.0}
        return replace(self, mean_abs=nan, max_abs=nan, moved=nan, from_base=nan, seconds=seconds)


class AdapterSync:
    """Pushes adapters and checks that they arrived. Create it before the first push, with canaries of the base.

    `is_due`: whether the adapter of a step is needed in the engine; one that is not stays where it is. The first is.
    """

    def __init__(
        self,
        engine: Engine,
        learner: Learner,
        canaries: Sequence[TokenSequence],
        config: SyncConfig,
        dtype: str,
        is_due: Callable[[int], bool] = lambda step: True,
    ) -> None:
        self._engine, self._learner, self._canaries = engine, learner, canaries
        self._config, self._dtype, self._is_due = config, dtype, is_due
        self._bound = measured_bound(engine, learner, canaries, config, dtype, parts=frozenset())
        self._base = learner.score(self._canaries, parts=frozenset())
        self._before = self._base
        self._last: Receipt | None = None
        for who, served in scores_each(engine, canaries).items():
            _require_agreement(f"the bare base, before any adapter{_by(who)}", self._base, served, self._bound)
        settle(engine, Proof(canaries, _fault_of(self._base, self._bound)), {})

    def push(self) -> Receipt:
        """Send the learner's adapter; RunError unless the engine then computes the learner's log-probabilities.

        An adapter under which the learner's own are not finite is not sent at all, and one that has not moved since the
        last receipt (its hash is the same) is not measured again. Of an adapter that is not due the receipt is that of
        the one that the engine keeps, and has measured nothing.
        """
        if self._last is not None and not self._is_due(self._learner.step):
            return self._last.kept()
        watch = Stopwatch()
        with watch.phase("sync"):
            adapter = self._learner.adapter()
        if self._last is not None and self._last.adapter_hash == adapter.hash:
            with watch.phase("sync"):
                self._engine.load_adapter(adapter, version=self._learner.step)
            seconds = {**watch.seconds, "receipt": 0.0}
            return replace(self._last, version=self._learner.step, moved=0.0, seconds=seconds)
        with watch.phase("receipt"):
            expected = self._learner.score(self._canaries)
        if not all(map(math.isfinite, chain.from_iterable(expected))):
            raise diverged(self._learner.step, "what the trainer computes with its adapter is", "it is not pushed")
        with watch.phase("sync"):
            self._engine.load_adapter(adapter, version=self._learner.step)
        with watch.phase("receipt"):
            gap = self._proven(expected)
        self._last = Receipt(
            version=self._learner.step,
            adapter_hash=adapter.hash,
            mean_abs=gap.mean_abs,
            max_abs=gap.max_abs,
            moved=gap_between(expected, self._before).mean_abs,
            from_base=gap_between(expected, self._base).mean_abs,
            bound=self._bound,
            seconds=watch.seconds,
        )
        self._before = expected
        return self._last

    def _proven(self, expected: Scores) -> Gap:
        """How far the worst engine is from `expected`, within the bound. One of several that is beyond is replaced, and
        serves again when it has proven that it has the adapter; RunError where none is within.
        """
        served = scores_each(self._engine, self._canaries)
        gaps = {who: gap_between(expected, scores) for who, scores in served.items()}
        if not all(gap.quantile_abs <= self._bound for gap in gaps.values()):  # so put, NaN stops too
            # Of the base it was measured; an adapter may have made more of the same roundings, which is no fault. They
            # are those of an engine that computes, where there is one: who is broken must not set its own bound.
            best = min(gaps, key=lambda who: (math.isnan(gaps[who].quantile_abs), gaps[who].quantile_abs))
            one = _One(self._engine, best)
            self._bound = measured_bound(one, self._learner, self._canaries, self._config, self._dtype, ALL_PARTS)
        faults = {
            who: "" if gap.quantile_abs <= self._bound else self._diagnosis(gap, served[who], who)
            for who, gap in gaps.items()
        }
        if all(faults.values()):
            raise RunError(next(iter(faults.values())))
        settle(self._engine, Proof(self._canaries, _fault_of(expected, self._bound)), faults)
        return max((gaps[who] for who, fault in faults.items() if not fault), key=lambda gap: gap.quantile_abs)

    def _diagnosis(self, gap: Gap, served: Scores, who: str) -> str:
        """The whole error: how far apart the two are, and which policy the engine serves instead, if we know it."""
        candidates = {
            "the bare base, without any adapter": self._base,
            "the adapter of an earlier push (stale)": self._before,
            "the adapter without its expert part": self._learner.score(self._canaries, ALL_PARTS - {"experts"}),
            "the adapter without its attention part": self._learner.score(self._canaries, ALL_PARTS - {"attention"}),
        }
        gaps = {name: gap_between(candidate, served).quantile_abs for name, candidate in candidates.items()}
        fitting = [name for name, quantile in gaps.items() if quantile <= self._bound]
        policy = min(fitting, key=lambda name: gaps[name], default="none of the policies we know")
        return (
            f"step {self._learner.step}: the adapter did not reach {who}: on {QUANTILE:.0%} of the canary tokens "
            f"trainer and engine log-probabilities {gap.in_words} (bound {self._bound:g}); it serves {policy}"
        )


class _Scores(Protocol):
    """Of an engine, what a receipt needs."""

    def score(self, sequences: Sequence[TokenSequence]) -> Scores:
        """See `rl.engines.engine.Engine`."""


@dataclass(frozen=True, slots=True)
class _One:
    """One of several engines."""

    engine: Engine
    who: str

    def score(self, sequences: Sequence[TokenSequence]) -> Scores:
        """See `rl.engines.engine.Engine`."""
        scores = scores_each(self.engine, sequences, [self.who])
        if self.who not in scores:
            raise RunError(f"{self.who} has died while its rounding was measured; go on from the newest checkpoint")
        return scores[self.who]


def _fault_of(expected: Scores, bound: float) -> Callable[[Scores], str]:
    """What a replica that was started since has to prove: a function of what it computes alone."""

    def fault(served: Scores) -> str:
        gap = gap_between(expected, served)
        return "" if gap.quantile_abs <= bound else f"does not serve the adapter: log-probabilities {gap.in_words}"

    return fault


def measured_bound(
    engine: _Scores,
    learner: Learner,
    sequences: Sequence[TokenSequence],
    config: SyncConfig,
    dtype: str,
    parts: frozenset[str],
) -> float:
    """What 98 % of tokens must keep, nats: `config.bound`, or MULTIPLE times the model's own rounding within LIMITS.

    The rounding is how far either side is from itself on these sequences, with those `parts` of the adapter at work:
    the engine in one batch and one by one, the trainer with other roundings too. For example 2e-5 in float32 makes a
    bound of 1.6e-4. NaN where a log-probability is not finite: nothing is under it.
    """
    if config.bound is not None:
        return config.bound
    trainer = gap_between(learner.score(sequences, parts), learner.score_rounded_anew(sequences, parts))
    served = gap_between(engine.score(sequences), [engine.score([sequence])[0] for sequence in sequences])
    rounding = largest([trainer.quantile_abs, served.quantile_abs])
    floor, ceiling = LIMITS[dtype]
    return rounding if math.isnan(rounding) else min(max(MULTIPLE * rounding, floor), ceiling)


def draw_canaries(
    engine: Engine, problems: Sequence[Problem], config: SyncConfig, seed: int, num_completions: int, max_tokens: int
) -> list[TokenSequence]:
    """Prompts and completions that the bare base, which `engine` serves, writes to the first `sync.num_canaries`.

    They are cut to CANARY_SHARE of what a step's `num_completions` are expected to have: as many tokens as these here,
    and all `max_tokens` where one is cut off.
    """
    problems = problems[: config.num_canaries]
    sampling = Sampling(group_size=2, temperature=1.0, max_tokens=CANARY_TOKENS)
    groups = engine.sample(problems, sampling, [sample_seed(seed, "canary", problem.id) for problem in problems])
    completions = [completion for group in groups for completion in group.completions]
    lengths = [max_tokens if it.is_truncated else min(len(it.token_ids), max_tokens) for it in completions]
    drawn = [(group.prompt_ids, completion.token_ids) for group in groups for completion in group.completions]
    return _cut(drawn, int(CANARY_SHARE * num_completions * mean(lengths)))


def _cut(sequences: list[TokenSequence], most_tokens: int) -> list[TokenSequence]:
    """All where they fit; else behind the last CANARY_CONTEXT tokens of their prompts, the shortest first and the last
    one cut, FEWEST_TOKENS at the least.
    """
    if sum(len(prompt) + len(completion) for prompt, completion in sequences) <= most_tokens:
        return sequences
    sequences = [(prompt[-CANARY_CONTEXT:], completion) for prompt, completion in sequences]
    kept: list[TokenSequence] = []
    num_scored = 0
    for prompt, completion in sorted(sequences, key=lambda sequence: len(sequence[0])):
        most_tokens -= len(prompt)
        if num_scored >= FEWEST_TOKENS and most_tokens <= 0:
            break
        completion = completion[: max(most_tokens, FEWEST_TOKENS - num_scored)]
        kept.append((prompt, completion))
        num_scored, most_tokens = num_scored + len(completion), most_tokens - len(completion)
    return kept


def _by(who: str) -> str:
    return "" if who == THE_ENGINE else f", by {who}"


def _require_agreement(what: str, expected: Scores, served: Scores, bound: float) -> None:
    gap = gap_between(expected, served)
    if not gap.quantile_abs <= bound:
        raise RunError(
            f"trainer and engine disagree on {what}: {QUANTILE:.0%} of the canary tokens {gap.in_words} "
            f"(sync.bound {bound:g}); the engine computes this model differently, and training on its samples would "
            f"be wrong"
        )
