"""Our rewards in TRL's trainer and TRL's rewards in ours: the same completions get the same values."""

import math

import pytest
from support.oracles.trl import forget_accelerate
from support.paths import NASTY
from support.rewarding import section

from doubleback.recipes.models.bundled import bundled_path
from doubleback.rewards.builtin.countdown import Split, problems
from doubleback.rewards.builtin.table import make_builtin
from doubleback.rewards.compose.reward import load_reward
from doubleback.rewards.contract.functions import per_sample
from doubleback.rewards.types import Completion, Problem

pytestmark = pytest.mark.slow

MAX_TOKENS = 96
WEIGHTS = {"countdown": 1.0, "math": 0.5, "format": 0.2, "overlong": 1.0, "repetition": 0.3, "waits": 0.25}
ARGUMENTS = {"overlong": {"buffer": 64}, "repetition": {"ngram_size": 3}, "math": {"style": "think_answer"}}


@per_sample
async def waits(completion):
    """Async, as a reward of a user may be; `nasty.waits` says the same of these texts."""
    return 0.5


def test_trl_trains_with_our_rewards_and_sees_the_values_of_our_loop(tmp_path):
    from datasets import Dataset
    from peft import LoraConfig
    from trl import GRPOConfig, GRPOTrainer

    from doubleback.rl.policy.base import load_base, load_tokenizer
    from doubleback.rl.types import ModelSource

    folder = bundled_path("bundled:countdown")
    known = problems(3, Split.TRAIN)[:32:4]
    # The gold of `math` is the target: an expression, even one that equals it, is not its value.
    columns = [{**problem.columns, "answer": str(problem.columns["target"])} for problem in known]
    seen = []

    def recorder(prompts, completions, completion_ids, numbers, target, answer, **rest):
        seen.append(list(zip(prompts, completions, completion_ids, numbers, target, answer, strict=True)))
        return [0.0] * len(completions)

    functions = [make_builtin(name, ARGUMENTS.get(name, {}), MAX_TOKENS, "k") for name in WEIGHTS if name != "waits"]
    forget_accelerate()
    trainer = GRPOTrainer(
        model=load_base(ModelSource(folder, "float32", 256)),
        reward_funcs=[*functions, waits, recorder],
        args=GRPOConfig(
            output_dir=str(tmp_path),
            report_to="none",
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            per_device_train_batch_size=8,
            num_generations=4,
            max_completion_length=MAX_TOKENS,
            max_steps=2,
            logging_steps=1,
            reward_weights=[*WEIGHTS.values(), 0.0],
            seed=0,
        ),
        train_dataset=Dataset.from_list([{"prompt": p.prompt, **c} for p, c in zip(known, columns, strict=True)]),
        processing_class=load_tokenizer(folder),
        peft_config=LoraConfig(r=4, target_modules=["q_proj", "v_proj"]),
    )
    trainer.train()
    logged = [line for line in trainer.state.log_history if "reward" in line]
    forget_accelerate()
    assert len(seen) == len(logged) == 2

    components = {name: {"weight": weight, "args": ARGUMENTS.get(name, {})} for name, weight in WEIGHTS.items()}
    components["waits"]["function"] = f"{NASTY}:waits"
    names = dict(zip(WEIGHTS, [*(function.__name__ for function in functions), "waits"], strict=True))
    varied = set()
    with load_reward(section(components=components, judge="countdown"), MAX_TOKENS) as reward:
        for batch, line in zip(seen, logged, strict=True):
            scores = [_score(reward, *row) for row in batch]
            for name in WEIGHTS:
                values = [score.parts[name] for score in scores]
                varied |= {name} if len(set(values)) > 1 else set()
                assert line[f"rewards/{names[name]}/mean"] == pytest.approx(math.fsum(values) / len(values), abs=1e-6)
            total = math.fsum(score.value for score in scores) / len(scores)
            assert line["reward"] == pytest.approx(total, abs=1e-6)
    assert {"countdown", "repetition"} <= varied  # the comparison is not one of constants


def _score(reward, prompt, completion, ids, numbers, target, answer):
    problem = Problem("p", prompt, {"numbers": numbers, "target": target, "answer": answer})
    (score,) = reward(problem, [Completion(completion, tuple(ids), (), "stop", 0, "", 0)])
    return score


TEXTS = [
    "<think>\na\n</think>\nSo $\\boxed{72}$.",
    "So $\\boxed{\\frac{144}{2}}$.",
    "So $\\boxed{73}$.",
    "<think> 72 72 72 72 72 </think>",
]


@pytest.fixture(scope="module")
def trl_reward():
    """TRL's own functions as components, by import path; factories with their arguments."""
    components = {
        "accuracy": {"function": "trl.rewards:accuracy_reward", "conversational": True},
        "thinks": {"function": "trl.rewards:think_format_reward", "conversational": True},
        "punished": {
            "function": "trl.rewards:get_soft_overlong_punishment",
            "args": {"max_completion_len": 10, "soft_punish_cache": 4},
        },
        "repeats": {"function": "trl.rewards:get_repetition_penalty_reward", "args": {"ngram_size": 2}},
    }
    config = section(components=components, judge="accuracy", timeout_seconds=30.0)
    with load_reward(config) as reward:
        yield reward


def test_trls_rewards_run_unchanged_here(trl_reward):
    from trl.rewards import (
        accuracy_reward,
        get_repetition_penalty_reward,
        get_soft_overlong_punishment,
        think_format_reward,
    )

    ids = [[1, 2, 3], [1, 2, 1, 2, 1, 2, 1], [5] * 9, [7] * 12]
    completions = [Completion(text, tuple(i), (), "stop", 0, "", 0) for text, i in zip(TEXTS, ids, strict=True)]
    scores = trl_reward(Problem("p", "What is 48 + 24?", {"solution": "$72$"}), completions)
    messages = [[{"role": "assistant", "content": text}] for text in TEXTS]
    expected = {
        "accuracy": accuracy_reward(messages, solution=["$72$"] * 4),
        "thinks": think_format_reward(messages),
        "punished": get_soft_overlong_punishment(10, 4)(completion_ids=ids),
        "repeats": get_repetition_penalty_reward(2)(completion_ids=ids),
    }
    for name, values in expected.items():
        applies = [score.parts.get(name) for score in scores]
        assert applies == pytest.approx([None if value is None else float(value) for value in values], abs=1e-12), name
    assert expected["accuracy"][:3] == [1.0, 1.0, 0.0]


def test_ours_equal_trls_where_both_have_one():
    from trl.rewards import get_repetition_penalty_reward, get_soft_overlong_punishment

    ids = [[1, 2, 3], [1, 2, 1, 2, 1, 2, 1], [5] * 9, [7] * 12, [], [1], list(range(10))]
    # Ours is never asked about more than max_tokens; there both give -1.
    ours = make_builtin("overlong", {"buffer": 4}, 10, "k")
    assert ours(completion_ids=ids) == pytest.approx(get_soft_overlong_punishment(10, 4)(completion_ids=ids), abs=1e-12)
    ours = make_builtin("repetition", {"ngram_size": 2, "max_penalty": -0.5}, None, "k")
    theirs = get_repetition_penalty_reward(2, -0.5)
    assert ours(completion_ids=ids) == pytest.approx(theirs(completion_ids=ids), abs=1e-12)
