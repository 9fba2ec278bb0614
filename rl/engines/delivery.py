"""How an adapter travels into the engine: which strategy, and why; and the layout that vLLM serves at run time.

merged    W + scaling * B A for every adapted matrix, out of place, through the engine's weight reload. Works for every
          part of an adapter; costs a pass over the weights of the whole model.
runtime   The adapter itself, a few MB; vLLM adds its product to the base's. Where vLLM has kernels for all of it. On a
          CPU it gathers the adapter's matrices anew for every token of a batch, which costs more than a reload a step.

Shapes: E experts, R rank, I inputs, O outputs.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from doubleback.rewards.types import ConfigError
from doubleback.rl.engines.setup import Strategy
from doubleback.rl.engines.table import engine_row
from doubleback.rl.policy.families import Family
from doubleback.rl.policy.layout import per_expert
from doubleback.rl.policy.lora import PREFIX, Adapter, Target
from doubleback.rl.policy.stored.adapter import ADAPTER_CONFIG, ADAPTER_WEIGHTS

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM may be told as the largest rank."""
SLOW_ON_A_CPU = (
    "on a CPU vLLM gathers an adapter's matrices anew for every token; "
    "merged weights sample twice as fast (docs/sync.md)"
)
"""Why `auto` does not take the runtime adapter there."""


def choose(asked: str, targets: tuple[Target, ...], family: Family, engine: str, is_cuda: bool, dtype: str) -> Strategy:
    """The strategy for an adapter on `targets` of a base in `dtype`. ConfigError where `asked` names one that cannot
    be.
    """
    parts, ranks = {target.part for target in targets}, [target.rank for target in targets]
    obstacle = _obstacle_to_runtime(parts, max(ranks), family, engine, is_cuda, dtype)
    if asked == "merged":
        return Strategy("merged", obstacle or "sync.strategy=merged asks for it")
    if asked == "auto" and (obstacle or not is_cuda):
        return Strategy("merged", obstacle or SLOW_ON_A_CPU)
    if obstacle:
        raise ConfigError(f"sync.strategy=runtime: {obstacle}; use auto or merged")
    named = " and ".join(sorted(parts))
    return Strategy(
        "runtime",
        f"vLLM serves an adapter on {named} beside the base, without a reload",
        max_rank=next(rank for rank in RANKS if rank >= max(ranks)),
        modules=tuple(sorted({_module(target) for target in targets})),
    )


def _obstacle_to_runtime(
    parts: set[str], rank: int, family: Family, engine: str, is_cuda: bool, dtype: str
) -> str | None:
    if not engine_row(engine).can_serve_adapters:
        return f"engine.name={engine} has merged weights alone"
    if "experts" in parts and not is_cuda:
        return "vLLM runs LoRA on experts with Triton kernels, which a CPU does not have"
    if is_cuda and dtype == "float32":
        return f"vLLM's kernels for adapters take no float32 on CUDA (model.dtype={dtype})"
    if odd := sorted(parts - family.runtime_parts):
        return f"vLLM serves no adapter on the {' and '.join(odd)} of {family.name} at run time"
    if rank > RANKS[-1]:
        return f"rank {rank} exceeds {RANKS[-1]}, vLLM's largest"
    return None


def _module(target: Target) -> str:
    """Last name of the module: `experts` for fused experts."""
    return target.parameter.rsplit(".", 2)[-2]


def write_runtime_adapter(adapter: Adapter, family: Family, folder: Path) -> None:
    """The adapter as vLLM loads it: one pair of matrices per plain matrix, alpha / rank folded into B."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = dict(runtime_tensors(adapter, family))
    rank = max(target.rank for target in adapter.targets)
    config = {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "task_type": "CAUSAL_LM",
        "target_modules": sorted({name.rsplit(".", 3)[-3] for name in tensors}),
    }
    save_file(tensors, str(folder / ADAPTER_WEIGHTS))
    (folder / ADAPTER_CONFIG).write_text(json.dumps(config), encoding="utf-8")


def runtime_tensors(adapter: Adapter, family: Family) -> Iterator[tuple[str, Tensor]]:
    """(vLLM's name, tensor): A (R, I) and scaling * B (O, R) of every plain matrix, fused experts taken apart."""
    for target in adapter.targets:
        a = adapter.tensors[f"{target.key}.lora_A.weight"]
        b = adapter.tensors[f"{target.key}.lora_B.weight"] * target.scaling
        owner = target.parameter.removesuffix(".weight")
        pairs = {owner: (a, b)} if target.num_experts == 1 else _plain_matrices(target, a, b, family)
        for name, (a_RI, b_OR) in pairs.items():
            # Copies: gate and up share A, and a file of tensors takes none that share memory.
            yield f"{PREFIX}{name}.lora_A.weight", a_RI.clone(memory_format=torch.contiguous_format)
            yield f"{PREFIX}{name}.lora_B.weight", b_OR.clone(memory_format=torch.contiguous_format)


def _plain_matrices(target: Target, a: Tensor, b: Tensor, family: Family) -> Mapping[str, tuple[Tensor, Tensor]]:
    """Each expert's gate, up and down matrices; gate and up share A, and each has its rows of B."""
    a_ERI, b_EOR = per_expert(a, b, target.num_experts)
    owner, _, parameter = target.parameter.rpartition(".")
    pairs = {}
    gate, up, down = (family.runtime_names.get(name, name) for name in ("gate_proj", "up_proj", "down_proj"))
    for here, there in family.runtime_names.items():
        owner = owner.replace(here, there)
    for expert, (a_RI, b_OR) in enumerate(zip(a_ERI, b_EOR, strict=True)):
        if parameter == "down_proj":
            pairs[f"{owner}.{expert}.{down}"] = (a_RI, b_OR)
            continue
        gate_OR, up_OR = (b_OR[::2], b_OR[1::2]) if family.is_interleaved else b_OR.chunk(2)
        pairs |= {f"{owner}.{expert}.{gate}": (a_RI, gate_OR), f"{owner}.{expert}.{up}": (a_RI, up_OR)}
    return pairs
