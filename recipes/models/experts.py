"""A dense model's feed-forward layers as experts: sparse upcycling (arXiv:2212.05055).

Every feed-forward layer becomes E experts that are copies of it, behind a router of small random weights; all other
parameters stay. The weights of a token's experts sum to 1, so that the copies together compute what the one did.
Where we differ from the paper: it makes experts of half of the layers, we of each, since the families of `FAMILIES`
have them in each. Shapes: E experts, I intermediate, H hidden, O and J outputs and inputs of a matrix.
"""

import json
import math
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from doubleback.recipes.models.upcycle import Upcycled, Upcycling
from doubleback.rewards.types import ConfigError, RunError
from doubleback.rl.policy.base import base_tensors, load_base, load_configuration, load_tokenizer, random_ids
from doubleback.rl.policy.families import FAMILIES, Family, num_experts
from doubleback.rl.policy.lora import hash_tensors
from doubleback.rl.types import ModelSource

ROUTER_STD = 0.02
"""Deviation of the router's weights: that of any new weight in the GPT line. Far from a tie, near to uniform."""
SAME = 1e-3
"""Nats by which copies may differ from the dense model in float32; a mistake shows as 0.1 and more."""
NOTE = "upcycling.json"
"""The file beside the weights that says where they came from."""


def write_upcycled(path: str, out: Path, settings: Upcycling) -> Upcycled:
    """Write the mixture into the folder `out`, read it again, and compare it with the dense model.

    Everything is computed in float32, whatever the dense model is stored in: sums of noise are rounded once, and what
    is compared differs by the function alone. Errors as of `recipes.models.upcycle.upcycle`.
    """
    family = _family_for(path, load_configuration(path))
    dense = load_base(ModelSource(path, "float32", max_length=2))
    stored = load_configuration(path).dtype or torch.float32
    expected = _logprobs(dense)
    weights = {name: tensor.cpu() for name, tensor in base_tensors(dense).items()}
    mixture = _assembled(path, dense, family, upcycled(weights, family, settings), settings)
    mixture.to(stored).save_pretrained(out)
    load_tokenizer(path).save_pretrained(out)
    source = {"source": path, "sha256": hash_tensors({name: tensor.to(stored) for name, tensor in weights.items()})}
    num_dense = dense.num_parameters()
    del dense, mixture, weights
    written = load_base(ModelSource(str(out), "float32", max_length=2))
    gap = (_logprobs(written) - expected).abs()
    report = _report(written, family, num_dense, settings, gap)
    _require_same(path, report, settings)
    note = source | settings.model_dump() | {"router_std": ROUTER_STD, "max_gap": report.max_gap}
    note["doubleback"] = version("doubleback")
    (out / NOTE).write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
    return report


