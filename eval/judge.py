"""The judge of a suite: the very reward that training uses, with a strict reading beside the flexible one."""

from doubleback.eval.prompts.prompt import PromptConfig
from doubleback.eval.suites.suite import SuiteConfig
from doubleback.rewards.compose.config import ComponentConfig, RewardConfig
from doubleback.rewards.compose.reward import Reward, load_reward
from doubleback.rewards.sample_lines import Line, is_correct

FLEXIBLE, STRICT, LEAK = "flexible", "strict", "obeys_thinking"


def judge_config(suite: SuiteConfig, prompt: PromptConfig, thinking: bool | None) -> RewardConfig:
    """The suite's own reward; by default `math` read flexibly, which judges, and strictly, in the prompt's style.

    Where a mode of thinking is asked for, whether the completion keeps to it is measured too.
    """
    return with_obedience(
        suite.reward
        or RewardConfig(
            components={
                FLEXIBLE: ComponentConfig(function="math", args={"style": "flexible"}),
                STRICT: ComponentConfig(function="math", args={"style": prompt.style}, weight=0.0),
            },
            judge=FLEXIBLE,
        ),
        thinking,
    )


def with_obedience(reward: RewardConfig, thinking: bool | None) -> RewardConfig:
    """The reward, which measures beside the rest whether a completion keeps to the mode of thinking that is asked for.

    As it is where none is, or where it has a component `obeys_thinking` of its own, which may have a weight.
    """
    if thinking is None or LEAK in reward.components:
        return reward
    leak = ComponentConfig(function="reasoning_off", args={}, weight=0.0)
    return reward.model_copy(update={"components": {**reward.components, LEAK: leak}, "judge": reward.judge_name})


def load_judge(suite: SuiteConfig, prompt: PromptConfig, thinking: bool | None) -> Reward:
    """That reward, ready to score. Close it."""
    return load_reward(judge_config(suite, prompt, thinking), suite.max_tokens, key="suite.reward.components.{}")


def is_strictly_correct(line: Line) -> bool | None:
    """Whether a sample is right by the strict reading; None where nothing is known of its form.

    The component `strict` says so, or else the verdict together with the form: `format_ok` of a row that was graded
    again, or the component `format`.
    """
    parts = line.get("parts", {})
    if STRICT in parts:
        return bool(parts[STRICT] >= 1.0)
    keeps_form = line.get("format_ok", parts["format"] >= 1.0 if "format" in parts else None)
    return None if keeps_form is None else is_correct(line) and bool(keeps_form)


def obeys_thinking(line: Line) -> bool | None:
    """Whether a sample thought exactly where it was asked to; None where nothing was asked."""
    leak = line.get("parts", {}).get(LEAK)
    return None if leak is None else bool(leak >= 1.0)
