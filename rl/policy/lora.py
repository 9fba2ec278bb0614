"""The LoRA adapter on attention, experts and dense layers: attach, export, hash, save. PEFT does the attaching.

Shapes: E experts, R rank, I inputs, O outputs.
"""

import hashlib
import json
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.lora.layer import LoraLayer, ParamWrapper
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn
from transformers import PreTrainedModel

from doubleback.rewards.types import ConfigError, first_line
from doubleback.rl.config import LoraSettings
from doubleback.rl.policy.experts import compute_low_rank_apart
from doubleback.rl.policy.families import Family, expert_rank, family_of
from doubleback.rl.policy.stored.adapter import ADAPTER_CONFIG, ADAPTER_WEIGHTS, require_plain_adapter

PREFIX = "base_model.model."
PARTS = ("attention", "experts", "mlp", "router")
"""What an adapter may sit on: attention, routed experts, dense feed-forward layers (shared experts too), routers."""


@dataclass(frozen=True, slots=True)
class Target:
    """One base parameter that carries an adapter."""

    parameter: str
    """Name of the base parameter, for example model.layers.0.self_attn.q_proj.weight."""
    key: str
    """Its adapter tensors are `key`.lora_A.weight and `key`.lora_B.weight, in PEFT's layout."""
    part: str
    """One of PARTS."""
    num_experts: int
    """E for a fused expert parameter (E, O, I) or (E, I, O), 1 for a plain matrix (O, I)."""
    is_transposed: bool
    """Whether a fused expert parameter is stored (E, I, O)."""
    rank: int
    """R, per expert."""
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


@dataclass(frozen=True, slots=True)
class TrainedPart:
    """How much of the adapter sits on one part of the model."""

    part: str
    """One of PARTS."""
    num_matrices: int
    """Adapted matrices; a fused parameter of E experts counts E times."""
    num_tensors: int
    """Tensors of the adapter."""
    num_parameters: int
    """What trains."""
    rank: int
    """Of each matrix, per expert."""


def peft_config(base: PreTrainedModel, settings: LoraSettings) -> LoraConfig:
    """What PEFT is told. ConfigError where the model has nothing of what is asked for."""
    family = family_of(base.config)
    wanted = _wanted_parts(base, family, settings)
    ranks: dict[str, int] = {}
    if "experts" in wanted and (rank := expert_rank(base.config, settings)) != settings.rank:
        ranks = dict.fromkeys(family.experts, rank)
    if "experts" in wanted and len(family.experts) > 1:
        _require_experts(base, family)
    modules, parameters = _targets(base, family, wanted)
    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=0.0,
        target_modules=modules,
        target_parameters=parameters or None,
        rank_pattern={re.escape(name): rank for name, rank in ranks.items()},
        task_type="CAUSAL_LM",
    )


def attach(base: PreTrainedModel, settings: LoraSettings, seed: int) -> PeftModel:
    """`base` wrapped by PEFT with a fresh float32 adapter: A random from `seed`, B zero. Everything else is frozen."""
    family, config = family_of(base.config), peft_config(base, settings)
    wanted = _wanted_parts(base, family, settings)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # PEFT looks for the ranks of parameters among modules alone, and says that it found none.
        warnings.filterwarnings("ignore", message=".*rank_pattern.*")
        torch.manual_seed(seed)
        try:
            model = get_peft_model(base, config, autocast_adapter_dtype=True)
        except ValueError as error:
            raise ConfigError(
                f"lora.targets={settings.targets}: {family.name} has nothing to adapt: {error}"
            ) from error
    adapted = {target.part for target in targets(model)}
    if missing := sorted(wanted - adapted):
        names = {
            "attention": family.attention,
            "experts": family.experts,
            "mlp": family.mlp,
            "router": (family.router,),
        }
        raise ConfigError(
            f"lora.targets={settings.targets}: no {' and no '.join(missing)} found in this {family.name} model under "
            f"the names {', '.join(name for part in missing for name in names[part])}; see rl/policy/families.py"
        )
    if settings.expert_compute != "peft":
        compute_low_rank_apart(model)
    return model


def _wanted_parts(base: PreTrainedModel, family: Family, settings: LoraSettings) -> set[str]:
    """The parts that the recipe asks for. ConfigError where the model has no experts and they are asked for by name."""
    if settings.targets == "experts" and not family.experts:
        raise ConfigError(f"lora.targets=experts: {family.name} is a dense model without experts; try all or attention")
    if settings.train_router and not family.router:
        raise ConfigError(f"lora.train_router=true: {family.name} is a dense model without a router")
    parts = {"attention", "experts", "mlp"} if settings.targets == "all" else {settings.targets}
    absent = {"experts"} if not family.experts else set()
    absent |= {"mlp"} if not _linear_names(base, family, {"mlp"}) else set()
    return (parts - absent) | ({"router"} if settings.train_router else set())


def _targets(base: PreTrainedModel, family: Family, wanted: set[str]) -> tuple[list[str], list[str]]:
    """What PEFT is told to adapt: names of modules, and names of parameters.

    Dense layers of a MoE go by parameter: PEFT takes a module `gate_proj` of such a model for an old name of its
    experts and adapts those instead, without a word.
    """
    modules = _linear_names(base, family, wanted & {"attention"} if family.experts else wanted)
    dense = [f"{name}.weight" for name in _linear_names(base, family, wanted & {"mlp"})] if family.experts else []
    experts = family.experts if "experts" in wanted else ()
    router = [f"{family.router}.weight"] if "router" in wanted else []
    return modules, [*experts, *dense, *router]


