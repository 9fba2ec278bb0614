"""What a recipe says of modes and of tasks beside its own: the strands that come of it, and what is refused."""

from contextlib import ExitStack
from copy import deepcopy

import pytest
from support.paths import FEW_COUNTDOWN

from doubleback.recipes.models.bundled import bundled_path
from doubleback.recipes.recipe.assembly import prepare
from doubleback.recipes.recipe.loading import load_recipe
from doubleback.recipes.recipe.mixture.gather import graded, together
from doubleback.recipes.recipe.mixture.strands import strands
from doubleback.rewards.types import Completion, ConfigError
from doubleback.rl.policy.base import load_tokenizer

ARROW = "{question} ->"
ANSWER = {"components": {"countdown": 1.0, "answer_only": 0.5}}
MODES = {"modes.on": {}, "modes.off": {"prompt": ARROW, "max_tokens": 24, "reward": ANSWER}}
CHAIN = {"task": {"name": "chain_sum"}, "reward": {"components": {"math": 1.0}}, "max_tokens": 32, "weight": 3.0}


def recipe(**settings):
    return load_recipe("countdown", deepcopy({"task.name": FEW_COUNTDOWN, **settings}))


def test_a_recipe_without_a_mixture_is_its_own_only_strand():
    plain = recipe()
    (strand,) = strands(plain)
    assert strand.recipe is plain
    assert strand.name == ""


def test_a_mode_is_the_recipe_with_its_own_prompt_length_and_reward():
    on, off = strands(recipe(**MODES))
    assert (on.name, on.thinking, on.recipe.task.prompt, on.recipe.sampling.max_tokens) == (
        "on",
        True,
        "{question}",
        160,
    )
    assert (off.name, off.thinking, off.recipe.task.prompt, off.recipe.sampling.max_tokens) == ("off", False, ARROW, 24)
    assert list(on.recipe.reward.components) == ["countdown", "format", "overlong", "obeys_thinking"]
    assert list(off.recipe.reward.components) == ["countdown", "answer_only", "obeys_thinking"]
    assert off.recipe.reward.components["obeys_thinking"].weight == 0.0
    assert off.recipe.reward.judge_name == "countdown"
    assert off.recipe.modes == {}


def test_a_task_beside_the_recipes_own_keeps_its_own_settings():
    own, beside = strands(load_recipe("countdown", {"mix.sums": CHAIN}))
    assert (own.name, own.weight, own.recipe.task.name) == ("countdown", 1.0, "countdown")
    assert (beside.name, beside.weight, beside.recipe.task.name) == ("sums", 3.0, "chain_sum")
    assert (beside.is_mode, beside.recipe.sampling.max_tokens) == (False, 32)
    names = [it.name for it in strands(recipe(**MODES, **{"mix.sums": CHAIN}))]
    assert names == ["on", "off", "sums"]


def test_every_mode_has_every_problem_as_it_puts_it_and_a_judge_of_its_own():
    completion = Completion("<answer> 1 </answer>", (5, 2), (-1.0, -1.0), "stop", 0, "test", 0)
    with prepare(recipe(**MODES)) as prepared:
        on, off = ([it for it in prepared.splits.train if it.id.startswith(name)] for name in ("on/", "off/"))
        assert len(on) == len(off) == 24
        for first, second in zip(on, off, strict=True):
            assert first.id.removeprefix("on/") == second.id.removeprefix("off/")
            assert second.prompt == f"{first.prompt} ->"
            assert (first.columns["thinking"], second.columns["thinking"]) == (True, False)
        assert [it.id.split("/")[0] for it in prepared.splits.train[:4]] == ["on", "off", "on", "off"]
        obeyed = [prepared.reward.start(it, [completion])()[0].parts["obeys_thinking"] for it in (on[0], off[0])]
        assert obeyed == [0.0, 1.0]
        suite = prepared.suites["validation"]
        assert [it.id.split("/")[0] for it in suite.problems] == ["on"] * 4 + ["off"] * 4


@pytest.mark.slow
def test_a_chat_model_is_switched_by_its_template(text_model, questions):
    """The same prompt in both modes: what differs is what Qwen3's template does with enable_thinking."""
    task = {"name": "math", "train": str(questions), "question": "question", "answer": "answer", "gold_form": "hash"}
    test = questions.with_name("test.jsonl")
    test.write_text('{"question": "What is 3 + 4?", "answer": "#### 7"}\n')
    task |= {"prompt": "boxed", "validation_problems": 1, "test": str(test)}
    settings = {"task": task, "reward": {"components": {"math": 1.0}}, "modes.on": {}, "modes.off": {}}
    mixed = load_recipe("countdown", {**settings, "model.path": text_model["qwen3"], "model.max_length": 900})
    with ExitStack() as stack:
        parts = graded(mixed, stack, lambda share: None)
        splits, _ = together(parts, load_tokenizer(text_model["qwen3"]))
        on, off = (next(it for it in splits.train if it.id.startswith(name)) for name in ("on/", "off/"))
        assert off.prompt.endswith("<think>\n\n</think>\n\n")
        assert off.prompt.startswith(on.prompt)


