"""A step of word-problems on a pretrained model, part by part, each beside what it could cost on this machine.

rollout   a step's completions from our engine and from bare vLLM (`LLM.generate`, the same engine, prompts and seeds)
update    those completions, all with something to learn, in our learner and in TRL's trainer; and the products of
          matrices in it, as fast as this machine multiplies matrices of the same shapes
step      `doubleback train` on the recipe as shipped, its seconds phase by phase

One thread; sides alternate, medians. What is compared in this process is counted in seconds of its processor, so that
others on the machine disturb it little; a step's shares are of its own seconds.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
import update_phase
import whole_steps
from support.rollouts import make_score
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from doubleback.recipes.recipe.loading import load_recipe
from doubleback.recipes.recipe.problems import asked, in_template
from doubleback.rl.engines.create import create_engine
from doubleback.rl.engines.engine import encode_prompts
from doubleback.rl.engines.vllm import SamplingParams
from doubleback.rl.policy.base import load_base, load_tokenizer
from doubleback.rl.seeds import sample_seeds
from doubleback.rl.types import Group, ModelSource

UPDATES = {
    "TRL": None,
    "ours, a microbatch": ("grouped", update_phase.ALL, {"microbatch_tokens": 8192}),
    "ours, of 640 tokens": ("grouped", update_phase.ALL, {"microbatch_tokens": 640}),
}
"""As `update_phase.VARIANTS`: TRL's microbatch is one group, padded; ours all of the step, or half as many tokens."""
PARTS = {
    "products with weights": ("aten::mm", "aten::addmm"),
    "attention": ("_flash_attention_for_cpu", "aten::bmm", "aten::_softmax"),
    "gathering and adding rows": ("aten::index", "aten::gather", "aten::scatter"),
    "copies": ("aten::copy_", "aten::cat", "aten::clone"),
    "the softmax over words": ("aten::_log_softmax", "aten::logsumexp", "aten::exp"),
}
"""Part of an update -> what the names of its operations hold; what is in none is the rest."""


def measure(folder: str, parts: list[str], num_problems: int, repeats: int) -> Iterator[tuple[str, str]]:
    """What was measured, in words, and the figure, as they come."""
    torch.set_num_threads(1)
    recipe = load_recipe("word-problems", [f"model.path={folder}"])
    groups, rollout = _rollout(recipe, folder, num_problems, repeats)
    yield from rollout
    if "update" in parts:
        yield from _updates(folder, groups, repeats)
    if "step" in parts:
        yield from _step(folder)


def _rollout(recipe: Any, folder: str, num_problems: int, repeats: int) -> tuple[list[Group], list[tuple[str, str]]]:
    """A step's groups, as the update takes them, and what sampling them took."""
    tokenizer, sampling = load_tokenizer(folder), recipe.sampling.sampling()
    problems = in_template(asked(recipe.task), recipe.task, tokenizer).train[:num_problems]
    engine = create_engine(recipe.engine.setup(recipe.model.source(folder), has_stop_strings=True), {}, tokenizer)
    seeds = sample_seeds(0, "bench", [problem.id for problem in problems], [])
    ids = encode_prompts(problems, tokenizer, sampling.max_tokens, recipe.model.max_length)
    prompts = [{"prompt_token_ids": list(prompt)} for prompt in ids]
    settings = {"n": sampling.group_size, "temperature": sampling.temperature, "max_tokens": sampling.max_tokens}
    params = [SamplingParams(**settings, seed=seed, stop=list(sampling.stop), logprobs=0) for seed in seeds]

    def bare() -> Any:
        engine._llm.reset_prefix_cache()
        return engine._llm.generate(prompts, params, use_tqdm=False)

    sides = {"ours": lambda: engine.sample(problems, sampling, seeds), "bare": bare}
    seconds, made = alternating(sides, repeats)
    groups = made["ours"]
    theirs = [[tuple(sample.token_ids) for sample in output.outputs] for output in made["bare"]]
    assert theirs == [[completion.token_ids for completion in group.completions] for group in groups]
    parts = _parts_of_rollout(engine, sides["ours"])
    engine.close()
    num_tokens = sum(len(completion.token_ids) for group in groups for completion in group.completions)
    return _with_signal(groups), [
        ("rollout, completion tokens/s", f"{num_tokens / seconds['ours']:.0f}"),
        ("rollout, of bare vLLM's speed", f"{seconds['bare'] / seconds['ours']:.3f}"),
        ("rollout, where it goes", in_words(parts)),
    ]


