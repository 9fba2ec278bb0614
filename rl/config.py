"""The settings of the rl layer, with every default. Importing this loads no torch."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """A frozen section of a recipe. Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, strict=True)


class ModelConfig(Section):
    path: str
    """Base model: a folder, a Hugging Face id, or `bundled:NAME` for one that is shipped with doubleback."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision of the frozen base in trainer and engine. Adapter, optimiser and log-softmax are always float32."""
    max_length: Annotated[int, Field(ge=2)] = 256
    """Context in tokens: longest prompt + sampling.max_tokens must fit."""


class LoraSettings(Section):
    rank: Annotated[int, Field(ge=1)] = 32
    """Rank of every adapted matrix."""
    expert_rank: Annotated[int, Field(ge=1)] | None = None
    """Rank of each routed expert's matrices, per expert. `null`: as `rank`."""
    alpha: Positive = 32.0
    """The update is scaled by alpha / rank, each part by its own rank."""
    targets: Literal["attention", "experts", "all"] = "all"
    """What carries an adapter. `all`: attention, routed experts, and dense feed-forward layers where there are any
    (shared experts, first layers, dense models). Embeddings and norms are always frozen."""
    train_router: bool = False
    """Adapt the router too. Off by default: it then chooses experts for reasons that the experts never saw."""
    expert_compute: Literal["grouped", "peft"] = "grouped"
    """How experts with an adapter are computed: `grouped` keeps the low rank apart from the frozen product, `peft`
    materialises W + B A. Equal up to rounding; `grouped` is faster and smaller: see `rl.experts`."""


class SamplingConfig(Section):
    group_size: Annotated[int, Field(ge=2)] = 8
    """Completions per problem. Advantages are relative to this group."""
    temperature: Positive = 1.0
    """Softmax temperature of the sampler; log-probabilities on both sides are taken at it."""
    max_tokens: Annotated[int, Field(ge=1)] = 128
    """Longest completion in tokens, end-of-sequence included. Longer ones are cut off: finish_reason "length"."""
    stop: list[str] = []
    """Strings at which a completion ends. Its tokens hold them, its text does not."""


class AlgorithmConfig(Section):
    advantage: Literal["centre", "standardise"] = "centre"
    """`centre`: reward - group mean (Dr. GRPO). `standardise`: also over the group's standard deviation (GRPO)."""
    normaliser: Literal["constant", "token", "sequence"] = "constant"
    """What the token sum is divided by, over the whole step: see `rl.losses.token_weights`."""
    clip_low: Fraction = 0.2
    """The probability ratio is clipped below at 1 - clip_low."""
    clip_high: Annotated[float, Field(ge=0)] = 0.28
    """The probability ratio is clipped above at 1 + clip_high (DAPO's clip-higher)."""
    importance_cap: Positive | None = 2.0
    """Cap of the truncated importance weight trainer/sampler. `null` turns the correction off."""
    kl_coef: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the k3 estimate of KL(policy || adapter-off reference) in the loss. 0: no reference forward at all."""
    mask_truncated: bool = False
    """Leave cut-off completions out of the loss; they still count in their group's mean."""
    routing_replay: bool = False
    """Send each token in the trainer to the experts that it was sent to in the engine (R3, arXiv:2510.11370)."""
    updates_per_batch: Annotated[int, Field(ge=1)] = 1
    """Optimiser steps on one batch of rollouts. 1 is exactly on-policy and needs no second forward."""


class OptimConfig(Section):
    prompts_per_step: Annotated[int, Field(ge=1)] = 32
    """Problems per step; rollouts per step = prompts_per_step * sampling.group_size."""
    lr: Positive = 2e-5
    """Peak learning rate of AdamW, constant after the warm-up."""
    warmup_steps: Annotated[int, Field(ge=0)] = 3
    """Steps over which the rate rises linearly from lr / (warmup_steps + 1)."""
    beta1: Fraction = 0.9
    """AdamW: decay of the gradient mean."""
    beta2: Fraction = 0.99
    """AdamW: decay of the squared-gradient mean."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """AdamW: decoupled decay of the adapter."""
    max_grad_norm: Positive = 1.0
    """Gradients are scaled down to this global norm."""
    microbatch_tokens: Annotated[int, Field(ge=1)] = 8192
    """Padded tokens that one forward pass may hold. Changes memory and speed, never the gradient."""


class EngineConfig(Section):
    name: Literal["vllm", "transformers"] = "vllm"
    """Who generates. `transformers` is the slow, plain reference."""
    kv_cache_mib: Annotated[int, Field(ge=16)] = 256
    """vLLM: memory for the key-value cache, in MiB."""
    max_num_seqs: Annotated[int, Field(ge=1)] = 256
    """Completions that are generated at the same time."""
    return_routed_experts: bool = True
    """Have the engine report the experts that it chose for each token: they are compared with the trainer's, and
    replayed where algorithm.routing_replay asks for it."""


class SyncConfig(Section):
    strategy: Literal["auto", "merged", "runtime"] = "auto"
    """How the adapter gets into the engine (`rl.delivery`): merged into weights that are loaded anew, or as it is.
    `auto` takes `runtime` where the engine can serve every part of it, and says why where it cannot."""
    num_canaries: Annotated[int, Field(ge=1)] = 8
    """Fixed sequences on which trainer and engine are compared after every push of the adapter."""
    bound: Positive | None = None
    """Largest |trainer - engine| log-probability in nats that 98 % of canary tokens must keep. `null`: the measured
    bound of the precision, `rl.sync.BOUNDS`."""


class CheckpointConfig(Section):
    every: Annotated[int, Field(ge=1)] = 10
    """Steps between checkpoints; the last step is always saved."""
    keep: Annotated[int, Field(ge=1)] = 2
    """Checkpoints kept; older ones are deleted after a newer one is safely on disk."""
