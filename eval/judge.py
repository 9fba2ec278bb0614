"""The judge of a suite: the very reward that training uses, with a strict reading beside the flexible one."""

from doubleback.eval.prompts.prompt import PromptConfig
from doubleback.eval.suites.suite import SuiteConfig
from doubleback.rewards.compose.config import ComponentConfig, RewardConfig
from doubleback.rewards.compose.reward import Reward, load_reward
from doubleback.rewards.types import Score, Verdict

FLEXIBLE, STRICT, LEAK = "flexible", "strict", "obeys_thinking"


def judge_config(suite: SuiteConfig, prompt: PromptConfig, thinking: bool | None) -> RewardConfig:
    """The suite's own reward; by default `math` read flexibly, which judges, and strictly, in the prompt's style.

    Where a mode of thinking is asked for, whether the completion keeps to it is measured too.
    """
    own = suite.reward
    components = (
        dict(own.components)
        if own
        else {
            FLEXIBLE: ComponentConfig(function="math", args={"style": "flexible"}),
            STRICT: ComponentConfig(function="math", args={"style": prompt.style}, weight=0.0),
        }
    )
    if thinking is not None:
        components[LEAK] = ComponentConfig(function="reasoning_off", args={}, weight=0.0)
    base = own or RewardConfig(components=components, judge=FLEXIBLE)
    return base.model_copy(update={"components": components, "judge": own.judge_name if own else FLEXIBLE})


def load_judge(suite: SuiteConfig, prompt: PromptConfig, thinking: bool | None) -> Reward:
    """That reward, ready to score. Close it."""
    return load_reward(judge_config(suite, prompt, thinking), suite.max_tokens, key="suite.reward.components.{}")


def strictly_correct(score: Score) -> bool:
    """Right by the strict reading: the component `strict`, or else the judge's verdict in exact format."""
    if STRICT in score.parts:
        return score.parts[STRICT] >= 1.0
    return score.verdict == Verdict.CORRECT and score.parts.get("format", 1.0) >= 1.0
