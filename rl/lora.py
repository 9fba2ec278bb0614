"""The LoRA adapter on attention and on fused experts: attach, export, hash, merge, save. PEFT does the attaching.

Shapes: E experts, R rank, I inputs, O outputs.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.lora.layer import LoraLayer, ParamWrapper
from safetensors.torch import save as to_safetensors
from torch import Tensor
from transformers import PreTrainedModel

from doubleback.rewards.types import ConfigError
from doubleback.rl.config import LoraSettings

ATTENTION_MODULES = ("q_proj", "k_proj", "v_proj", "o_proj")
EXPERT_PARAMETERS = ("experts.gate_up_proj", "experts.down_proj")
PREFIX = "base_model.model."


@dataclass(frozen=True, slots=True)
class Target:
    """One base parameter that carries an adapter."""

    parameter: str
    """Name of the base parameter, for example model.layers.0.self_attn.q_proj.weight."""
    key: str
    """Its adapter tensors are `key`.lora_A.weight and `key`.lora_B.weight, in PEFT's layout."""
    part: str
    """"attention" or "experts"."""
    num_experts: int
    """E for a fused expert parameter (E, O, I) or (E, I, O), 1 for a plain matrix (O, I)."""
    is_transposed: bool
    """Whether a fused expert parameter is stored (E, I, O)."""
    scaling: float
    """alpha / rank."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """A copy of the adapter at one step, on the CPU, in float32."""

    tensors: Mapping[str, Tensor]
    """By PEFT's names."""
    targets: tuple[Target, ...]
    """Where each tensor belongs."""
    hash: str
    """SHA-256 over names, shapes and bytes."""


def attach(base: PreTrainedModel, settings: LoraSettings, seed: int) -> PeftModel:
    """`base` wrapped by PEFT with a fresh float32 adapter: A random from `seed`, B zero. Everything else is frozen."""
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=0.0,
        target_modules=list(ATTENTION_MODULES) if settings.targets != "experts" else [],
        target_parameters=list(EXPERT_PARAMETERS) if settings.targets != "attention" else None,
        task_type="CAUSAL_LM",
    )
    wanted = {"attention", "experts"} if settings.targets == "all" else {settings.targets}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model = get_peft_model(base, config, autocast_adapter_dtype=True)
        except ValueError as error:
            missing = " and no ".join(sorted(wanted))
            raise ConfigError(
                f"lora.targets={settings.targets}: this model has no {missing} to adapt: {error}"
            ) from error
    parts = {target.part for target in targets(model)}
    if parts != wanted:
        raise ConfigError(
            f"lora.targets={settings.targets}: this model has no {' and no '.join(sorted(wanted - parts))}"
        )
    return model


def targets(model: PeftModel) -> tuple[Target, ...]:
    """What carries an adapter, in the model's order."""
    found = []
    for name, module in model.named_modules():
        if not isinstance(module, LoraLayer) or "default" not in module.lora_A:
            continue
        key, is_expert = name, isinstance(module, ParamWrapper)
        leaf = module.parameter_name if is_expert else "weight"
        owner = key.removeprefix(PREFIX).replace(".base_layer", "")
        found.append(
            Target(
                parameter=f"{owner}.{leaf}",
                key=key,
                part="experts" if is_expert else "attention",
                num_experts=module.num_experts if is_expert else 1,
                is_transposed=is_expert and not module._did_swap_in_out_features,
                scaling=float(module.scaling["default"]),
            )
        )
    return tuple(found)


def export(model: PeftModel) -> Adapter:
    """A copy of the current adapter."""
    state = get_peft_model_state_dict(model)
    tensors = {name: tensor.detach().to("cpu", torch.float32, copy=True) for name, tensor in sorted(state.items())}
    return Adapter(tensors=tensors, targets=targets(model), hash=hash_tensors(tensors))


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over sorted names, dtypes, shapes and bytes."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous().cpu()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.view(torch.uint8).numpy().tobytes() if tensor.dim() else str(tensor.item()).encode())
    return digest.hexdigest()


def delta(adapter: Adapter, target: Target) -> Tensor:
    """scaling * B A in float32, in the base parameter's shape.

    PEFT keeps the factors of E experts as A (R*E, I), experts outermost, and B (O, R*E), experts innermost.
    """
    a = adapter.tensors[f"{target.key}.lora_A.weight"]
    b = adapter.tensors[f"{target.key}.lora_B.weight"]
    if target.num_experts == 1:
        return target.scaling * (b @ a)
    a_ERI = a.reshape(target.num_experts, -1, a.shape[-1])
    b_EOR = b.reshape(b.shape[0], -1, target.num_experts).permute(2, 0, 1)
    delta_EOI = target.scaling * (b_EOR @ a_ERI)
    return delta_EOI.transpose(1, 2) if target.is_transposed else delta_EOI


def merged(base: Mapping[str, Tensor], adapter: Adapter) -> dict[str, Tensor]:
    """The adapted parameters W + scaling * B A: summed in float32, out of place, rounded once to the base's dtype.

    Merging in place and unmerging would move the "frozen" base by a rounding at every step.
    """
    return {
        target.parameter: (base[target.parameter].float() + delta(adapter, target)).to(base[target.parameter].dtype)
        for target in adapter.targets
    }


@contextmanager
def only_parts(model: PeftModel, parts: frozenset[str]) -> Iterator[None]:
    """Within the block only the adapter's `parts` ("attention", "experts") act; the empty set is the bare base."""
    modules = [module for module in model.modules() if isinstance(module, LoraLayer) and "default" in module.scaling]
    silent = [
        module for module in modules if ("experts" if isinstance(module, ParamWrapper) else "attention") not in parts
    ]
    before = [module.scaling["default"] for module in silent]
    try:
        for module in silent:
            module.scaling["default"] = 0.0
        yield
    finally:
        for module, scaling in zip(silent, before, strict=True):
            module.scaling["default"] = scaling


def save(model: PeftModel, folder: Path) -> None:
    """adapter_config.json and adapter_model.safetensors, as `PeftModel.from_pretrained` reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    config = model.peft_config["default"]
    config.save_pretrained(str(folder))
    content = to_safetensors(dict(export(model).tensors), metadata={"format": "pt"})
    (folder / "adapter_model.safetensors").write_bytes(content)


def restore(base: PreTrainedModel, folder: Path) -> PeftModel:
    """`base` with the adapter that lies in `folder` in PEFT's layout, in float32. ConfigError where it does not fit."""
    try:
        model = PeftModel.from_pretrained(base, str(folder), is_trainable=True, autocast_adapter_dtype=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConfigError(f"the adapter in {folder} cannot be attached to this model: {reason}") from error
    if not targets(model):
        raise ConfigError(f"the adapter in {folder} adapts no attention and no experts of this model")
    return model


def load(model: PeftModel, tensors: Mapping[str, Tensor]) -> None:
    """Put `tensors` (PEFT's names) into the model's adapter. ValueError names a tensor that would not arrive."""
    expected = set(get_peft_model_state_dict(model))
    if odd := expected ^ set(tensors):
        raise ValueError(
            f"the adapter does not fit this model: {sorted(odd)[0]} and {len(odd) - 1} more tensors differ"
        )
    set_peft_model_state_dict(model, dict(tensors))
