"""What `doubleback eval` costs over a bare vLLM generate: `python tests/bench/evaluation.py QUESTIONS [--repeats 3]`.

QUESTIONS is a file with GSM8K's fields. A random MoE with a byte-level tokenizer answers every question with up to 64
tokens; the same requests go once through `eval.run` with its judge, its file and its progress bar, and once
through `LLM.generate` of the same engine. Alternating, medians.
"""

import argparse
import io
import json
import resource
import tempfile
import time
from pathlib import Path
from statistics import median

from support.models.text import make_text_model

from doubleback.eval.judge import load_judge
from doubleback.eval.prompts.prompt import load_prompt
from doubleback.eval.prompts.rendering import prompted
from doubleback.eval.run import Request, generate_into
from doubleback.eval.show.console import Console
from doubleback.eval.suites.suite import load_suite
from doubleback.recipes.commands.progress import EvalProgress
from doubleback.rl.engines.config import EngineConfig
from doubleback.rl.engines.create import create_engine
from doubleback.rl.policy.base import load_tokenizer
from doubleback.rl.seeds import sample_seed
from doubleback.rl.types import ModelSource, Sampling

MAX_TOKENS = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("questions", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--prompt", default="gsm8k_hash_4shot")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), arguments.questions, arguments.prompt, arguments.repeats)


def run(folder: Path, questions: Path, prompt_name: str, repeats: int) -> None:
    suite, prompt = load_suite("gsm8k", questions), load_prompt(prompt_name)
    path = str(make_text_model(folder / "model", [item.question for item in suite.items], vocabulary=2000))
    tokenizer = load_tokenizer(path)
    problems = prompted(suite.items, prompt, tokenizer, None).problems
    lengths = [len(tokenizer(problem.prompt)["input_ids"]) for problem in problems]
    model = ModelSource(path, "float32", max(lengths) + MAX_TOKENS)
    engine = create_engine(EngineConfig().setup(model, has_stop_strings=True), {}, tokenizer)
    sampling = Sampling(group_size=1, temperature=1.0, max_tokens=MAX_TOKENS, stop=tuple(prompt.stop))
    seeds = [sample_seed(0, "eval gsm8k", problem.id) for problem in problems]
    console = Console(file=io.StringIO(), force_terminal=True)

    def ours(repeat: int) -> None:
        with load_judge(suite.config, prompt, None) as judge, EvalProgress(console, len(problems), 1) as progress:
            file = folder / f"samples-{repeat}.jsonl"
            generate_into(file, engine, Request("gsm8k", problems, sampling, 0), judge, progress.observe)

    def bare(repeat: int) -> None:
        from vllm import SamplingParams

        stop = {"stop": list(prompt.stop), "stop_token_ids": [tokenizer.eos_token_id]}
        params = [SamplingParams(seed=seed, max_tokens=MAX_TOKENS, logprobs=0, **stop) for seed in seeds]
        requests = [{"prompt_token_ids": tokenizer(problem.prompt)["input_ids"]} for problem in problems]
        engine._llm.reset_prefix_cache()
        engine._llm.generate(requests, params, use_tqdm=False)

    seconds: dict[str, list[float]] = {"ours": [], "bare": []}
    for repeat in range(repeats + 1):
        for name, call in (("ours", ours), ("bare", bare)):
            begun = time.perf_counter()
            call(repeat)
            if repeat:  # the first of each warms up
                seconds[name].append(time.perf_counter() - begun)
    result = {
        "problems": len(problems),
        "prompt_tokens": [min(lengths), max(lengths)],
        "eval_seconds": round(median(seconds["ours"]), 3),
        "bare_seconds": round(median(seconds["bare"]), 3),
        "overhead": round(median(seconds["ours"]) / median(seconds["bare"]) - 1, 4),
        "all": {name: [round(value, 2) for value in values] for name, values in seconds.items()},
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
