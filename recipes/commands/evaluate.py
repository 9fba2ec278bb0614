"""`doubleback eval` and `doubleback compare`: put suite, prompt, policy and judge together, and show what comes out."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from doubleback.eval.compare import SAMPLES, SUMMARY, compare, load_evaluated
from doubleback.eval.judge import load_judge
from doubleback.eval.prompts.prompt import HOLE, PromptConfig, read_prompt
from doubleback.eval.prompts.rendering import Prompted, prompted, prompted_for_endpoint
from doubleback.eval.run import Request, generate_into, in_order, num_kept
from doubleback.eval.show.console import Console
from doubleback.eval.show.pictures import pass_at_k_curves
from doubleback.eval.show.tables import comparison_table, equal_tokens_table, evaluation_table, flips_table
from doubleback.eval.suites.suite import Suite, load_suite
from doubleback.eval.summarise import summary
from doubleback.recipes.commands.modes import for_suite
from doubleback.recipes.commands.progress import EvalProgress, Standing
from doubleback.recipes.commands.reports.while_training import write_at_the_end
from doubleback.recipes.models.bundled import bundled_path
from doubleback.recipes.recipe.mixture.gather import told
from doubleback.recipes.recipe.policy import Policy, adapter_hash, open_policy, policy_tokenizer
from doubleback.recipes.recipe.problems import task_problems
from doubleback.recipes.recipe.schema import Recipe
from doubleback.recipes.tasks.task import shipped_measures
from doubleback.rewards.jsonl import left_out, to_lines
from doubleback.rewards.records import read_record
from doubleback.rewards.sample_lines import PROBLEMS, problem_line, with_columns
from doubleback.rewards.types import ConfigError, shortened
from doubleback.rl.run.files import write_atomically
from doubleback.rl.run.owner import owned
from doubleback.rl.types import Sampling

SETTINGS = "settings.json"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for. None: the default that the docstring of `doubleback eval` names."""

    suite: str
    data: Path | None = None
    prompt: str | None = None
    n: int = 1
    k: tuple[int, ...] = ()
    temperature: float | None = None
    max_tokens: int | None = None
    seed: int = 0
    limit: int | None = None
    skip_bad: bool = False
    ban: tuple[str, ...] = ()


def evaluate_policy(policy: Policy, options: Options, thinking: bool | None, out: Path, console: Console) -> None:
    """Evaluate in one mode of thinking, or in the model's own where that is None, into the folder `out`."""
    with owned(out):
        suite = load_suite(options.suite, options.data, options.skip_bad, task_problems)
        if suite.bad:
            console.print(left_out(suite.bad), soft_wrap=True)
        _evaluate(for_suite(policy, suite.task_name), options, suite, thinking, out, console)
    write_at_the_end(out, console)


def parse_ks(text: str, n: int) -> tuple[int, ...]:
    """`1,4,16` as numbers. ConfigError for anything else, and for a k beyond n."""
    try:
        ks = tuple(int(item) for item in text.split(",") if item.strip())
    except ValueError:
        raise ConfigError(f"--k {text}: write whole numbers with commas between, as in 1,4,16") from None
    if wrong := [k for k in ks if not 1 <= k <= n]:
        raise ConfigError(f"--k {wrong[0]} must be from 1 to --n {n}; drop it or raise --n")
    return ks


def show_comparison(first: Path, second: Path, force: bool, console: Console) -> None:
    """The paired table, the problems that flipped, and both curves in one picture."""
    before, after = load_evaluated(first), load_evaluated(second)
    compared = compare(before, after, force)
    console.print(comparison_table(before.summary, after.summary, compared))
    for key, (one, other) in compared.differs.items():
        console.print(f"{key} is {_named(one)} in A and {_named(other)} in B", highlight=False, soft_wrap=True)
    console.print(equal_tokens_table(compared))
    if compared.flips:
        console.print(flips_table(compared))
    picture = second / f"compared-with-{first.name}.png"
    is_ours = os.access(second, os.W_OK)  # somebody else's evaluations can be compared too
    if is_ours and pass_at_k_curves([(first.name, before.summary), (second.name, after.summary)], picture):
        console.print(f"curves  {picture}", soft_wrap=True)


