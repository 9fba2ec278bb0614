"""What can be known of a recipe before a token is trained."""

import random
from collections.abc import Sequence

from rich.table import Table

from doubleback.recipes.countdown.traces import TraceType, make_trace
from doubleback.recipes.loading import bundled_path
from doubleback.recipes.schema import Recipe
from doubleback.recipes.tasks import load_splits
from doubleback.rewards.compose import load_reward
from doubleback.rewards.types import Completion, ConfigError, Problem, Verdict
from doubleback.rl import lora
from doubleback.rl.batching import Reward
from doubleback.rl.engine import encode_prompts
from doubleback.rl.model import load_base, load_tokenizer


def preflight(recipe: Recipe) -> Table:
    """Problems, golds, prompts, model and adapter of a recipe, as a table. ConfigError where training cannot start."""
    splits, reward = load_splits(recipe.task), load_reward(recipe.reward, recipe.sampling.max_tokens)
    model = recipe.model.model_copy(update={"path": bundled_path(recipe.model.path)})
    everything = [*splits.train, *splits.validation, *splits.test]
    _grade_golds(everything, reward)
    prompts = encode_prompts(everything, load_tokenizer(model.path), recipe.sampling.max_tokens, model.max_length)
    base = load_base(model)
    num_base = base.num_parameters()
    adapted = lora.attach(base, recipe.lora, recipe.seed)
    num_adapter = sum(parameter.numel() for parameter in adapted.parameters() if parameter.requires_grad)
    table = Table(box=None, show_header=False, pad_edge=False)
    sizes = f"{len(splits.train)} train, {len(splits.validation)} validation, {len(splits.test)} test"
    table.add_row("problems", sizes)
    table.add_row("golds", f"{len(everything)} of {len(everything)} graded correct")
    table.add_row(
        "prompts", f"longest {max(map(len, prompts))} tokens, + {recipe.sampling.max_tokens} of {model.max_length}"
    )
    table.add_row("base", f"{recipe.model.path}: {num_base:,} parameters, {model.dtype}, frozen")
    share = num_adapter / num_base
    table.add_row("adapter", f"{num_adapter:,} parameters ({share:.1%}) on {len(lora.targets(adapted))} matrices")
    rollouts = recipe.optim.prompts_per_step * recipe.sampling.group_size
    table.add_row(
        "step", f"{recipe.optim.prompts_per_step} problems x {recipe.sampling.group_size} = {rollouts} rollouts"
    )
    return table


def _grade_golds(problems: Sequence[Problem], reward: Reward) -> None:
    """A gold that its own verifier rejects would punish every right answer: ConfigError names the first."""
    for problem in problems:
        gold = make_trace(problem, TraceType.OPTIMAL, random.Random(problem.id))
        completion = Completion(gold, (), (), "stop", policy_version=0, adapter_hash="", seed=0)
        (score,) = reward(problem, [completion])
        if score.verdict != Verdict.CORRECT:
            raise ConfigError(f"problem {problem.id}: its own gold is graded {score.verdict} ({score.detail})")
