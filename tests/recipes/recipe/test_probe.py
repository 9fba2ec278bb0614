"""What the preflight warns of, with what to do."""

from types import SimpleNamespace

from doubleback.recipes.recipe.loading import load_recipe
from doubleback.recipes.recipe.probe import warnings

FINE = {"num_problems": 2, "group_size": 4, "pass_rate": 0.5, "no_signal": 0.5, "format_rate": 0.5, "truncated": 0.1}


def probed(**found):
    return SimpleNamespace(**{**FINE, **found}, base=SimpleNamespace(experts_differ=0.0))


def test_nothing_is_said_of_a_base_that_can_learn():
    assert warnings(probed(), load_recipe("countdown")) == []


def test_nothing_right_and_no_signal_are_told():
    first, second = warnings(probed(pass_rate=0.0, no_signal=0.9), load_recipe("countdown"))
    assert first == "none of 8 completions is correct: there is nothing to reinforce; take easier problems"
    assert second == "90% of groups carry no signal; raise sampling.group_size or change problems"


def test_the_stop_strings_of_a_prompt_are_asked_of_the_recipe():
    few_shot = ["task.prompt=gsm8k_hash_4shot"]
    (line,) = warnings(probed(), load_recipe("gsm8k", few_shot))
    assert line.startswith("task.prompt=gsm8k_hash_4shot ends a completion at [")
    stop = 'sampling.stop=["\\n\\nQuestion:", "\\nQuestion:"]'
    assert warnings(probed(), load_recipe("gsm8k", [*few_shot, stop])) == []
