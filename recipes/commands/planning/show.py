"""A recipe on 1 to 512 GPUs, estimated from what it says and from a model's configuration: a table, and its error."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table
from transformers import PretrainedConfig

from doubleback.eval.show.console import Console
from doubleback.recipes.models.bundled import bundled_path
from doubleback.recipes.models.configuration import configuration
from doubleback.recipes.recipe.assembly import memory_plan
from doubleback.recipes.recipe.schema import Recipe
from doubleback.rewards.nearest import nearest
from doubleback.rewards.types import ConfigError
from doubleback.rl.memory import GIB, Memory, estimate
from doubleback.rl.planning.accelerators import ACCELERATORS, Accelerator
from doubleback.rl.planning.published import MEASURED, SOURCE
from doubleback.rl.planning.sampling import num_gpus_for
from doubleback.rl.planning.step import COUNTS, MODES, Step, plan
from doubleback.rl.planning.workload import Shape, Workload
from doubleback.rl.policy.base import DTYPES
from doubleback.rl.policy.cache import head_width, token_bytes
from doubleback.rl.policy.families import num_experts

PROMPT_TOKENS = 200
"""Of a problem, where nobody says more or less: a problem of MATH with its instruction has about as many."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a recipe does not say."""

    gpu: str = "H100"
    mean_tokens: int | None = None
    """Of a completion; None: half of sampling.max_tokens."""
    prompt_tokens: int | None = None
    """Of a problem; None: PROMPT_TOKENS, or what the context leaves."""


def show_plan(asked: Asked, recipe: Recipe, console: Console) -> None:
    """Seconds of a step and tokens a second and GPU, in each mode, and what most of a step is spent on.

    ConfigError for an accelerator that is not in the table, a recipe that is not of kind rl, or lengths that cannot be.
    """
    if asked.gpu not in ACCELERATORS:
        raise ConfigError(f"--gpu {asked.gpu}: {nearest(asked.gpu, ACCELERATORS)}")
    if recipe.kind != "rl":
        raise ConfigError(f"--plan is of sampling and learning in turns, and kind={recipe.kind} is not; set kind=rl")
    prompt, mean = lengths_of(recipe, asked)
    gpu, config = ACCELERATORS[asked.gpu], configuration(bundled_path(recipe.model.path))
    memory = estimate(config, memory_plan(_smallest(recipe), recipe.model.dtype), has_cuda=True)
    shape = shape_of(config, memory, DTYPES[recipe.model.dtype].itemsize)
    workload = workload_of(recipe, prompt, mean, memory)
    both = memory.learning + memory.weights / num_gpus_for(shape, gpu, workload.prompt_tokens + workload.max_tokens)
    steps = [step for step in plan(gpu, shape, workload) if step.mode != "colocated" or both <= gpu.memory]
    console.print(_assumed(recipe, asked, shape, workload, memory))
    console.print(_steps(steps, asked.gpu))
    for label, text in _notes(memory, gpu, both):
        console.print(f"{label}  {text}", highlight=False, soft_wrap=True)


def _smallest(recipe: Recipe) -> Recipe:
    """With a microbatch of one completion where its size is open."""
    if recipe.optim.microbatch_tokens != "auto":
        return recipe
    optim = recipe.optim.model_copy(update={"microbatch_tokens": recipe.model.max_length})
    return recipe.model_copy(update={"optim": optim})


def shape_of(config: PretrainedConfig, memory: Memory, width: int) -> Shape:
    """A model's size as it matters to time; `width`: bytes of a parameter."""
    return Shape(
        num_parameters=memory.num_parameters,
        num_experts=num_experts(config),
        experts_per_token=int(getattr(config, "num_experts_per_tok", 1)),
        num_expert_parameters=memory.num_in_experts,
        num_layers=int(config.num_hidden_layers),
        attention_width=int(config.num_attention_heads) * head_width(config),
        kv_bytes=token_bytes(config, width),
        width=width,
    )


def lengths_of(recipe: Recipe, asked: Asked) -> tuple[int, int]:
    """Mean tokens of a prompt and of a completion. ConfigError where one that is asked for does not fit."""
    longest, room = recipe.sampling.max_tokens, recipe.model.max_length - recipe.sampling.max_tokens
    mean = longest // 2 if asked.mean_tokens is None else asked.mean_tokens
    prompt = min(PROMPT_TOKENS, room) if asked.prompt_tokens is None else asked.prompt_tokens
    if mean > longest:
        raise ConfigError(f"--mean-tokens {mean} is more than sampling.max_tokens={longest}; lower it or raise the key")
    if prompt > room:
        raise ConfigError(
            f"--prompt-tokens {prompt} and sampling.max_tokens={longest} exceed model.max_length="
            f"{recipe.model.max_length}; lower it or raise the key"
        )
    return prompt, mean


