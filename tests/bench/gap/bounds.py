"""How far trainer and engine are apart, and each from itself, on random models: what the receipt's bound is made of.

python tests/bench/gap/bounds.py
"""

import os
import sys
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[2]))

from support.models.families import make_family_model
from support.models.policies import randomised

from doubleback.recipes.models.bundled import bundled_path
from doubleback.rewards.types import Problem
from doubleback.rl.config import LoraSettings, OptimConfig, SyncConfig
from doubleback.rl.engines.config import EngineConfig
from doubleback.rl.engines.create import create_engine
from doubleback.rl.learner.learner import ALL_PARTS, Learner
from doubleback.rl.objective.agreement import gap_between
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.policy import lora
from doubleback.rl.policy.base import base_tensors, load_base, load_tokenizer
from doubleback.rl.sync import draw_canaries
from doubleback.rl.types import ModelSource, Sampling

PROBLEMS = [Problem(f"p{target}", f"3 5 7 -> {target}") for target in (22, 15, 36, 8, 20, 11, 9, 30)]
MODELS = {"countdown": None, "2 layers": 2, "30 layers": 30}


def main() -> None:
    """A row for each model, precision and adapter, what 98 % of the canary tokens keep, nats."""
    print(
        "| model | precision | adapter | trainer - engine | trainer, rounded anew | one by one | engine, one by one |"
    )
    print("|---|---|---|---|---|---|---|")
    for (name, num_layers), dtype in product(MODELS.items(), ("float32", "bfloat16")):
        with TemporaryDirectory() as folder:
            path = bundled_path("bundled:countdown")
            if num_layers is not None:
                path = str(make_family_model("qwen3_moe", Path(folder), num_hidden_layers=num_layers))
            measure(name, ModelSource(path, dtype, 256))


def measure(name: str, source: ModelSource) -> None:
    """The rows of one model: the bare base, and a random adapter on it."""
    base = load_base(source)
    engine = create_engine(EngineConfig().setup(source), base_tensors(base), load_tokenizer(source.path))
    model = lora.attach(base, LoraSettings(rank=4, alpha=8.0), seed=0)
    learner = Learner(model, AlgorithmConfig(), OptimConfig(), Sampling(2, 1.0, 64))
    canaries = draw_canaries(engine, PROBLEMS, SyncConfig(), seed=0, num_completions=10_000, max_tokens=64)
    for adapter, parts in (("none", frozenset()), ("random", ALL_PARTS)):
        if adapter == "random":
            randomised(model, 1, 0.02 if name == "countdown" else 0.05)
            engine.load_adapter(learner.adapter(), version=1)
        ours, theirs = learner.score(canaries, parts), engine.score(canaries)
        gaps = (
            gap_between(ours, theirs),
            gap_between(ours, learner.score_rounded_anew(canaries, parts)),
            gap_between(ours, [learner.score([canary], parts)[0] for canary in canaries]),
            gap_between(theirs, [engine.score([canary])[0] for canary in canaries]),
        )
        shown = " | ".join(f"{gap.quantile_abs:.1e}" for gap in gaps)
        print(f"| {name} | {source.dtype} | {adapter} | {shown} |", flush=True)
    engine.close()


if __name__ == "__main__":
    main()
