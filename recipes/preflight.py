"""What can be known of a recipe before a token is trained."""

from collections.abc import Sequence

from rich.table import Table

from doubleback.eval.contamination import NGRAM, overlap
from doubleback.recipes.loading import bundled_path
from doubleback.recipes.schema import Recipe
from doubleback.recipes.tasks import load_splits, scorable
from doubleback.rewards.answers import gold_answers
from doubleback.rewards.compose import load_reward
from doubleback.rewards.config import RewardConfig
from doubleback.rewards.golds import listed, matched_as_text_only
from doubleback.rewards.types import Problem
from doubleback.rl import lora
from doubleback.rl.engine import encode_prompts
from doubleback.rl.model import load_base, load_tokenizer


def preflight(recipe: Recipe) -> Table:
    """Problems, golds, prompts, model and adapter of a recipe, as a table. ConfigError where training cannot start."""
    with load_reward(recipe.reward, recipe.sampling.max_tokens) as reward:
        splits, dropped = scorable(load_splits(recipe.task), recipe.task, reward)
    model = recipe.model.model_copy(update={"path": bundled_path(recipe.model.path)})
    everything = splits.everything
    prompts = encode_prompts(everything, load_tokenizer(model.path), recipe.sampling.max_tokens, model.max_length)
    base = load_base(model)
    num_base = base.num_parameters()
    adapted = lora.attach(base, recipe.lora, recipe.seed)
    num_adapter = sum(parameter.numel() for parameter in adapted.parameters() if parameter.requires_grad)
    table = Table(box=None, show_header=False, pad_edge=False)
    sizes = f"{len(splits.train)} train, {len(splits.validation)} validation, {len(splits.test)} test"
    table.add_row("problems", sizes)
    table.add_row("golds", f"{len(everything)} of {len(everything) + len(dropped)} graded correct")
    for line in listed(dropped):
        table.add_row("", line)
    if recipe.task.name == "math":
        table.add_row("", _text_only(everything))
    table.add_row(
        "prompts", f"longest {max(map(len, prompts))} tokens, + {recipe.sampling.max_tokens} of {model.max_length}"
    )
    for name, other in (("validation", splits.validation), ("test", splits.test)):
        table.add_row(f"{name} in train", _contamination(other, splits.train))
    table.add_row("reward", _described(recipe.reward))
    table.add_row("base", f"{recipe.model.path}: {num_base:,} parameters, {model.dtype}, frozen")
    share = num_adapter / num_base
    table.add_row("adapter", f"{num_adapter:,} parameters ({share:.1%}) on {len(lora.targets(adapted))} matrices")
    rollouts = recipe.optim.prompts_per_step * recipe.sampling.group_size
    table.add_row(
        "step", f"{recipe.optim.prompts_per_step} problems x {recipe.sampling.group_size} = {rollouts} rollouts"
    )
    return table


def _contamination(suite: Sequence[Problem], training: Sequence[Problem]) -> str:
    """How many problems of one set stand in the other (`eval.contamination`)."""
    found = overlap(
        *([(it.id, str(it.columns.get("question", it.prompt))) for it in part] for part in (suite, training))
    )
    examples = [f"{first} is {second}" for first, second in (*found.exact, *found.masked, *found.ngram)][:2]
    counts = f"{len(found.exact)} exact, {len(found.masked)} with other numbers, {len(found.ngram)} by {NGRAM} words"
    return f"{counts} of {len(suite)}" + (f": {', '.join(examples)}" if examples else "")


def _described(reward: RewardConfig) -> str:
    """The components with their weights, the judge and the gates."""
    parts = []
    for name, component in reward.components.items():
        gate = component.only_if
        condition = f" if {gate.component} >= {gate.at_least:g}" if gate else ""
        judge = " (judge)" if name == reward.judge_name else ""
        parts.append(f"{name} x {component.weight:g}{judge}{condition}")
    return ", ".join(parts) + (", multiplied" if reward.combine == "product" else "")


def _text_only(problems: Sequence[Problem]) -> str:
    """How many golds are out of reach for the later stages of equality, with the first few."""
    rows = matched_as_text_only([problem.columns["answer"] for problem in problems])
    golds = ", ".join(str(gold_answers(problems[row].columns["answer"])[0])[:40] for row in rows[:3])
    return f"{len(rows)} can be matched as text only" + (f": {golds}" if golds else "")
