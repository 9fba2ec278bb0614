"""Sums over the microbatches of a step, from which its metrics are made. Shapes: B completions, T tokens."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch

from doubleback.rl.learner.batching import Microbatch
from doubleback.rl.learner.forward import Forward, reported
from doubleback.rl.learner.loss import Terms, TokenValues
from doubleback.rl.objective.agreement import largest
from doubleback.rl.objective.kl import kl_k1, kl_k3
from doubleback.rl.policy.routing import differing


@dataclass(frozen=True, slots=True)
class Sums:
    """What one microbatch measures, over the tokens of its completions."""

    loss: float
    """Its part of the step's loss."""
    num_tokens: int
    """With a loss."""
    max_gap: float
    """Largest |trainer - engine| log-probability, nats."""
    of_tokens: Mapping[str, float]
    """Metric name -> its sum over the tokens, in float64."""


class Tally:
    """Sums over the microbatches of one step, for token-weighted means.

    It keeps every microbatch apart and adds up in their order. What others have counted of parts of the step so comes
    to the same last digit as if all had been counted here.
    """

    def __init__(self) -> None:
        self._microbatches: list[Sums] = []
        self._norms: list[float] = []
        self._differ = self._routed = 0

    @torch.no_grad()
    def add(self, micro: Microbatch, values: TokenValues, terms: Terms) -> None:
        """Count one microbatch: what was computed for its loss, over the tokens of its completions."""
        mask_BT = micro.loss_mask_BT
        gap_BT = (values.old_logprobs_BT - micro.sampler_logprobs_BT).abs()
        measured = {
            "learner/entropy": values.entropy_BT,
            **terms.shares,
            "gap/mean_abs": gap_BT,
            "gap/k3": kl_k3(micro.sampler_logprobs_BT, values.old_logprobs_BT),
        }
        if terms.kl_BT is not None:
            measured["learner/kl_ref"] = terms.kl_BT
        if micro.teacher_logprobs_BT is not None:
            measured["learner/kl_teacher"] = kl_k1(values.old_logprobs_BT, micro.teacher_logprobs_BT)
        of_tokens = {
            name: float(values_BT.expand(mask_BT.shape)[mask_BT].sum(dtype=torch.float64))
            for name, values_BT in measured.items()
        }
        self._microbatches.append(Sums(float(terms.loss), int(mask_BT.sum()), float(gap_BT[mask_BT].max()), of_tokens))

    def extend(self, later: "Tally") -> None:
        """Count what another tally has counted of further microbatches."""
        self._microbatches += later._microbatches
        self._norms += later._norms
        self._differ += later._differ
        self._routed += later._routed

    @property
    def loss(self) -> float:
        """Of all microbatches so far, over every update."""
        return _in_order(sums.loss for sums in self._microbatches)

    @torch.no_grad()
    def add_routes(self, micro: Microbatch, forward: Forward) -> None:
        """Compare what the last forward pass chose by itself with what the engine chose."""
        if micro.routes_BTLK is None:
            return
        forward.routers.require_layers(micro.routes_BTLK.shape[2])
        own, engine = forward.chosen(micro), reported(micro)
        self._differ += int(differing(own, engine).sum())
        self._routed += len(own)

    @property
    def experts_differ(self) -> float:
        """Share of the tokens whose experts were compared and differ; NaN where none were."""
        return self._differ / self._routed if self._routed else math.nan

    def add_update(self, grad_norm: float) -> None:
        """Count one optimiser step."""
        self._norms.append(grad_norm)

    def means(self) -> dict[str, float]:
        """The metrics; NaN where no token was trained."""
        updates, num_tokens = max(len(self._norms), 1), sum(sums.num_tokens for sums in self._microbatches)
        learner = [f"learner/{name}" for name in ("entropy", "clip_low", "clip_high", "importance_capped")]
        measured = [name for sums in self._microbatches for name in sums.of_tokens]
        return {
            "learner/loss": self.loss / updates if self._norms else math.nan,
            "learner/grad_norm": sum(self._norms) / updates if self._norms else math.nan,
            "learner/tokens": float(num_tokens),
            "gap/max_abs": largest([sums.max_gap for sums in self._microbatches]),
            "gap/experts_differ": self.experts_differ,
            **{
                name: self._total(name) / max(num_tokens, 1)
                for name in dict.fromkeys([*learner, "gap/mean_abs", "gap/k3", *measured])
            },
        }

    def _total(self, name: str) -> float:
        """Over all tokens; NaN where no microbatch measured it."""
        measured = [sums.of_tokens[name] for sums in self._microbatches if name in sums.of_tokens]
        return _in_order(measured) if measured else math.nan


def _in_order(values: Iterable[float]) -> float:
    """The plain sum. Python's own compensates for rounding from 3.12 on, and so differs from that of 3.11."""
    total = 0.0
    for value in values:
        total += value
    return total