def _require_experts(base: PreTrainedModel, family: Family) -> None:
    """ConfigError unless every fused parameter of the experts is there: half an adapter would train without a word."""
    names = [name for name, _ in base.named_parameters()]
    for expert in family.experts:
        if not any(name.endswith(f".{expert}") for name in names):
            raise ConfigError(f"{expert} is no parameter of this {family.name} model; see rl/policy/families.py")


def _linear_names(base: PreTrainedModel, family: Family, parts: set[str]) -> list[str]:
    """Last names of the linear modules of attention and dense layers that are in the model."""
    names = {*(family.attention if "attention" in parts else ()), *(family.mlp if "mlp" in parts else ())}
    return sorted(
        {
            leaf
            for name, module in base.named_modules()
            if isinstance(module, nn.Linear) and (leaf := name.rpartition(".")[2]) in names
        }
    )


def targets(model: PeftModel) -> tuple[Target, ...]:
    """What carries an adapter, in the model's order."""
    adapted = []
    for name, module in _lora_layers(model):
        is_parameter = isinstance(module, ParamWrapper)
        leaf = module.parameter_name if is_parameter else "weight"
        owner = name.removeprefix(PREFIX).replace(".base_layer", "")
        adapted.append(
            Target(
                parameter=f"{owner}.{leaf}",
                key=name,
                part=_part(name, module, family_of(model.config)),
                num_experts=module.num_experts if is_parameter else 1,
                is_transposed=is_parameter and module.num_experts > 1 and not module._did_swap_in_out_features,
                rank=int(module.r["default"]),
                scaling=float(module.scaling["default"]),
            )
        )
    return tuple(adapted)


def _lora_layers(model: PeftModel) -> list[tuple[str, LoraLayer]]:
    return [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, LoraLayer) and "default" in module.lora_A
    ]


def _part(name: str, module: LoraLayer, family: Family) -> str:
    if isinstance(module, ParamWrapper):
        if module.num_experts > 1:
            return "experts"
        return "router" if name.endswith(family.router) else "mlp"
    return "attention" if name.rpartition(".")[2] in family.attention else "mlp"


def trained_parts(model: PeftModel) -> list[TrainedPart]:
    """What trains, part by part."""
    adapted = targets(model)
    sizes = {name: tensor.numel() for name, tensor in get_peft_model_state_dict(model).items()}
    parts = []
    for part in PARTS:
        members = [target for target in adapted if target.part == part]
        keys = [f"{target.key}.lora_{side}.weight" for target in members for side in "AB"]
        if members:
            matrices = sum(target.num_experts for target in members)
            parts.append(TrainedPart(part, matrices, len(keys), sum(map(sizes.__getitem__, keys)), members[0].rank))
    return parts


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


@contextmanager
def only_parts(model: PeftModel, parts: frozenset[str]) -> Iterator[None]:
    """Within the block only the adapter's `parts` (of PARTS) act; the empty set is the bare base."""
    family = family_of(model.config)
    silent = [module for name, module in _lora_layers(model) if _part(name, module, family) not in parts]
    before = [module.scaling["default"] for module in silent]
    try:
        for module in silent:
            module.scaling["default"] = 0.0
        yield
    finally:
        for module, scaling in zip(silent, before, strict=True):
            module.scaling["default"] = scaling


def save(model: PeftModel, folder: Path) -> None:
    """adapter_config.json and adapter_model.safetensors, as `PeftModel.from_pretrained` reads them.

    The same adapter gives the same bytes, in whatever process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = model.peft_config["default"]
    config.save_pretrained(str(folder))
    written = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    # PEFT keeps names in sets, whose order is another one in every process.
    ordered = {key: sorted(it) if isinstance(getattr(config, key), set) else it for key, it in written.items()}
    (folder / ADAPTER_CONFIG).write_text(json.dumps(ordered, indent=2, sort_keys=True), encoding="utf-8")
    content = to_safetensors(dict(export(model).tensors), metadata={"format": "pt"})
    (folder / ADAPTER_WEIGHTS).write_bytes(content)


def restore(base: PreTrainedModel, folder: Path) -> PeftModel:
    """`base` with the adapter that lies in `folder` in PEFT's layout, in float32. ConfigError where it does not fit."""
    require_plain_adapter(folder)
    try:
        model = PeftModel.from_pretrained(base, str(folder), is_trainable=True, autocast_adapter_dtype=True)
    except Exception as error:
        raise ConfigError(f"the adapter in {folder} cannot be attached to this model: {first_line(error)}") from error
    if not targets(model):
        raise ConfigError(f"the adapter in {folder} adapts no attention and no experts of this model")
    compute_low_rank_apart(model)
    return model


def load(model: PeftModel, tensors: Mapping[str, Tensor]) -> None:
    """Put `tensors` (PEFT's names) into the model's adapter. ValueError names a tensor that would not arrive."""
    expected = set(get_peft_model_state_dict(model))
    if odd := expected ^ set(tensors):
        raise ValueError(
            f"the adapter does not fit this model: {sorted(odd)[0]} and {len(odd) - 1} more tensors differ"
        )
    set_peft_model_state_dict(model, dict(tensors))
