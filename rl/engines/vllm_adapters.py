"""The two ways of an adapter into vLLM (`rl.engines.delivery`), and what vLLM needs for each to be exact.

Each correction here mends an error that says nothing: see docs/sync.md for what it costs without.
"""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM
from transformers.core_model_loading import revert_weight_conversion
from vllm import LLM
from vllm.lora.request import LoRARequest
from vllm.model_executor.layers.fused_moe import unquantized_fused_moe_method as unquantized
from vllm.model_executor.layers.fused_moe.experts.cpu_moe import cpu_prepack_moe_weight

from doubleback.rl.engines.delivery import write_runtime_adapter
from doubleback.rl.policy.base import is_cuda, load_configuration
from doubleback.rl.policy.families import Family
from doubleback.rl.policy.lora import Adapter
from doubleback.rl.policy.merging import merged


class MergedReload:
    """Sends W + scaling * B A of every adapted matrix through vLLM's weight reload, with the rest of the base."""

    request = None

    def __init__(self, llm: LLM, path: str, base: Mapping[str, torch.Tensor], family: Family) -> None:
        self._runner = llm.llm_engine.model_executor.driver_worker.worker.model_runner
        self._base, self._family = base, family
        # Names and shapes alone, which say how a checkpoint of this family is laid out; no memory is taken.
        with torch.device("meta"):
            self._skeleton = AutoModelForCausalLM.from_config(load_configuration(path))

    def load(self, adapter: Adapter, version: int) -> None:
        """Serve `adapter` from now on."""
        # All of the base, not only what is adapted: vLLM takes a layer apart before it loads it anew, as a whole.
        weights = {**self._base, **merged(self._base, adapter)}
        # From transformers' names to those of a checkpoint, which vLLM reads: fused experts taken apart again, as
        # model.layers.0.mlp.experts.gate_up_proj (E, 2J, I) -> model.layers.0.mlp.experts.3.up_proj.weight (J, I).
        named = revert_weight_conversion(self._skeleton, weights)
        self._runner.reload_weights(weights_iterator=iter(named.items()))
        if not self._family.can_reload:
            _write_experts(self._runner.get_model(), weights)

    def close(self) -> None:
        """Nothing is left behind."""


class RuntimeAdapter:
    """Hands the adapter itself to vLLM: under a new name and number each time, since vLLM's caches go by them."""

    def __init__(self, llm: LLM, family: Family) -> None:
        self._engine, self._family = llm.llm_engine, family
        self._folder = Path(tempfile.mkdtemp(prefix="doubleback-adapter-"))
        self._count = 0
        self.request: LoRARequest | None = None

    def load(self, adapter: Adapter, version: int) -> None:
        """Serve `adapter` from now on."""
        before, self._count = self.request, self._count + 1
        folder = self._folder / str(self._count)
        write_runtime_adapter(adapter, self._family, folder)
        # vLLM loads an adapter once by its number, and keeps a prompt's keys and values by its name: the same step
        # pushed twice, as after a resume, must still be new to it.
        self.request = LoRARequest(f"step-{version}-{self._count}", self._count, str(folder))
        self._engine.add_lora(self.request)
        # Only behind the new one: until here a failure leaves vLLM with an adapter that it can serve.
        if before is not None:
            self._engine.remove_lora(before.lora_int_id)
            shutil.rmtree(before.lora_path)

    def close(self) -> None:
        """Remove the files."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _write_experts(model: torch.nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Write fused experts into vLLM's own parameters, which its reload passes over (gpt-oss).

    Shapes: E experts, I inputs, O outputs. transformers keeps gpt-oss's matrices as (E, I, O), for x W; vLLM multiplies
    by W^T and keeps (E, O, I): w13 of gate and up, their rows in turn as in transformers, and w2 of down.
    """
    layers = {name: module for name, module in model.named_modules() if name.endswith(".routed_experts")}
    for name, layer in layers.items():
        owner = name.removesuffix(".routed_experts")
        kernel = layer.quant_method.moe_kernel.fused_experts
        for parameter, projection in ((layer.w13_weight, "gate_up_proj"), (layer.w2_weight, "down_proj")):
            weight_EOI = weights[f"{owner}.{projection}"].transpose(1, 2).contiguous()
            if parameter.device.type == "cpu":
                # The CPU's kernel reads blocks in an order of its own, as at the first load.
                weight_EOI = cpu_prepack_moe_weight(weight_EOI, kernel.isa)
            # Copied into the storage that vLLM's kernel holds: another tensor in its place would not be seen.
            parameter.data.copy_(weight_EOI)


def correct_vllm() -> None:
    """Mend what is wrong in vLLM 0.31 on a CPU; once a process, before an engine is made."""
    if getattr(unquantized, "is_corrected", False):
        return
    _repack_experts_on_update()
    _keep_cpu_experts_with_lora()
    unquantized.is_corrected = True


def _repack_experts_on_update() -> None:
    """Prepack the experts for the CPU kernel on every update, not on the first load alone.

    Without it each reload leaves every MoE layer with unpacked weights that the kernel misreads: up to 4 nats off.
    """
    original = unquantized.UnquantizedFusedMoEMethod._setup_kernel

    def setup_kernel(self: Any, layer: Any, w13: torch.Tensor, w2: torch.Tensor) -> None:
        # At the first load there is no kernel: `original` makes it, and packs at its end. On an update it copies the
        # new weights into the storage that the kernel reads, unpacked, and stops there.
        is_update = self.moe_kernel is not None
        original(self, layer, w13, w2)
        if is_update and self.unquantized_backend == unquantized.UnquantizedMoeBackend.CPU:
            self.moe_kernel.fused_experts.process_weights_after_loading(layer)

    unquantized.UnquantizedFusedMoEMethod._setup_kernel = setup_kernel


def _keep_cpu_experts_with_lora() -> None:
    """Keep the CPU kernel for experts that carry no adapter: with LoRA on, vLLM takes Triton's for all of them."""
    original = unquantized.select_unquantized_moe_backend

    def select(moe_config: Any) -> Any:
        # Said of this choice alone: adapters on attention are served all the same, and none is on the experts here
        # (`rl.engines.delivery`).
        if not is_cuda():
            moe_config.is_lora_enabled = False
        return original(moe_config)

    unquantized.select_unquantized_moe_backend = select
