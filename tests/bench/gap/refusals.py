"""Whether a push that goes astray is refused, on models of any depth and in both precisions.

    python tests/bench/gap/refusals.py [MODEL ...]     # folders of models, beside the two random ones

Each engine of `support.faulty` gets a random adapter through the receipt; a row has what 98 % of the canary tokens keep
where all is well and the bound, then of each fault what the refusal says of it.
"""

import os
import re
import sys
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[2]))

from support.faulty import Faulty
from support.models.families import make_family_model
from support.models.policies import randomised

from doubleback.rewards.types import Problem, RunError
from doubleback.rl.config import LoraSettings, OptimConfig, SyncConfig
from doubleback.rl.engines.config import EngineConfig
from doubleback.rl.engines.create import create_engine
from doubleback.rl.learner.learner import Learner
from doubleback.rl.objective.agreement import gap_between
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.policy import lora
from doubleback.rl.policy.base import base_tensors, load_base, load_tokenizer
from doubleback.rl.sync import AdapterSync, draw_canaries
from doubleback.rl.types import ModelSource, Sampling

PROBLEMS = [Problem(f"p{target}", f"3 5 7 -> {target}") for target in (22, 15)]
CONFIG = SyncConfig(num_canaries=2)
FAULTS = {
    "serves the base": "the base",
    "stale": "stale",
    "no experts": "attention alone",
    "no attention": "experts alone",
    "half": "half the scale",
    "one layer missing": "one layer missing",
}
"""What `support.faulty` calls them, and what is served."""
DEVIATION = 0.05
"""Of every number of an adapter that is pushed."""


class Rig:
    """Trainer and engine on one model, and the fresh adapter that both begin with."""

    def __init__(self, source: ModelSource) -> None:
        base = load_base(source)
        self.source = source
        self.engine = create_engine(EngineConfig().setup(source), base_tensors(base), load_tokenizer(source.path))
        self.canaries = draw_canaries(self.engine, PROBLEMS, CONFIG, seed=0, num_completions=10_000, max_tokens=64)
        self.model = lora.attach(base, LoraSettings(rank=4, alpha=8.0), seed=0)
        self.fresh = dict(lora.export(self.model).tensors)
        self.parts = {target.part for target in lora.export(self.model).targets}

    def pushed(self, fault: str) -> str:
        """What became of a push: the gap and the bound where it arrived, what is served where it was refused."""
        lora.load(self.model, self.fresh)
        learner = Learner(self.model, AlgorithmConfig(), OptimConfig(), Sampling(2, 1.0, 64))
        self.engine.load_adapter(learner.adapter(), version=0)
        sync = AdapterSync(Faulty(self.engine, fault), learner, self.canaries, CONFIG, self.source.dtype)
        if fault == "stale":
            learner.step += 1
            randomised(self.model, 1, DEVIATION)
            sync.push()
        learner.step += 1
        randomised(self.model, 2, DEVIATION)
        try:
            bound = sync.push().bound
        except RunError as error:
            gap, bound_said = re.search(r"by up to (\S+) nats \(bound (\S+)\)", str(error)).groups()
            return f"refused: {gap}, bound {float(bound_said):.1e}"
        gap = gap_between(learner.score(self.canaries), self.engine.score(self.canaries)).quantile_abs
        return f"{gap:.1e}, bound {bound:.1e}"

    def row(self) -> list[str]:
        """Where all is well, then each fault; a dense model has no experts that could be served alone."""
        faults = [fault for fault in FAULTS if fault != "no attention" or "experts" in self.parts]
        said = {fault: self.pushed(fault) for fault in ("none", *faults)}
        return [said.get(fault, "") for fault in ("none", *FAULTS)]


def main() -> None:
    print(f"| model | precision | all is well | {' | '.join(FAULTS.values())} |")
    print("|" + "---|" * (3 + len(FAULTS)))
    for depth, dtype in product((2, 30), ("float32", "bfloat16")):
        with TemporaryDirectory() as folder:
            path = str(make_family_model("qwen3_moe", Path(folder), num_hidden_layers=depth))
            show(f"random, {depth} layers", ModelSource(path, dtype, 256))
    for path, dtype in product(sys.argv[1:], ("float32", "bfloat16")):
        show(Path(path).name, ModelSource(path, dtype, 256))


def show(name: str, source: ModelSource) -> None:
    rig = Rig(source)
    print(f"| {name} | {source.dtype} | {' | '.join(rig.row())} |", flush=True)
    rig.engine.close()


if __name__ == "__main__":
    main()