def _parts_of_rollout(engine: Any, sample: Callable[[], Any]) -> dict[str, float]:
    """Shares of one rollout: what vLLM's parts take of it, and what is left for ours around its steps."""
    taken: dict[str, float] = {}
    runner = engine._llm.llm_engine.model_executor.driver_worker.worker.model_runner
    places = {
        "in vLLM's step": (engine._llm.llm_engine, "step"),
        "layers": (runner, "_model_forward"),
        "head": (runner.get_model(), "compute_logits"),
        "sampling": (runner, "_sample"),
    }
    for name, (owner, method) in places.items():
        setattr(owner, method, _timed(getattr(owner, method), name, taken))
    started = time.process_time()
    sample()
    whole = time.process_time() - started
    for owner, method in places.values():
        delattr(owner, method)
    inside = taken.pop("in vLLM's step")
    ours = {"vLLM's scheduling and bookkeeping": inside - sum(taken.values()), "ours around it": whole - inside}
    return {name: part / whole for name, part in {**taken, **ours}.items()}


def _timed(call: Callable[..., Any], name: str, taken: dict[str, float]) -> Callable[..., Any]:
    def timed(*arguments: Any, **settings: Any) -> Any:
        started = time.process_time()
        result = call(*arguments, **settings)
        taken[name] = taken.get(name, 0.0) + time.process_time() - started
        return result

    return timed


def _with_signal(groups: list[Group]) -> list[Group]:
    """Every other completion right, so that both sides learn from all of them."""
    return [
        replace(group, scores=tuple(make_score(float(number % 2)) for number in range(len(group.completions))))
        for group in groups
    ]


def _updates(folder: str, groups: list[Group], repeats: int) -> Iterator[tuple[str, str]]:
    update_phase.clock = time.process_time
    rows = update_phase.measure("real", folder, groups, repeats, 1, UPDATES)
    trl, *ours = rows
    for row in rows:
        speed, memory = (row[name] / trl[name] for name in ("update_tokens_per_s", "peak_mib"))
        said = f"{row['update_tokens_per_s']:.0f} completion tokens/s ({speed:.2f} of TRL's)"
        yield f"update, {row['what']}", f"{said}, {row['peak_mib']:,.0f} MiB ({memory:.2f})"
    side = update_phase.make(UPDATES[ours[0]["what"]], folder, groups)
    with FlopCounterMode(display=False) as counter:
        side.step()
    rate = product_rate(folder, num_tokens=1024)
    share = counter.get_total_flops() / rate / ours[0]["update_s"]
    yield "this machine's matrix product, GFLOP/s", f"{rate / 1e9:.0f}"
    yield "update, share that its products with weights would take at that rate", f"{share:.2f}"
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        side.step()
    yield "update, where it goes", in_words(_parts_of_update(profiled))


def product_rate(folder: str, num_tokens: int) -> float:
    """FLOP/s of plain products of `num_tokens` rows with each matrix of the model's first layer, the best of five."""
    base = load_base(ModelSource(folder, "float32", 64))
    shapes = [tuple(p.shape) for name, p in base.named_parameters() if ".layers.0." in name and p.dim() == 2]
    flops = seconds = 0.0
    for rows, columns in shapes:
        inputs, weight = torch.rand(num_tokens, columns), torch.rand(rows, columns)
        times = []
        for _ in range(6):
            started = time.process_time()
            inputs @ weight.T
            times.append(time.process_time() - started)
        flops, seconds = flops + 2.0 * num_tokens * rows * columns, seconds + min(times)
    return flops / seconds


def _parts_of_update(profiled: Any) -> dict[str, float]:
    events = profiled.key_averages()
    whole = sum(event.self_cpu_time_total for event in events)
    shares = {
        name: sum(event.self_cpu_time_total for event in events if any(key in event.key for key in keys))
        for name, keys in PARTS.items()
    }
    return {name: part / whole for name, part in {**shares, "the rest": whole - sum(shares.values())}.items()}


def _step(folder: str) -> list[tuple[str, str]]:
    """Three steps as shipped; the medians of the last two."""
    found = whole_steps.run("doubleback", "word-problems", folder, [], 3, 1)
    shares = {phase: found[f"{phase}_s"] / found["step_s"] for phase in whole_steps.PHASES}
    return [
        ("step, seconds", f"{found['step_s']:.1f}"),
        ("step, where it goes", in_words(shares)),
        ("step, peak MiB of the process", f"{found['peak_mib']:,.0f}"),
    ]


def in_words(shares: dict[str, float]) -> str:
    return ", ".join(f"{name} {share:.1%}" for name, share in shares.items())


def alternating(sides: dict[str, Callable[[], Any]], repeats: int) -> tuple[dict[str, float], dict[str, Any]]:
    """Median seconds of each side, and what its last call returned, after a call of each that is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    made: dict[str, Any] = {}
    for _ in range(repeats + 1):
        for name, side in sides.items():
            started = time.process_time()
            made[name] = side()
            taken[name].append(time.process_time() - started)
    return {name: statistics.median(values[1:]) for name, values in taken.items()}, made
