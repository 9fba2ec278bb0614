"""What the precision of the LM head does to the gap between sampler and trainer, on a base in bfloat16.

python tests/bench/gap/heads.py                       # bundled:countdown; or a folder with a model that reads countdown
"""

import argparse
import math
import os
from dataclasses import replace
from itertools import product

os.environ["OMP_NUM_THREADS"] = "1"

from doubleback.recipes.models.bundled import bundled_path
from doubleback.recipes.recipe.loading import load_recipe
from doubleback.rl.config import LoraSettings, OptimConfig
from doubleback.rl.engines.config import EngineConfig
from doubleback.rl.engines.create import create_engine
from doubleback.rl.learner.learner import Learner
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.policy import lora
from doubleback.rl.policy.base import load_base, load_tokenizer
from doubleback.rl.seeds import sample_seed
from doubleback.rl.types import ModelSource, Sampling

NUM_PROBLEMS, SAMPLING = 32, Sampling(group_size=16, temperature=1.0, max_tokens=160)
HEADS = ("float32", "bfloat16")


def main() -> None:
    """Sample with either head in the engine, score with either in the trainer, and print a row for each pair."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="bundled:countdown")
    source = ModelSource(bundled_path(parser.parse_args().model), "bfloat16", 256)
    problems = load_recipe("countdown").task.splits().train[:NUM_PROBLEMS]
    seeds = [sample_seed(0, "heads", problem.id) for problem in problems]
    groups = {head: sampled(replace(source, head_dtype=head), problems, seeds) for head in HEADS}
    print("| head of the engine | of the trainer | mean gap, nats | k3, nats | largest gap | tokens |")
    print("|---|---|---|---|---|---|")
    for sampler, trainer in product(HEADS, repeat=2):
        gaps = differences(replace(source, head_dtype=trainer), groups[sampler])
        mean, k3 = (sum(map(of, gaps)) / len(gaps) for of in (abs, lambda gap: math.expm1(gap) - gap))
        print(
            f"| {sampler} | {trainer} | {mean:.2e} | {k3:.1e} | {max(map(abs, gaps)):.2f} | {len(gaps):,} |", flush=True
        )


def sampled(source, problems, seeds):
    """What vLLM samples from the bare base."""
    engine = create_engine(EngineConfig().setup(source), {}, load_tokenizer(source.path))
    groups = engine.sample(problems, SAMPLING, seeds)
    engine.close()
    return groups


def differences(source, groups):
    """Trainer less sampler, nats, token by token."""
    model = lora.attach(load_base(source), LoraSettings(rank=1), seed=0)
    learner = Learner(model, AlgorithmConfig(), OptimConfig(), SAMPLING)
    pairs = [(group.prompt_ids, completion) for group in groups for completion in group.completions]
    scores = learner.score([(prompt, completion.token_ids) for prompt, completion in pairs])
    rows = zip(scores, (completion.sampler_logprobs for _, completion in pairs), strict=True)
    return [ours - theirs for score, reported in rows for ours, theirs in zip(score, reported, strict=True)]


if __name__ == "__main__":
    main()
