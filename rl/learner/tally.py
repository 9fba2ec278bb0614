"""Sums over the microbatches of a step, from which its metrics are made. Shapes: B completions, T tokens."""

import math

import torch
from torch import Tensor

from doubleback.rl.learner.batching import Microbatch
from doubleback.rl.learner.forward import Forward, reported
from doubleback.rl.learner.loss import policy_ratio
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.objective.kl import kl_k3
from doubleback.rl.policy.routing import differing


class Tally:
    """Sums over the microbatches of one step, for token-weighted means."""

    def __init__(self) -> None:
        self._loss = 0.0
        self._norms: list[float] = []
        self._tokens = 0
        self._sums: dict[str, float] = {}
        self._max_gap = 0.0
        self._differ = self._routed = 0

    @torch.no_grad()
    def add(
        self,
        micro: Microbatch,
        loss: Tensor,
        logprobs_BT: Tensor,
        old_BT: Tensor,
        ref_BT: Tensor | None,
        entropy_BT: Tensor,
        algorithm: AlgorithmConfig,
    ) -> None:
        """Count one microbatch."""
        mask = micro.loss_mask_BT
        ratio = policy_ratio(micro, logprobs_BT, old_BT, algorithm).expand(mask.shape)[mask]
        advantage = micro.advantages_B1.expand(mask.shape)[mask]
        gap = (old_BT - micro.sampler_logprobs_BT)[mask]
        self._loss += float(loss)
        self._tokens += int(mask.sum())
        self._max_gap = max(self._max_gap, float(gap.abs().max()))
        self._sum("learner/entropy", entropy_BT[mask])
        shares = algorithm.functions.clip_shares(ratio_BT=ratio, advantages_B1=advantage)
        for name, is_clipped in shares.items():
            self._sum(name, is_clipped)
        self._sum("gap/mean_abs", gap.abs())
        self._sum("gap/k3", kl_k3(micro.sampler_logprobs_BT, old_BT)[mask])
        if algorithm.applied_cap is not None:
            correction = algorithm.functions.importance_ratio(old_BT, micro.sampler_logprobs_BT, mask)
            self._sum("learner/importance_capped", (correction >= algorithm.applied_cap).expand(mask.shape)[mask])
            if algorithm.importance_floor is not None:
                floored = correction <= algorithm.importance_floor
                self._sum("learner/importance_floored", floored.expand(mask.shape)[mask])
        if ref_BT is not None:
            self._sum("learner/kl_ref", kl_k3(logprobs_BT, ref_BT)[mask])

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
            "learner/loss": self._loss / updates if self._norms else math.nan,
            "learner/grad_norm": sum(self._norms) / updates if self._norms else math.nan,
            "learner/tokens": float(self._tokens),
            "gap/max_abs": self._max_gap if self._tokens else math.nan,
            "gap/experts_differ": self.experts_differ,
            **means,
        }

    def _sum(self, name: str, values: Tensor) -> None:
        self._sums[name] = self._sums.get(name, 0.0) + float(values.sum(dtype=torch.float64))
