"""Sums over the microbatches of a step, from which its metrics are made. Shapes: B completions, T tokens."""

import math

import torch

from doubleback.rl.learner.batching import Microbatch
from doubleback.rl.learner.forward import Forward, reported
from doubleback.rl.learner.loss import Terms, TokenValues
from doubleback.rl.objective.agreement import largest
from doubleback.rl.objective.kl import kl_k1, kl_k3
from doubleback.rl.policy.routing import differing


class Tally:
    """Sums over the microbatches of one step, for token-weighted means."""

    def __init__(self) -> None:
        self.loss = 0.0
        """Of all microbatches so far, over every update."""
        self._norms: list[float] = []
        self._tokens = 0
        self._sums: dict[str, float] = {}
        self._max_gaps: list[float] = []
        self._differ = self._routed = 0

    @torch.no_grad()
    def add(self, micro: Microbatch, values: TokenValues, terms: Terms) -> None:
        """Count one microbatch: what was computed for its loss, over the tokens of its completions."""
        mask_BT = micro.loss_mask_BT
        gap_BT = (values.old_logprobs_BT - micro.sampler_logprobs_BT).abs()
        self.loss += float(terms.loss)
        self._tokens += int(mask_BT.sum())
        self._max_gaps.append(float(gap_BT[mask_BT].max()))
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
        for name, of_tokens in measured.items():
            total = float(of_tokens.expand(mask_BT.shape)[mask_BT].sum(dtype=torch.float64))
            self._sums[name] = self._sums.get(name, 0.0) + total

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
        updates = max(len(self._norms), 1)
        learner = [f"learner/{name}" for name in ("entropy", "clip_low", "clip_high", "importance_capped")]
        names = (*learner, "gap/mean_abs", "gap/k3")
        means = {
            name: self._sums.get(name, math.nan) / max(self._tokens, 1) for name in dict.fromkeys([*names, *self._sums])
        }
        return {
            "learner/loss": self.loss / updates if self._norms else math.nan,
            "learner/grad_norm": sum(self._norms) / updates if self._norms else math.nan,
            "learner/tokens": float(self._tokens),
            "gap/max_abs": largest(self._max_gaps),
            "gap/experts_differ": self.experts_differ,
            **means,
        }
