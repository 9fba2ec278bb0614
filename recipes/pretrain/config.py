"""Settings of a base that is made from scratch. Loads without torch."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from doubleback.recipes.pretrain.traces import DEFAULT_BUDGET, DEFAULT_MIX, TraceType
from doubleback.rewards.settings import Section
from doubleback.rl.config import Positive

# Not strict: names come as plain text from YAML and the command line.
TraceName = Annotated[TraceType, Field(strict=False)]


class ModelShape(Section):
    """A Qwen3-MoE small enough for a CPU, 902,656 parameters by default; or, with dense_size, a dense Qwen3."""

    architecture: Literal["qwen3_moe", "glm4_moe"] = "qwen3_moe"
    """`glm4_moe` (GLM-4.5) has the router of DeepSeek-V3 on the attention of Qwen3-MoE: sigmoid scores, a bias for the
    choice that a checkpoint keeps, and an expert for every token beside the routed ones."""
    hidden_size: Annotated[int, Field(ge=32, multiple_of=32)] = 128
    """Width. vLLM's CPU kernel for experts wants a multiple of 32."""
    num_layers: Annotated[int, Field(ge=1)] = 2
    """Decoder layers, every one with experts."""
    num_heads: Annotated[int, Field(ge=1)] = 4
    """Query heads."""
    num_key_value_heads: Annotated[int, Field(ge=1)] = 2
    """Key and value heads, shared among the query heads."""
    head_dim: Annotated[int, Field(ge=2, multiple_of=2)] = 32
    """Width of a head."""
    num_experts: Annotated[int, Field(ge=1)] = 8
    """Experts in a layer."""
    num_experts_per_token: Annotated[int, Field(ge=1)] = 2
    """Experts that a token visits; their weights are normalised to sum to 1."""
    expert_size: Annotated[int, Field(ge=32, multiple_of=32)] = 128
    """Inner width of an expert."""
    dense_size: Annotated[int, Field(ge=32, multiple_of=32)] | None = None
    """Inner width of each layer's feed-forward of a dense model, which has no experts. `null`: a mixture of experts."""
    rope_theta: Positive = 1e4
    """Base of the rotary frequencies."""
    max_positions: Annotated[int, Field(ge=16)] = 512
    """Longest prompt and completion together."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.num_heads % self.num_key_value_heads:
            raise ValueError(
                f"num_heads={self.num_heads} must be a multiple of num_key_value_heads={self.num_key_value_heads}"
            )
        if self.num_experts_per_token > self.num_experts:
            raise ValueError(
                f"num_experts_per_token={self.num_experts_per_token} must be at most num_experts={self.num_experts}"
            )
        return self


class PretrainConfig(Section):
    """Pre-training from scratch on synthetic traces; a task adds which problems."""

    mix: Mapping[TraceName, Annotated[float, Field(ge=0)]] = DEFAULT_MIX
    """Share of each trace type. {optimal: 1.0} makes a base without backtracking."""
    budget: Annotated[int, Field(ge=24)] = DEFAULT_BUDGET
    """Longest completion in tokens, end-of-sequence included."""
    seed: int = 0
    """Of the weights, of the traces and of the samples that are scored."""
    steps: Annotated[int, Field(ge=1)] = 2400
    """Optimiser steps."""
    tokens_per_batch: Annotated[int, Field(ge=256)] = 2048
    """Tokens of a batch, padding included."""
    lr: Positive = 3e-3
    """Peak learning rate of AdamW."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """AdamW's decay of the mean gradient."""
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.98
    """AdamW's decay of the squared gradient."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    """AdamW's decay of every weight."""
    max_grad_norm: Positive = 1.0
    """Gradients are scaled down to this norm."""
    warmup_steps: Annotated[int, Field(ge=0)] = 50
    """Steps of linear rise to `lr`."""
    decay_share: Annotated[float, Field(ge=0, le=1)] = 0.35
    """Last share of the steps, in which the rate falls linearly to 0."""
    balance: Literal["auxiliary", "bias"] = "auxiliary"
    """What spreads tokens over experts: `auxiliary`, a loss beside the model's own, or `bias`, one of each expert that
    counts for the choice alone, is moved after every step, and of which no loss knows (arXiv:2408.15664). The second
    needs model.architecture=glm4_moe."""
    balance_coefficient: Annotated[float, Field(ge=0)] = 0.01
    """Weight of the auxiliary loss; 0: nothing spreads tokens."""
    balance_rate: Positive = 0.001
    """How far a bias moves in a step."""
    threads: Annotated[int, Field(ge=1)] = 1
    """CPU threads; the same number gives the same weights. Two save a third of the time on idle cores, and take several
    times as long where a core is shared."""
    score_split: Literal["validation", "test"] = "test"
    """Held-out problems that the card's scores are measured on. While you tune: validation."""
    model: ModelShape = ModelShape()
    """Shape of the model."""

    @property
    @abstractmethod
    def longest_prompt(self) -> int:
        """Tokens that a prompt has at most."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not sum(self.mix.values()) > 0:
            raise ValueError(f"mix={self.mix} must have a positive share")
        if findings := list(self._findings()):
            raise ValueError("\n".join(findings))
        longest = self.longest_prompt + self.budget
        if longest > self.model.max_positions:
            raise ValueError(f"budget={self.budget} and a prompt exceed model.max_positions={self.model.max_positions}")
        if longest > self.tokens_per_batch:
            raise ValueError(f"budget={self.budget} and a prompt exceed tokens_per_batch={self.tokens_per_batch}")
        return self

    def _findings(self) -> Iterator[str]:
        if self.model.dense_size is not None and self.model.architecture != "qwen3_moe":
            yield (
                f"model.dense_size={self.model.dense_size} makes a dense Qwen3, and model.architecture="
                f"{self.model.architecture} is a mixture of experts; leave one of them out"
            )
        if self.balance == "bias" and self.model.architecture != "glm4_moe":
            yield (
                f"balance=bias needs a bias that a checkpoint keeps, and model.architecture={self.model.architecture} "
                "has none; set model.architecture=glm4_moe or balance=auxiliary"
            )
        if (
            self.balance == "bias"
            and self.balance_coefficient != type(self).model_fields["balance_coefficient"].default
        ):
            yield f"balance_coefficient={self.balance_coefficient} has no effect with balance=bias; leave it out"
        if self.balance != "bias" and self.balance_rate != type(self).model_fields["balance_rate"].default:
            yield f"balance_rate={self.balance_rate} has no effect with balance={self.balance}; set balance=bias"