def workload_of(recipe: Recipe, prompt_tokens: int, mean_tokens: int, memory: Memory) -> Workload:
    """A step of the recipe, with completions of that mean."""
    algorithm = recipe.algorithm
    passes = algorithm.updates_per_batch * (2 + recipe.optim.gradient_checkpointing + algorithm.has_kl_loss)
    return Workload(
        num_problems=recipe.rollout.prompts_per_step,
        group_size=recipe.sampling.group_size,
        prompt_tokens=prompt_tokens,
        mean_tokens=mean_tokens,
        max_tokens=recipe.sampling.max_tokens,
        max_num_seqs=recipe.engine.max_num_seqs,
        passes=passes + algorithm.has_kl_reward,
        adapter_bytes=memory.gradients,
        gradient_bytes=memory.gradients,
        num_canaries=recipe.sync.num_canaries,
        num_shards=recipe.scale.shards if recipe.scale.trainers or recipe.scale.shards > 1 else None,
        most_shards=recipe.rollout.prompts_per_step,
        is_prompt_shared=recipe.optim.pack and recipe.optim.share_prompts,
        steps_of_adapter=recipe.rollout.steps_of_adapter,
    )


def _assumed(recipe: Recipe, asked: Asked, shape: Shape, workload: Workload, memory: Memory) -> Table:
    """What the estimate rests on."""
    table = Table(box=None, show_header=False, pad_edge=False, title="plan, assumed", title_justify="left")
    table.add_column(min_width=12)
    table.add_column()
    gpu = ACCELERATORS[asked.gpu]
    active = "" if shape.num_experts == 0 else f", {_large(shape.num_active)} of them for each token"
    table.add_row("base", f"{recipe.model.path}: {_large(shape.num_parameters)} parameters{active}")
    table.add_row("adapter", f"{_large(memory.num_adapter)} parameters, {memory.gradients / 1e6:,.1f} MB")
    table.add_row(
        "GPU",
        f"{asked.gpu}: {gpu.memory / 1e9:.0f} GB, {gpu.bandwidth / 1e12:.2f} TB/s, {gpu.flops / 1e12:.0f} TFLOP/s "
        f"({gpu.source})",
    )
    table.add_row(
        "step",
        f"{workload.num_problems} problems x {workload.group_size} = {workload.num_completions:,} completions; prompts "
        f"of {workload.prompt_tokens:.0f} tokens, completions of {workload.mean_tokens:.0f} in the mean, "
        f"{workload.max_tokens} at most",
    )
    return table


def _large(number: float) -> str:
    return f"{number / 1e9:.2f} G" if number >= 1e9 else f"{number / 1e6:.2f} M"


def _steps(steps: Sequence[Step], gpu: str) -> Table:
    """A row for each number of GPUs; the last columns are of the fastest mode."""
    table = Table(title=f"seconds of a step on {gpu}, estimated", title_justify="left", caption_justify="left")
    for column in ("GPUs", *MODES, "tokens/s/GPU", "engines, learners", "most of it"):
        table.add_column(column, justify="left" if column in ("engines, learners", "most of it") else "right")
    for count in COUNTS:
        found = {step.mode: step for step in steps if step.num_gpus == count}
        if not found:
            continue
        fastest = min(found.values(), key=lambda step: step.seconds)
        seconds = [f"{found[mode].seconds:,.1f}" if mode in found else "-" for mode in MODES]
        each = "" if fastest.gpus_each == 1 else f" x {fastest.gpus_each}"
        sizes = f"{fastest.num_replicas}{each}, {fastest.num_learning}"
        table.add_row(str(count), *seconds, f"{fastest.tokens_per_gpu:,.0f}", sizes, fastest.saturated)
    table.caption = (
        "colocated: all GPUs sample, then learn; split: some sample, then the others learn; ahead: both at once, "
        "off-policy (rollout.ahead). Tokens, engines and learners are of the fastest."
    )
    return table


def _notes(memory: Memory, gpu: Accelerator, both: float) -> list[tuple[str, str]]:
    """What must fit, what is left out, and how far the estimate was from what others measured."""
    room = f"of {gpu.memory / GIB:.1f} GiB"
    fits = memory.learning <= gpu.memory
    verdict = "fits" if fits else "does not fit; optim.gradient_checkpointing=true, or a base divided among GPUs"
    beside = "fits" if both <= gpu.memory else "does not fit"
    errors = [f"{name}: {it.estimated:.0f} s for {it.seconds:.0f} s ({it.error:+.0%})" for name, it in MEASURED.items()]
    return [
        ("memory", f"a GPU that learns needs {memory.learning / GIB:.1f} {room} at least: {verdict}"),
        ("memory", f"one that samples too {both / GIB:.1f} {room}: {beside}"),
        ("left out", "rewards, evaluations, checkpoints, how a run starts, and a base divided among learners"),
        ("error", f"estimates of published steps ({SOURCE}): {'; '.join(errors)}"),
    ]
