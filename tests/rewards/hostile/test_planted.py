"""A reward that runs the text of a model is found out before it trains anything; one that reads it is not."""

import pytest

from doubleback.rewards import load_reward
from doubleback.rewards.checks.dry_run import config_for, dry_run, run_planted
from doubleback.rewards.hostile.planted import planted

BODIES = {
    "eval": "eval(text)",
    "exec": "exec(text)",
    "sympify": "sympy.sympify(text)",
    "yaml": "yaml.load(text, yaml.Loader)",
    "jinja2": "jinja2.Template(text).render()",
    "shell": "subprocess.run('echo ' + text, shell=True, capture_output=True)",
}
READER = """
import subprocess
import jinja2, sympy, yaml
from doubleback.rewards import extract

def run(completions, **columns):
    values = []
    for completion in completions:
        text = extract(completion).answer or completion
        try:
            values.append(float(bool({body})))
        except (Exception, SyntaxError):
            values.append(0.0)
    return values
"""


def check_of(function):
    with load_reward(config_for(function, {})) as reward:
        return run_planted(reward, {"answer": "72"})


@pytest.mark.parametrize("function", ["math", "format"])
def test_the_rewards_that_come_with_doubleback_run_nothing(function):
    check = check_of(function)
    assert check.is_ok
    assert check.figures == "0 of 72 planted commands were run"


@pytest.mark.slow
def test_the_dry_run_has_the_check():
    assert "text is not run" in [each.name for each in dry_run(config_for("format", {}), is_about_form=True)]


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_a_reward_that_runs_text_is_named(tmp_path, body):
    (tmp_path / "mine.py").write_text(READER.format(body=body))
    check = check_of(f"{tmp_path}/mine.py:run")
    assert check.is_ok is False
    assert check.examples


def test_every_command_has_a_file_of_its_own(tmp_path):
    names = {each.name.rpartition(",")[0] for each in planted(tmp_path)}
    assert len(names) == 12
    assert len({each.marker for each in planted(tmp_path)}) == 12 * 6