def upcycled(dense: Mapping[str, Tensor], family: Family, settings: Upcycling) -> dict[str, Tensor]:
    """The parameters of the mixture: those of the dense model, its feed-forward matrices as experts, new routers.

    The routers are drawn first: noise or none, they are the same for a seed.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    gate_name, up_name, down_name = (f".mlp.{part}.weight" for part in family.mlp)
    layers = [name.removesuffix(gate_name) for name in dense if name.endswith(gate_name)]
    tensors = dict(dense)
    for layer in layers:
        shape = (settings.experts, dense[layer + gate_name].shape[1])  # (E, H)
        tensors[f"{layer}.{family.router}.weight"] = ROUTER_STD * torch.randn(shape, generator=generator)
    fused, last = family.experts
    for layer in layers:
        gate_EIH, up_EIH, down_EHI = (
            _copies(tensors.pop(layer + name), settings, generator) for name in (gate_name, up_name, down_name)
        )
        tensors[f"{layer}.mlp.{fused}"] = torch.cat((gate_EIH, up_EIH), dim=1)
        tensors[f"{layer}.mlp.{last}"] = down_EHI
    return tensors


def _copies(weight_OJ: Tensor, settings: Upcycling, generator: torch.Generator) -> Tensor:
    """The matrix E times, (E, O, J), each with noise of its own."""
    copies_EOJ = weight_OJ.expand(settings.experts, *weight_OJ.shape)
    if settings.noise == 0:
        return copies_EOJ.clone()
    return copies_EOJ + settings.noise * weight_OJ.std() * torch.randn(copies_EOJ.shape, generator=generator)


def _family_for(path: str, config: PretrainedConfig) -> Family:
    """The mixture that a dense model becomes. ConfigError where there is none, or it would compute something else."""
    kinds = {family.dense: family for family in FAMILIES.values() if family.dense}
    works = ", ".join(f"{dense} (becomes {family.name})" for dense, family in kinds.items())
    if count := num_experts(config):
        raise ConfigError(f"{path} is a mixture of {count} experts already ({config.model_type}); give one of: {works}")
    if config.model_type not in kinds:
        raise ConfigError(f"{path} is a {config.model_type} model, which has no mixture; give one of: {works}")
    if getattr(config, "quantization_config", None) is not None:
        raise ConfigError(f"{path} is quantized; give the model with its plain weights")
    if windows := {kind for kind in getattr(config, "layer_types", None) or [] if kind != "full_attention"}:
        name = kinds[config.model_type].name
        raise ConfigError(f"{path} has layers of {min(windows)}, {name} has none; give a model with full attention")
    return kinds[config.model_type]


def _configuration(dense: PretrainedConfig, family: Family, settings: Upcycling) -> PretrainedConfig:
    """The dense configuration, as far as the mixture has its keys, and the sizes of the experts."""
    kind = CONFIG_MAPPING[family.name]
    known = kind().to_dict()
    own = {key: value for key, value in dense.to_dict().items() if key not in ("architectures", "model_type")}
    experts: dict[str, Any] = {
        **dict.fromkeys(("num_experts", "num_local_experts"), settings.experts),
        "num_experts_per_tok": settings.top_k,
        "moe_intermediate_size": dense.intermediate_size,
        "norm_topk_prob": True,  # Mixtral's sum to 1 without being told
    }
    return kind(**{key: value for key, value in {**own, **experts}.items() if key in known})


def _assembled(
    path: str, dense: PreTrainedModel, family: Family, tensors: Mapping[str, Tensor], settings: Upcycling
) -> PreTrainedModel:
    """The mixture with these parameters. ConfigError where it has no place for one, or lacks one."""
    with torch.device("meta"):  # its own random weights are never made
        mixture = AutoModelForCausalLM.from_config(_configuration(dense.config, family, settings))
    places = {name for name, _ in mixture.named_parameters(remove_duplicate=False)}
    if odd := sorted(places ^ set(tensors)):
        raise ConfigError(
            f"{path}: {odd[0]} is {'absent' if odd[0] in places else 'a parameter'}, but a {family.name} model has "
            f"{'one' if odd[0] in places else 'none'}; it cannot be upcycled"
        )
    mixture.load_state_dict(tensors, assign=True)
    mixture.tie_weights()
    mixture.generation_config = dense.generation_config
    return mixture


@torch.no_grad()
def _logprobs(model: PreTrainedModel) -> Tensor:
    """Log-probabilities of every token at every place of the model's random ones."""
    return torch.log_softmax(model(input_ids=random_ids(model)).logits.float(), dim=-1).cpu()


def _report(written: PreTrainedModel, family: Family, num_dense: int, settings: Upcycling, gap: Tensor) -> Upcycled:
    sizes = {name: parameter.numel() for name, parameter in written.named_parameters()}
    of_experts = sum(size for name, size in sizes.items() if name.endswith(family.experts))
    total, idle = sum(sizes.values()), settings.experts - settings.top_k
    return Upcycled(
        family=family.name,
        num_layers=sum(name.endswith(family.experts[0]) for name in sizes),
        num_dense=num_dense,
        num_parameters=total,
        num_active=total - of_experts * idle // settings.experts,
        max_gap=float(gap.max()),
        mean_gap=float(gap.mean()),
    )


def _require_same(path: str, report: Upcycled, settings: Upcycling) -> None:
    """RunError unless copies compute what the dense model does; with noise, unless they compute numbers."""
    bound = SAME if settings.noise == 0 else math.inf
    if not (math.isfinite(report.mean_gap) and report.max_gap <= bound):
        raise RunError(
            f"{path} as a mixture of {settings.experts} experts is {report.max_gap:.1e} nats from the dense model, "
            f"where noise={settings.noise:g} allows {bound:g}; nothing is written"
        )
