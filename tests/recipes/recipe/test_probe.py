"""What the preflight shows of a base, what it keeps for itself, and what it warns of, with what to do."""

import math
from dataclasses import replace

from rich.table import Table

from doubleback.eval.statistics.intervals import interval
from doubleback.recipes.recipe.loading import load_recipe
from doubleback.recipes.recipe.probe import Probe, add_rows, warnings
from doubleback.rl.learner.learner import Comparison
from doubleback.rl.objective.agreement import gap_between


def probe(experts_differ=0.25, rates=(0.0, 0.0, 0.5, 0.0), format_rate=0.01):
    side = Comparison(gap_between([[0.0]], [[0.1]]), experts_differ)
    return Probe(4, 2, interval(rates, is_single=False), 0.8, format_rate, 0.9, side, side)


def shown(probed):
    table = Table()
    table.add_column()
    table.add_column()
    add_rows(table, probed)
    return dict(zip(*(list(column.cells) for column in table.columns), strict=True))


def test_the_pass_rate_has_an_interval_over_its_few_problems():
    """Means of four draws from 0, 0, 1/2, 0: at most 2.5 % of them lie below 0 or above 3/8."""
    assert shown(probe())["base passes"] == "0.125 [0.000, 0.375] of 4 problems x 2"


def test_what_was_not_measured_is_not_shown():
    assert "other experts for 25.00% of tokens" in shown(probe())["engine = trainer, base"]
    dense = shown(probe(experts_differ=math.nan, format_rate=math.nan))
    assert "experts" not in dense["engine = trainer, base"]
    assert "format kept" not in dense


def estimated(rate):
    return interval([rate] * 2, is_single=False)


def probed(**measured):
    """A base that can learn, but for what is measured otherwise."""
    fine = {"experts_differ": 0.0, "rates": (0.5, 0.5), "format_rate": 0.5}
    return replace(probe(**fine), **{"num_problems": 2, "group_size": 4, "no_signal": 0.5, "truncated": 0.1} | measured)


def test_nothing_is_said_of_a_base_that_can_learn():
    assert warnings(probed(), load_recipe("countdown")) == []


def test_nothing_right_and_no_signal_are_told():
    first, second = warnings(probed(pass_rate=estimated(0.0), no_signal=0.9), load_recipe("countdown"))
    assert first == "none of 8 completions is correct: there is nothing to reinforce; take easier problems"
    assert second == "90% of groups carry no signal; raise sampling.group_size or change problems"


def test_the_stop_strings_of_a_prompt_are_asked_of_the_recipe():
    few_shot = ["task.prompt=gsm8k_hash_4shot"]
    (line,) = warnings(probed(), load_recipe("gsm8k", few_shot))
    assert line.startswith("task.prompt=gsm8k_hash_4shot ends a completion at [")
    stop = 'sampling.stop=["\\n\\nQuestion:", "\\nQuestion:"]'
    assert warnings(probed(), load_recipe("gsm8k", [*few_shot, stop])) == []


def test_a_random_model_is_warned_of_nothing_that_it_does():
    poor = probed(pass_rate=estimated(0.0), no_signal=0.9, format_rate=0.0, truncated=1.0)
    assert len(warnings(poor, load_recipe("countdown"))) == 4
    assert warnings(poor, load_recipe("countdown", {"tiny": True})) == []
