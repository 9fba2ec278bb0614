"""Runs whose samples are looked through: thousands, hostile ones, two side by side; no training made them."""

import itertools
import random

import yaml
from tokenizers import Tokenizer

from doubleback.recipes.models.bundled import bundled_path
from doubleback.recipes.pretrain.traces import TraceType
from doubleback.recipes.report.page import Heading, page
from doubleback.recipes.tasks.countdown.traces import make_trace
from doubleback.rewards.builtin.countdown import all_problems, grade
from doubleback.rewards.jsonl import to_lines
from doubleback.rewards.sample_lines import problem_line, sample_line
from doubleback.rewards.types import Completion, Problem, Score, Verdict

RECIPE = {
    "description": "made by a test",
    "kind": "rl",
    "steps": 40,
    "model": {"path": "bundled:countdown"},
    "reward": {"components": {"countdown": {"weight": 1.0}, "format": {"weight": 0.2}}},
}


def write_run(folder, steps, problems, recipe=RECIPE):
    """A run of these steps (step -> sample lines) on these problems."""
    (folder / "rollouts").mkdir(parents=True)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    (folder / "problems.jsonl").write_bytes(to_lines(map(problem_line, problems)))
    for step, lines in steps.items():
        path = folder / "rollouts" / f"step-{step:05d}.jsonl.gz"
        path.write_bytes(to_lines(({"step": step, **line} for line in lines), is_gzipped=True))
    return folder


def countdown_run(folder, num_steps, num_problems, group_size, seed=0):
    """Searches of countdown, right and wrong, with verdicts, parts, advantages and the tokens of the bundled base."""
    rng = random.Random(seed)
    problems = random.Random(0).sample(all_problems(3), num_problems)
    tokenizer = Tokenizer.from_file(f"{bundled_path('bundled:countdown')}/tokenizer.json")
    made = {problem.id: [_searched(problem, tokenizer, rng) for _ in range(2 * group_size)] for problem in problems}
    steps = {}
    for step in range(1, num_steps + 1):
        groups = [(problem, rng.sample(made[problem.id], group_size)) for problem in problems]
        steps[step] = [line for problem, group in groups for line in _lines(problem, group)]
    return write_run(folder, steps, problems)


def _searched(problem, tokenizer, rng):
    text = make_trace(problem, rng.choice([TraceType.GUESS, TraceType.SHORT, TraceType.OPTIMAL]), rng)
    if rng.random() < 0.1:
        text = " ".join(text.split()[: len(text.split()) // 2])
    ids = tuple(tokenizer.encode(text, add_special_tokens=False).ids)
    logprobs = tuple(round(-rng.expovariate(2), 4) for _ in ids)
    is_cut = not text.endswith("</answer>")
    return Completion(text, ids, logprobs, "length" if is_cut else "stop", 0, "test" * 16, rng.randrange(2**62))


def _lines(problem, group):
    lines = []
    for index, completion in enumerate(group):
        score = _score(problem, completion)
        line = sample_line(problem, index, completion, score)
        told = {"token_ids": completion.token_ids, "sampler_logprobs": completion.sampler_logprobs}
        lines.append({**line, **told, **_apart(completion)})
    values = [line["score"] for line in lines if line["score"] is not None]
    mean = sum(values) / len(values)
    return [{**line, "advantage": None if line["score"] is None else line["score"] - mean} for line in lines]


def _apart(completion):
    """What trainer and engine do not agree on: nothing of every fifth sample, from which nothing was learned."""
    rng = random.Random(completion.seed)
    if completion.seed % 5 == 0:
        return {}
    ratios = [round(rng.gauss(0, 0.1), 6) for _ in completion.token_ids]
    return {"gap": sum(map(abs, ratios)) / len(ratios), "log_ratios": ratios}


def _score(problem, completion):
    if completion.seed % 50 == 0:
        return Score(None, Verdict.TIMEOUT, detail="no answer within 2 s")
    judged = grade(completion.text, **problem.columns)
    parts = {"countdown": judged.value, "format": float(not completion.is_truncated)}
    weighted = {"countdown": parts["countdown"], "format": 0.2 * parts["format"]}
    verdict = Verdict.TRUNCATED if completion.is_truncated else judged.verdict
    return Score(sum(weighted.values()), verdict, judged.extracted, parts, weighted, judged.detail)


def texts_run(folder, texts, name="hostile"):
    """A run of one step whose completions are these texts, each of a problem that is called after it."""
    problems, lines = [], []
    for index, text in zip(itertools.count(), texts, strict=False):
        problem = Problem(f"{name} {index} {text[:40]}", f"{text[:200]}", {"hint": text[:40]})
        completion = Completion(text, (), (), "stop", 0, text[:8], index)
        score = Score(0.0, Verdict.WRONG, text[-20:], {text[:12]: 0.0}, {text[:12]: 0.0}, text[:60])
        problems.append(problem)
        lines.append(sample_line(problem, 0, completion, score))
    return write_run(folder, {1: lines}, problems)


def write_page(path, *folders):
    """A report of these folders with nothing in it but their samples."""
    path.write_bytes(page(Heading("run", "a run", "", ""), [], [], folders))
    return path
