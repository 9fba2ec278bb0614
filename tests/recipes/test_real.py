"""A pretrained chat model: from the package index, put by its own chat template, the same in engine and trainer, and
out in the world: pushed, merged, and upcycled.
"""

import json

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from doubleback.eval.show.console import Console
from doubleback.recipes import Run, load_recipe, push, train, upcycle
from doubleback.rewards.types import Problem
from doubleback.rl.engines.config import EngineConfig
from doubleback.rl.engines.create import create_engine
from doubleback.rl.policy.base import load_base, load_tokenizer
from doubleback.rl.types import ModelSource, Sampling

SMALL = ["steps=1", "rollout.prompts_per_step=2", "sampling.group_size=4", "sampling.max_tokens=16", "eval.every=1"]
SMALL += ["task.train_problems=40", "task.validation_problems=1", "task.test_problems=3"]
SMALL += ["eval.n=1", "eval.k=[1]", "engine.kv_cache_mib=256"]
SMALL += ["optim.lr=3e-3", "optim.warmup_steps=0"]  # one step moves the policy by .3 nats a token
BOUND = 5e-4
"""Nats: 30 layers in float32 differ by 5e-5 where a toy of two differs by 5e-6; a stale adapter by 1e-2."""
NUM_GREEDY = 24
pytestmark = [pytest.mark.slow, pytest.mark.real]


@pytest.fixture(scope="module")
def stepped(real_model, tmp_path_factory):
    """A run of one step."""
    recipe = load_recipe("word-problems", [f"model.path={real_model}", *SMALL])
    return train(recipe, tmp_path_factory.mktemp("runs") / "stepped", console=Console(quiet=True)).path


def test_a_turn_ends_where_the_template_says(real_model):
    tokenizer = AutoTokenizer.from_pretrained(real_model)
    assert tokenizer.decode(tokenizer.eos_token_id) == "<|im_end|>"
    assert json.loads((real_model / "generation_config.json").read_text())["eos_token_id"] == tokenizer.eos_token_id
    assert "quantization_config" not in json.loads((real_model / "config.json").read_text())


def test_it_trains_a_step_through_its_own_template(stepped):
    prompt = json.loads((stepped / "problems.jsonl").read_text().splitlines()[0])["prompt"]
    turns = ["system", "user", "assistant", "user", "assistant", "user", "assistant"]
    assert [turn.partition("\n")[0] for turn in prompt.split("<|im_start|>")[1:]] == turns
    assert prompt.endswith("<|im_start|>assistant\n")
    lines = [json.loads(line) for line in (stepped / "metrics.jsonl").read_text().splitlines()]
    assert max(line["sync/max_abs"] for line in lines) < BOUND
    assert 0 <= lines[-1]["eval/test/seen_rate"] <= 1


@torch.no_grad()
def logprobs(model, sequences):
    """The log-probability of every completion token, all sequences in a row."""
    rows = []
    for prompt, completion in sequences:
        logits = model(input_ids=torch.tensor([[*prompt, *completion]])).logits[0, len(prompt) - 1 : -1].float()
        rows.append(logits.log_softmax(-1).gather(1, torch.tensor(completion)[:, None])[:, 0])
    return torch.cat(rows)


def test_its_adapter_is_the_same_policy_pushed_and_merged_in_peft_transformers_and_vllm(
    run, real_model, stepped, tmp_path
):
    push(stepped, "ann/words", out=tmp_path / "pushed", console=Console(quiet=True))
    code, out, err = run("merge", stepped, "--out", tmp_path / "merged")
    assert code == 0, err
    assert "rounding 0.0e+00 at most on a weight" in out
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "merged")
    written = Run(stepped)
    ids = {row["id"]: tuple(tokenizer(row["prompt"])["input_ids"]) for row in written.problems().to_pylist()}
    sequences = [(ids[row["problem"]], tuple(row["token_ids"])) for row in written.rollouts(step=1).to_pylist()]
    base = AutoModelForCausalLM.from_pretrained(real_model, dtype="float32").eval()
    bare = logprobs(base, sequences)
    pushed = logprobs(PeftModel.from_pretrained(base, tmp_path / "pushed").eval(), sequences)
    merged = logprobs(AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval(), sequences)
    source = ModelSource(str(tmp_path / "merged"), "float32", 512)
    engine = create_engine(EngineConfig(kv_cache_mib=256).setup(source), {}, tokenizer)
    served = torch.tensor([value for row in engine.score(sequences) for value in row])
    engine.close()
    gaps = {"merged": merged - pushed, "vllm": served - pushed, "bare": bare - pushed}
    largest = {name: float(gap.abs().max()) for name, gap in gaps.items()}
    assert max(largest["merged"], largest["vllm"]) < BOUND
    assert largest["bare"] > 100 * BOUND


def test_upcycled_it_says_the_same_in_transformers_and_in_vllm(tmp_path, real_model):
    sources = [ModelSource(str(path), "float32", max_length=128) for path in (real_model, tmp_path / "moe")]
    report = upcycle(real_model, out=sources[1].path)
    assert report.max_gap < BOUND  # 4.4e-5: the rounding of 30 layers, over every word of the vocabulary
    tokenizer = load_tokenizer(str(real_model))
    prompts = [
        tokenizer.apply_chat_template([{"role": "user", "content": text}], add_generation_prompt=True, tokenize=False)
        for text in ("Name the capital of France.", "Mia has 12 apples and buys 7 more. How many has she?")
    ]
    said, again = (greedy(source, tokenizer, prompts) for source in sources)
    assert again == said
    engine = create_engine(EngineConfig(kv_cache_mib=256).setup(sources[1]), {}, tokenizer)
    problems = [Problem(prompt, prompt) for prompt in prompts]
    groups = engine.sample(problems, Sampling(group_size=1, temperature=0.0, max_tokens=NUM_GREEDY), seeds=[0, 1])
    engine.close()
    assert [group.completions[0].token_ids for group in groups] == said


def greedy(source, tokenizer, prompts):
    """The tokens that the model in transformers finds likeliest, one after the other, for each prompt."""
    model, said = load_base(source), []
    for prompt in prompts:
        inputs = tokenizer(prompt, return_tensors="pt")
        made = model.generate(**inputs, do_sample=False, max_new_tokens=NUM_GREEDY)
        said.append(tuple(made[0, inputs["input_ids"].shape[1] :].tolist()))
    return said
