"""The metric of an evaluation is the reward of training: the same object, the same verdict on every completion."""

from support.rewarding import section

from doubleback.eval.judge import FLEXIBLE, STRICT, is_strictly_correct, judge_config, load_judge
from doubleback.eval.prompts.prompt import load_prompt
from doubleback.eval.suites.suite import load_config
from doubleback.recipes.recipe.loading import load_recipe
from doubleback.rewards.builtin.countdown import Split, problems
from doubleback.rewards.builtin.table import BUILTIN
from doubleback.rewards.checks.golds import as_completion
from doubleback.rewards.compose.reward import load_reward
from doubleback.rewards.hostile.cases import cases
from doubleback.rewards.sample_lines import judgement
from doubleback.rewards.types import Problem, Verdict

GSM8K, PROMPT = load_config("gsm8k")[1], load_prompt("gsm8k_hash_4shot")


def test_the_judge_of_a_suite_is_the_builtin_reward():
    config = judge_config(GSM8K, PROMPT, thinking=None)
    assert config.judge_name == FLEXIBLE
    assert {component.function for component in config.components.values()} == {"math"}
    assert BUILTIN["math"].__name__ == "MathCorrect"
    assert config.components[STRICT].args == {"style": "hash"}
    countdown = judge_config(load_config("countdown")[1], load_prompt("plain"), thinking=None)
    assert countdown.judge_name == load_recipe("countdown").reward.judge_name == "countdown"


def test_training_and_evaluation_give_the_same_verdict_on_every_case():
    """On the whole hostile suite: a divergence of metric and reward fails here."""
    suite = [case for case in cases() if len(case.completion) < 10_000 and case.style == "flexible"]
    assert len(suite) > 20
    with load_reward(section(components={"math": 1.0})) as reward, load_judge(GSM8K, PROMPT, None) as judge:
        for case in suite:
            problem = Problem(case.name, case.prompt, {"answer": case.answer})
            (trained,), (evaluated,) = (it(problem, [as_completion(case.completion)]) for it in (reward, judge))
            assert (trained.verdict, trained.extracted) == (evaluated.verdict, evaluated.extracted), case.name


def test_countdown_too():
    (problem, *_) = problems(3, Split.TEST)
    right = "<think> a </think> <answer> 1 + 2 </answer>"
    recipe = load_recipe("countdown")
    with (
        load_reward(recipe.reward, recipe.sampling.max_tokens) as reward,
        load_judge(load_config("countdown")[1], load_prompt("plain"), None) as judge,
    ):
        for text in (right, "nothing", right.replace("answer", "anser")):
            (trained,), (evaluated,) = (it(problem, [as_completion(text)]) for it in (reward, judge))
            assert (trained.verdict, trained.extracted) == (evaluated.verdict, evaluated.extracted)


def test_strict_and_flexible_by_hand():
    texts = {"so\n#### 72": (True, True), "So it is 72": (False, True), "#### 71": (False, False)}
    with load_judge(GSM8K, PROMPT, None) as judge:
        for text, expected in texts.items():
            (score,) = judge(Problem("p", "?", {"answer": "72"}), [as_completion(text)])
            assert (is_strictly_correct(judgement(score)), score.verdict == Verdict.CORRECT) == expected


def test_leaking_thought_is_measured_where_a_mode_is_asked_for():
    with load_judge(GSM8K, PROMPT, thinking=False) as judge:
        for text, obeys in (("<think> 72 </think> #### 72", 0.0), ("#### 72", 1.0)):
            (score,) = judge(Problem("p", "?", {"answer": "72", "thinking": False}), [as_completion(text)])
            assert score.parts["obeys_thinking"] == obeys
            assert score.verdict == Verdict.CORRECT
