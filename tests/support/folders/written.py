"""Folders as runs and evaluations leave them, written in milliseconds: no model, no engine."""

import json
import math
import random

import yaml

from doubleback.eval.summarise import headline, summary
from doubleback.recipes.recipe.loading import load_recipe
from doubleback.rewards.jsonl import to_lines
from doubleback.rewards.sample_lines import problem_line, sample_line
from doubleback.rewards.types import Completion, Problem, Score, Verdict
from doubleback.rl.objective.balance import balance, by_layer, over_layers

PROBLEMS = [Problem(f"p:{n}", f"{n} 5 7 -> {n + 12}", {"numbers": [n, 5, 7], "target": n + 12}) for n in range(1, 9)]


def write_run(folder, steps=4, finished=True, texts=(), seed=0, overrides=(), description=None):
    """A run of `countdown`: metrics, rollouts, evaluations. `texts` are woven into all that strangers write."""
    rng = random.Random(seed)
    recipe = load_recipe("countdown", [f"steps={steps}", f"seed={seed}", *overrides]).model_dump(mode="json")
    recipe["description"] = description or recipe["description"] + " ".join(texts)
    for name in ("eval", "rollouts", "checkpoints/step-00002"):
        (folder / name).mkdir(parents=True)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe, allow_unicode=True), encoding="utf-8")
    machine = {"python": "3.11.7", "platform": "Linux-6.1-x86_64-with-glibc2.36", "threads": 2}
    write_json(folder / "environment.json", {**machine, "packages": {"torch": "2.13.0"}, "sizes": {}})
    write_json(folder / "inputs.json", {"the set of test problems": "8 problems (SHA-256 abc)"})
    problems = [Problem(problem.id, problem.prompt + " ".join(texts), problem.columns) for problem in PROBLEMS]
    (folder / "problems.jsonl").write_bytes(to_lines(map(problem_line, problems)))
    lines = []
    for step in range(steps + 1 if finished else steps):
        line = {"step": step, **pushed(), **({} if step == 0 else trained(rng, step, texts))}
        if step > 0:
            rollouts = samples(problems, 2, step, rng, texts)
            rows = [{"step": step, **of, "token_ids": [1], "sampler_logprobs": [-0.5]} for of in rollouts]
            (folder / f"rollouts/step-{step:05d}.jsonl.gz").write_bytes(to_lines(rows, is_gzipped=True))
        for suite in ["validation", *(["test"] if step in (0, steps) else [])]:
            if step % 2 == 0:
                line |= measure(folder, suite, step, problems, rng, texts)
        lines.append(line)
    text = "".join(json.dumps(undefined_as_null(line)) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text, encoding="utf-8")
    return folder


def write_evaluation(folder, share, texts=(), n=4, seed=0, **settings):
    """An evaluation whose samples are right with the probability `share`."""
    folder.mkdir(parents=True)
    rng = random.Random(seed)
    problems = [Problem(problem.id, problem.prompt + " ".join(texts), problem.columns) for problem in PROBLEMS]
    lines = samples(problems, n, share, rng, texts, share=share)
    known = {"suite": "countdown", "data_sha256": "a", "prompt": "plain", "prompt_sha256": "b", "n": n, "step": 0}
    known |= {"temperature": 1.0, "max_tokens": 160, "model": "bundled:countdown", "seed": seed, "ban": None}
    found = summary(lines, known | settings)
    write_json(folder / "summary.json", found)
    write_json(folder / "settings.json", known | settings)
    (folder / "problems.jsonl").write_bytes(to_lines(map(problem_line, problems)))
    (folder / "samples.jsonl").write_bytes(to_lines(lines))
    return folder


def write_json(path, value):
    path.write_text(json.dumps(value), encoding="utf-8")


def undefined_as_null(line):
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in line.items()
    }


def pushed():
    return {
        "sync/mean_abs": 1e-7,
        "sync/max_abs": 4e-6,
        "sync/moved": 0.003,
        "sync/from_base": 0.02,
        "sync/bound": 1e-5,
    }


def trained(rng, step, texts=()):
    name = "countdown" + "".join(texts)
    part = {name: rng.random() / 2, "format": 0.99, "overlong": -0.05}
    return {
        "reward/mean": sum(part.values()) / 3,
        "reward/std": 0.4,
        **{f"reward/part/{key}": value for key, value in part.items()},
        **{f"reward/weighted/{key}": value * 0.5 for key, value in part.items()},
        **{f"reward/length_correlation/{key}": 0.1 if key != "overlong" else -0.8 for key in part},
        "verdict/correct": min(0.9, 0.2 + 0.1 * step),
        **{f"verdict/{name}": 0.0 for name in Verdict if name not in ("correct", "wrong")},
        "verdict/wrong": max(0.1, 0.8 - 0.1 * step),
        "rollout/num_completions": 16.0,
        "rollout/tokens": 640.0,
        "rollout/mean_tokens": 40.0,
        "rollout/max_tokens": 90.0,
        "rollout/cut_off": 0.02,
        "rollout/zero_variance": 0.25,
        "rollout/unusable": 0.0,
        **{f"experts/{key}": value for key, value in over_layers([balance([4, 3, 2, 1], 10)]).items()},
        "learner/loss": 0.01,
        "learner/grad_norm": 0.003,
        "learner/lr": 1e-3,
        "learner/entropy": 0.2 * 0.98**step,
        "learner/tokens": 640.0,
        "gap/mean_abs": 1e-7,
        "gap/max_abs": 1e-5,
        "gap/k3": 1e-10,
        "gap/experts_differ": 0.0,
        **{f"seconds/{key}": value for key, value in SECONDS.items()},
        "speed/rollout_tokens_per_s": 320.0,
        "speed/update_tokens_per_s": 640.0,
    }


SECONDS = {"rollout": 2.0, "wait": 0.0, "reward": 0.1, "update": 1.0, "sync": 0.05, "receipt": 0.05, "step": 3.3}


def samples(problems, n, step, rng, texts=(), share=None):
    return [sampled(problem, index, step, rng, texts, share) for problem in problems for index in range(n)]


def sampled(problem, index, step, rng, texts=(), share=None):
    right = rng.random() < (0.2 + 0.1 * step if share is None else share)
    text = f"<think> {problem.prompt} </think> <answer> {index} </answer>" + " ".join(texts)
    completion = Completion(text, (1, 2, 3), (-0.5,) * 3, "stop", 0, "aa", index)
    parts = {"countdown" + "".join(texts): float(right), "format": 1.0}
    score = Score(float(right), Verdict.CORRECT if right else Verdict.WRONG, f"{index}", parts, parts, "".join(texts))
    return sample_line(problem, index, completion, score)


def measure(folder, suite, step, problems, rng, texts):
    lines = samples(problems, 4, step, rng, texts)
    found = summary(lines, {"suite": suite, "step": step, "adapter_hash": "aa"}, [1, 4])
    found["experts"] = by_layer([balance([4, 3, 2, 1], 10)] * 2)
    write_json(folder / f"eval/{suite}-step-{step:05d}.json", found)
    (folder / f"eval/{suite}-step-{step:05d}.jsonl.gz").write_bytes(to_lines(lines, is_gzipped=True))
    return headline(found, [1, 4])
