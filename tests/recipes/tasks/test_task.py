"""A task is found by name, path, file or entry point, reads its own section, and says what it cannot."""

from importlib.metadata import EntryPoint

import pytest

from doubleback.eval.prompts.prompt import fill, load_prompt, read_prompt
from doubleback.eval.prompts.rendering import prompted
from doubleback.eval.suites.suite import Item
from doubleback.recipes.models.tokenizers import shipped_tokenizers, train_tokenizer
from doubleback.recipes.recipe.problems import asked, in_template, scorable
from doubleback.recipes.recipe.schema import Recipe
from doubleback.recipes.tasks import task as tasks
from doubleback.recipes.tasks.countdown.task import Countdown
from doubleback.recipes.tasks.task import Splits, Task, find_task, shipped_tasks
from doubleback.rewards.compose.config import RewardConfig
from doubleback.rewards.compose.reward import load_reward
from doubleback.rewards.settings import validated
from doubleback.rewards.types import ConfigError, Problem

GIVEN = {"description": "d", "steps": 1, "model": {"path": "p"}, "reward": {"components": {"math": 1.0}}}
MODULE = "doubleback.recipes.tasks.countdown.task:Countdown"


def findings(task):
    with pytest.raises(ConfigError) as caught:
        validated(Recipe, {**GIVEN, "task": task})
    return str(caught.value).splitlines()


class Doubles(Task):
    """Twice a number; of every second one nobody knows the gold."""

    def splits(self):
        problems = [Problem(str(n), f"twice {n}?", {"question": f"twice {n}?", "answer": 2 * n}) for n in range(6)]
        return Splits(problems[:4], problems[4:5], problems[5:])

    def gold(self, problem):
        number = int(problem.id)
        wrong = 1 if number == 2 else 0
        return f"\\boxed{{{2 * number + wrong}}}" if number % 2 == 0 else None


def test_shipped_tasks_are_folders_and_documented():
    assert shipped_tasks() == ["chain_sum", "countdown", "knights", "math", "reasoning_gym", "word_problems"]
    assert all(find_task(name).__doc__ for name in shipped_tasks())


def test_found_by_name_path_file_and_entry_point(monkeypatch, tmp_path):
    imported = f"from {MODULE.replace(':', ' import ')}\n"
    (tmp_path / "mine.py").write_text(f"{imported}class Mine(Countdown): ...\n", encoding="utf-8")
    monkeypatch.setattr(tasks, "offered", lambda group: {"theirs": EntryPoint("theirs", MODULE, group)})
    monkeypatch.setattr("doubleback.rewards.contract.lookup.offered", tasks.offered)
    assert {find_task(name) for name in ("countdown", MODULE, "theirs")} == {Countdown}
    assert find_task(f"{tmp_path}/mine.py:Mine").__bases__ == (Countdown,)


def test_the_section_is_that_of_the_task_and_comes_back_from_the_resolved_recipe():
    recipe = validated(Recipe, {**GIVEN, "task": {"name": MODULE, "num_numbers": 4}})
    assert recipe.task == Countdown(name=MODULE, num_numbers=4)
    assert validated(Recipe, recipe.model_dump(mode="json")) == recipe


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"name": "countdwn"}, "task.name=countdwn is no task; did you mean countdown? One of your own is package."),
        ({"name": "countdown", "num_numbrs": 3}, "task.num_numbrs: there is no such key; did you mean num_numbers?"),
        (
            {"name": "countdown", "train": "x"},
            "task.train: there is no such key; known: convention, drop_unscorable, name, num_",
        ),
        ({"name": "countdown", "num_numbers": 5}, "task.num_numbers=5: input should be less than or equal to 4"),
        ({"name": "nowhere.py:Task"}, "task.name: there is no file nowhere.py; write path.py:attr"),
        (
            {"name": "json:loads"},
            "task.name: json:loads is of Python's standard library; name a module of yours, or a file",
        ),
        (
            {"name": "doubleback.recipes.tasks.task:find_task"},
            "task.name=doubleback.recipes.tasks.task:find_task is no task, but function; see docs/tasks.md",
        ),
        ({"name": 3}, "task.name=3: input should be a valid string"),
        ({}, "task.name: this key is required and absent"),
        (None, "task=None: input should be a valid dictionary or instance of Task"),
    ],
)
def test_mistakes_are_one_line(task, message):
    (line,) = findings(task)
    assert line.startswith(message)


