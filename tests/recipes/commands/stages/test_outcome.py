"""The pair of samples that a training ends with: which question it is of can be read."""

import pytest

from doubleback.eval.show.console import Console
from doubleback.recipes.commands.stages.outcome import sample_pair


@pytest.fixture
def shown(capsys):
    def call(prompt):
        line = {"problem": "p:1", "prompt": prompt, "verdict": "wrong", "completion": "7"}
        Console().print(sample_pair([line], [line]))
        return capsys.readouterr().out

    return call


def test_a_short_prompt_is_the_title(shown):
    assert "problem 3 5 7 -> 22" in shown("3 5 7 -> 22").splitlines()[0]


def test_of_a_prompt_with_a_template_the_question_at_its_end_is_shown(shown):
    template = "A conversation between User and Assistant. " * 20
    first, *rest = shown(f"{template}User: how many legs have eight cats? Assistant:").splitlines()
    assert "problem p:1" in first
    text = " ".join(line.strip("│ ") for line in rest)
    assert text.startswith("... ")
    assert "how many legs have eight cats? Assistant:" in text
    assert len(text) < 400
    lines = shown("one\ntwo").splitlines()
    assert [line.strip("│ ") for line in lines[1:3]] == ["one", "two"]
