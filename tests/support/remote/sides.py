"""Both sides of a push: an engine of every kind and a learner on the same frozen base."""

import torch

from doubleback.rl.config import LoraSettings, OptimConfig
from doubleback.rl.engines.config import EngineConfig
from doubleback.rl.engines.create import create_engine, engines_elsewhere
from doubleback.rl.engines.delivery import choose
from doubleback.rl.learner.learner import Learner
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.policy import lora
from doubleback.rl.policy.base import base_tensors, is_cuda, load_base, load_tokenizer
from doubleback.rl.policy.families import family_of
from doubleback.rl.remote.cluster import Cluster, Share
from doubleback.rl.types import ModelSource
from support.rollouts import SAMPLING

PROCESS = "vllm, in a process of its own"
POOL = "transformers, in two processes"
CLUSTER = "transformers, in two actors of a Ray cluster"


class Setup:
    """An engine and a learner on the same frozen base."""

    def __init__(
        self, name: str, folder: str, targets: str = "all", is_runtime: bool = False, cluster: Cluster | None = None
    ) -> None:
        config = ModelSource(folder, "float32", 448)
        base = load_base(config)
        self.base = base_tensors(base)
        self.tokenizer = load_tokenizer(folder)
        model = lora.attach(base, LoraSettings(rank=4, alpha=8.0, targets=targets), seed=0)
        asked = "runtime" if is_runtime else "merged"
        kind = EngineConfig(name=name.split(",")[0], processes=2 if name in (POOL, CLUSTER) else 1)
        strategy = choose(asked, lora.targets(model), family_of(base.config), kind.name, is_cuda(), config.dtype)
        made = kind.setup(config, strategy, has_stop_strings=True)
        if cluster is None:
            self.engine = create_engine(made, self.base, self.tokenizer, is_apart=name == PROCESS)
        else:
            places = cluster.reserve([Share(), Share()])

            def start(index, make, arguments):
                return places.start(index, f"engine {index + 1}", make, arguments)

            self.engine = engines_elsewhere(start, made, print, cluster.share)
        self.learner = Learner(model, AlgorithmConfig(), OptimConfig(), SAMPLING)

    def randomise_adapter(self, seed: int, scale: float = 0.1) -> None:
        generator = torch.Generator().manual_seed(seed)
        tensors = {
            name: scale * torch.randn(tensor.shape, generator=generator)
            for name, tensor in self.learner.adapter().tensors.items()
        }
        lora.load(self.learner.model, tensors)