def _named(value: Any) -> str:
    """A setting in words: nothing, a list, or the value itself."""
    return "none" if value is None else ", ".join(map(repr, value)) if isinstance(value, list) else repr(value)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What one evaluation, in one mode of thinking, will do."""

    policy: Policy
    suite: Suite
    prompt: PromptConfig
    asked: Prompted
    request: Request
    settings: Mapping[str, Any]
    """What makes two evaluations the same."""
    reason: str
    """Why this prompt."""


def _evaluate(
    policy: Policy, options: Options, suite: Suite, thinking: bool | None, out: Path, console: Console
) -> None:
    plan = _planned(policy, options, suite, thinking)
    _refuse_another(out, plan.settings)
    num_problems, name = len(plan.request.problems), plan.settings["prompt"]
    prompt = shortened(name) if HOLE in name else name
    title = f"{suite.name}: {num_problems} problems x {options.n}, prompt {prompt} ({plan.reason})"
    console.print(title, highlight=False, soft_wrap=True)
    console.print(_sampled(plan), highlight=False, soft_wrap=True)
    num_left = num_problems * options.n - num_kept(out / SAMPLES, plan.request)
    if num_left:
        _sample(plan, num_left, out, console)
    lines = with_columns(in_order(out / SAMPLES, plan.request), plan.request.problems)
    summarised = summary(lines, plan.settings, options.k, shipped_measures())
    write_atomically(out / SUMMARY, json.dumps(summarised, indent=2).encode())
    console.print(evaluation_table(summarised, options.k))
    is_drawn = pass_at_k_curves([(suite.name, summarised)], out / "pass_at_k.png")
    written = "samples, summary.json and pass_at_k.png" if is_drawn else "samples and summary.json"
    console.print(f"{written} are in {out}", soft_wrap=True)


def _planned(policy: Policy, options: Options, suite: Suite, thinking: bool | None) -> _Plan:
    tokenizer = None if policy.endpoint else policy_tokenizer(policy.model)
    prompt, name, reason = _prompt(options, suite, policy, tokenizer)
    items = suite.items[: options.limit]
    task = None if policy.recipe is None else policy.recipe.task
    if policy.mode is not None:
        thinking = policy.mode.thinking
    elif thinking is None and task is not None and prompt.kind == "chat":
        thinking = task.thinking
    # The prompt of a mode for base models says by itself whether to think.
    is_told = policy.mode is not None and prompt.kind == "completion"
    if tokenizer is None:
        asked = prompted_for_endpoint(items, prompt, thinking)
    else:
        switched = None if is_told else thinking
        asked = prompted(items, prompt, tokenizer, switched, None if task is None else task.convention)
    if is_told:
        asked = replace(asked, problems=tuple(told(asked.problems, thinking)))
    banned = _banned(options.ban, policy, tokenizer)
    sampling = replace(_sampling(options, suite, prompt, policy.recipe), banned_ids=banned)
    settings = {
        **_settings(policy, options, suite, sampling),
        "prompt": name,
        "prompt_sha256": hashlib.sha256(json.dumps(prompt.model_dump(), sort_keys=True).encode()).hexdigest(),
        "style": prompt.style,
        "thinking": thinking,
        "thinking_switch": asked.switch,
        "thinking_convention": asked.convention,
        **({} if policy.mode is None else {"mode": policy.mode.name}),
    }
    request = Request(suite.name, asked.problems, sampling, options.seed)
    return _Plan(policy, suite, prompt, asked, request, settings, reason)


def _sample(plan: _Plan, num_left: int, out: Path, console: Console) -> None:
    """Start judge and policy, then fill samples.jsonl."""
    problems, sampling, n = plan.request.problems, plan.request.sampling, plan.request.sampling.group_size
    with load_judge(plan.suite.config, plan.prompt, plan.settings["thinking"]) as judge:
        judge.require_columns(problems)
        with (
            open_policy(plan.policy, plan.asked, sampling, plan.request.seed, console) as engine,
            EvalProgress(console, len(problems), n, Standing(engine, num_left, sampling.max_tokens)) as progress,
        ):
            # Only now: a policy that cannot start leaves no folder behind.
            write_atomically(out / SETTINGS, json.dumps(plan.settings, indent=2).encode())
            write_atomically(out / PROBLEMS, to_lines(map(problem_line, problems)))
            generate_into(out / SAMPLES, engine, plan.request, judge, progress.observe)


def _sampling(options: Options, suite: Suite, prompt: PromptConfig, recipe: Recipe | None) -> Sampling:
    """Greedy for one sample a problem, for several the run's temperature, or 1, unless the command says otherwise; the
    longest completion is the run's, or the suite's.
    """
    usual = 1.0 if recipe is None else recipe.sampling.temperature
    temperature = (0.0 if options.n == 1 else usual) if options.temperature is None else options.temperature
    max_tokens = suite.config.max_tokens if recipe is None else recipe.sampling.max_tokens
    stop = (*prompt.stop, *([] if recipe is None else recipe.sampling.stop))
    if temperature == 0 and options.n > 1:
        raise ConfigError(f"--temperature 0 gives n={options.n} equal samples; use --n 1, or a temperature above 0")
    return Sampling(options.n, temperature, options.max_tokens or max_tokens, tuple(dict.fromkeys(stop)))


def _banned(words: Sequence[str], policy: Policy, tokenizer: Any) -> tuple[int, ...]:
    """The tokens that `--ban` forbids. ConfigError for a word that is not one, and for an endpoint."""
    if not words:
        return ()
    if tokenizer is None:
        raise ConfigError(
            f"--ban {words[0]!r} needs the model's vocabulary, which --endpoint does not show; give a folder"
        )
    from doubleback.rl.engines.banned import banned_ids
    from doubleback.rl.policy.base import end_ids

    return banned_ids(words, tokenizer, end_ids(bundled_path(policy.model), tokenizer))


def _sampled(plan: _Plan) -> str:
    """How completions are drawn, and where that is from."""
    sampling, recipe = plan.request.sampling, plan.policy.recipe
    stops = f", to {', '.join(map(repr, sampling.stop))}" if sampling.stop else ""
    source = "" if recipe is None else "; as the run sampled, unless --max-tokens or --temperature says otherwise"
    banned = f", never {', '.join(map(repr, plan.settings['ban']))}" if sampling.banned_ids else ""
    return f"up to {sampling.max_tokens} tokens{stops}, temperature {sampling.temperature:g}{banned}{source}"


def _settings(policy: Policy, options: Options, suite: Suite, sampling: Sampling) -> dict[str, Any]:
    """What makes two evaluations the same, but for the prompt."""
    return {
        "suite": suite.name,
        "data": str(options.data or suite.config.source or suite.task_name),
        "data_sha256": suite.data_sha256,
        "num_bad": len(suite.bad),
        "limit": options.limit,
        "model": policy.model,
        "adapter": None if policy.adapter is None else str(policy.adapter),
        "adapter_sha256": adapter_hash(policy.adapter),
        "engine": "endpoint" if policy.endpoint else policy.engine.name,
        "dtype": policy.dtype,
        "n": options.n,
        "temperature": sampling.temperature,
        "max_tokens": sampling.max_tokens,
        "stop": list(sampling.stop),
        "seed": options.seed,
        "ban": list(options.ban) or None,
    }


def _prompt(options: Options, suite: Suite, policy: Policy, tokenizer: Any) -> tuple[PromptConfig, str, str]:
    """The prompt, its name, and why it was taken."""
    has_template = tokenizer is not None and tokenizer.chat_template
    if options.prompt is not None:
        name, reason = options.prompt, "as asked for"
    elif policy.endpoint is not None and suite.config.chat_prompt:
        name, reason = suite.config.chat_prompt, "the endpoint chats; --prompt names another"
    elif has_template and suite.config.chat_prompt:
        name, reason = suite.config.chat_prompt, "the tokenizer has a chat template"
    else:
        name, reason = suite.config.prompt, "the suite's, for a model without chat template"
    prompt = read_prompt(name)
    if options.prompt is None and policy.recipe is not None:
        own = read_prompt(policy.recipe.task.prompt)
        if _puts(own) != _puts(prompt):  # else the suite's name, by which the base is measured too
            prompt, name, reason = own, policy.recipe.task.prompt, "the run's own; --prompt names another"
    if prompt.kind == "chat" and tokenizer is not None and not has_template:
        raise ConfigError(f"--prompt {name} is for chat models, and the tokenizer has no chat template")
    return prompt, name, reason


def _puts(prompt: PromptConfig) -> dict[str, Any]:
    """What of a prompt the model reads."""
    return prompt.model_dump(include={"kind", "text", "system", "examples"})


def _refuse_another(out: Path, settings: Mapping[str, Any]) -> None:
    """ConfigError where the folder holds an evaluation with other settings."""
    path = out / SETTINGS
    if not path.exists():
        return
    stored = read_record(path, "choose another folder")
    changed = [key for key in settings if stored.get(key) != settings[key]]
    lines = [
        f"--out {out} holds an evaluation with {key}={stored.get(key)!r}, not {settings[key]!r}" for key in changed
    ]
    if lines:
        raise ConfigError("\n".join([*lines[:-1], f"{lines[-1]}; choose another folder"]))