def test_what_is_wrong_with_one_mode_names_it():
    mixed = recipe(**{"modes.on": {}, "modes.off": {"prompt": ARROW, "max_tokens": 24}})
    with (
        ExitStack() as stack,
        pytest.raises(ConfigError, match=r"^off: overlong: buffer=64 must be from 1 to below max"),
    ):
        graded(mixed, stack, lambda share: None)


def test_modes_whose_prompts_come_out_equal_are_refused(tmp_path):
    for name in ("one", "other"):
        prompt = 'description: x\nkind: completion\nstyle: think_answer\ntext: "{question}"\n'
        (tmp_path / f"{name}.yaml").write_text(prompt)
    mixed = recipe(**{f"modes.{name}": {"prompt": str(tmp_path / f"{name}.yaml")} for name in ("one", "other")})
    with ExitStack() as stack:
        parts = graded(mixed, stack, lambda share: None)
        with pytest.raises(ConfigError, match=r"^modes\.one and modes\.other put problem countdown3:\S+ alike; give"):
            together(parts, load_tokenizer(bundled_path("bundled:countdown")))


REFUSED = {
    "one mode": ({"modes.on": {}}, ["modes has on alone; a recipe with one mode says it in task and reward"]),
    "alike": ({"modes.on": {}, "modes.off": {}}, ["modes.on and modes.off put a question alike"]),
    "no prompt": ({**MODES, "modes.off.prompt": "nope"}, ["modes.off.prompt: prompt 'nope' is no YAML file"]),
    "no weight": ({**MODES, "modes.off.weight": 0}, ["modes.off.weight=0: input should be greater than 0"]),
    "NaN": ({**MODES, "modes.off.weight": float("nan")}, ["modes.off.weight=nan: input should be a finite number"]),
    "unknown key": ({**MODES, "modes.off.wieght": 1}, ["modes.off.wieght: there is no such key; did you mean weight?"]),
    "a name": ({**MODES, "modes.a/b": {}}, ["modes.a/b", "string should match pattern"]),
    "longer": (
        {**MODES, "modes.off.max_tokens": 161},
        ["modes.off.max_tokens=161 is above sampling.max_tokens=160, the longest of all; lower the first"],
    ),
    "trl": ({**MODES, "trainer": "trl"}, ["trainer=trl has one task in one mode; leave modes out"]),
    "thinking": ({**MODES, "task.thinking": True}, ["task.thinking=on and modes: each mode says its own"]),
    "best": (
        {**MODES, "checkpoint.best": "eval/validation-of/pass@1"},
        ["validation-of is not measured; take one of eval/validation/, eval/validation-on/, eval/validation-off/"],
    ),
    "twice": ({"mix.countdown": CHAIN}, ["mix.countdown: the recipe's own task, or a mode, is called countdown too"]),
    "suite": (
        {**MODES, "eval.suites": ["off.yaml"]},
        ["eval.suites=off.yaml: a strand of the recipe is measured as off"],
    ),
    "no task": ({"mix.sums": {"reward": CHAIN["reward"]}}, ["mix.sums.task: this key is required and absent"]),
    "no reward": ({"mix.sums": {"task": CHAIN["task"]}}, ["mix.sums.reward: this key is required and absent"]),
    "of a task": (
        {"mix.sums": {**CHAIN, "task": {"name": "chain_sam"}}},
        ["task.name=chain_sam is no task; did you mean chain_sum?"],
    ),
}


@pytest.mark.parametrize(("settings", "said"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_go_together_is_a_line(settings, said):
    with pytest.raises(ConfigError) as caught:
        load_recipe("countdown", deepcopy(settings))
    (line,) = str(caught.value).splitlines()
    assert [words for words in said if words not in line] == []


def test_imitation_has_no_modes():
    with pytest.raises(ConfigError, match=r"^modes is of kind=rl, and kind=sft; leave one of the two out$"):
        load_recipe("countdown-sft", deepcopy(MODES))


def test_names_that_yaml_11_reads_as_truth_stay_names(tmp_path):
    file = tmp_path / "mine.yaml"
    text = "description: x\nsteps: 1\nmodel: bundled:countdown\ntask: {name: countdown}\n"
    text += "reward: {components: {countdown: 1}}\n"
    file.write_text(text + "modes:\n  on: {}\n  off: {prompt: '{question} ->'}\nsampling: {max_tokens: 99}\n")
    assert list(load_recipe(str(file)).modes) == ["on", "off"]
    assert list(load_recipe(str(file), ["modes.off.max_tokens=7"]).modes) == ["on", "off"]