def test_the_question_is_put_as_the_prompt_says():
    assert asked(Doubles(name="d")).train[3].prompt == "twice 3?"
    assert asked(Doubles(name="d", prompt="Q: {question} {x}\nA:")).validation[0].prompt == "Q: twice 4? {x}\nA:"
    assert asked(Doubles(name="d", prompt="r1_zero")).test[0].prompt.endswith("User: twice 5? Assistant:")


def chat_tokenizer(stand_in="chatml"):
    return train_tokenizer(["twice 4?"], 512, shipped_tokenizers()[stand_in], 300)


def test_a_prompt_for_chat_models_goes_through_the_template_and_one_for_base_models_does_not():
    chat, base = Doubles(name="d", prompt="r1"), Doubles(name="d", prompt="r1_zero")
    (problem,) = in_template(asked(chat), chat, chat_tokenizer()).validation
    user = fill(load_prompt("r1"), "twice 4?")
    assert problem.prompt.endswith(f"<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n")
    assert f"system\n{load_prompt('r1').system}<|im_end|>" in problem.prompt
    assert (problem.id, problem.columns["answer"]) == ("4", 8)
    assert in_template(asked(base), base, chat_tokenizer()) == asked(base)
    with pytest.raises(
        ConfigError, match=r"task\.prompt=r1 is for chat models, and the tokenizer of model\.path has no"
    ):
        in_template(asked(chat), chat, train_tokenizer(["twice 4?"], 512))


def test_the_mode_and_the_convention_of_thinking_reach_prompt_and_rewards():
    task = validated(Doubles, {"name": "d", "prompt": "boxed", "thinking": True, "convention": "<cot>...</cot>"})
    (problem,) = in_template(asked(task), task, chat_tokenizer()).validation
    assert "between <cot> and </cot>" in problem.prompt
    assert problem.columns | {"thinking": True, "thinking_convention": "<cot>...</cot>"} == problem.columns
    base = Doubles(name="d", convention="reasoning")
    assert asked(base).train[0].columns["thinking_convention"] == "reasoning"
    with pytest.raises(
        ConfigError, match=r"^task: thinking on: the model has no switch for it, and the prompt no words"
    ):
        asked(Doubles(name="d", thinking=True))
    with pytest.raises(ConfigError, match=r"task\.convention='cot' is no convention of thinking; known: think"):
        validated(Doubles, {"name": "d", "convention": "cot"})


def test_a_recipe_and_an_evaluation_put_a_question_alike(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "description: d\nkind: completion\nstyle: boxed\ntext: '{question} in \\boxed{}:'\n"
    )
    test = Doubles(name="d").splits().test
    items = [Item(problem.id, problem.prompt, problem.columns) for problem in test]
    for prompt in ("r1_zero", "gsm8k_cot_8shot", "Q: {question} {x}\nA:", str(tmp_path / "mine.yaml")):
        evaluated = prompted(items, read_prompt(prompt), tokenizer=None, thinking=None).problems
        assert [problem.prompt for problem in asked(Doubles(name="d", prompt=prompt)).test] == [
            problem.prompt for problem in evaluated
        ]
    assert evaluated[0].prompt == "twice 5? in \\boxed{}:"


def test_golds_are_graded_where_there_are_any():
    with load_reward(RewardConfig(components={"math": {"weight": 1.0}}), max_tokens=64) as reward:
        task = Doubles(name="d", drop_unscorable=True)
        kept, dropped = scorable(asked(task), task, reward)
        assert [problem.id for problem in kept.everything] == ["0", "1", "3", "4", "5"]
        assert [item.problem.id for item in dropped] == ["2"]
        with pytest.raises(ConfigError, match=r"problem 2: .*leave them out with task.drop_unscorable=true"):
            scorable(asked(task), Doubles(name="d"), reward)
