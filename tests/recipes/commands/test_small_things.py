"""What a user meets first: the version, completion, a path that is not there, a prompt on the command line."""

from importlib import metadata

import pytest
from support.commands import errors

from doubleback.eval.show.pictures import pass_at_k_curves
from doubleback.recipes.recipe.loading import load_recipe


def test_the_version_is_shown(run):
    code, text, _ = run("--version")
    assert (code, text.strip()) == (0, f"doubleback {metadata.version('doubleback')}")


def test_a_shell_can_complete(run):
    code, text, _ = run("--help")
    assert code == 0
    assert "--install-completion" in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["train", "countdown", "--resume", "--out", "nowhere"], "--resume --out nowhere: there is no such folder"),
        (
            ["train", "countdown", "model.path=./nowhere", "--out", "run"],
            "model.path=./nowhere: there is no such folder",
        ),
        (["train", "countdown", "model.path=a/b/c", "--out", "run"], "model.path=a/b/c: there is no such folder"),
        (["train", ".", "--out", "run"], "recipe . is a folder; give a YAML file"),
        (["score", "runs/nowhere"], "runs/nowhere is no file or folder here"),
        (["compare", "nowhere", "."], "nowhere: there is no such folder"),
        (
            ["merge", "bundled:countdown", "--adapter", "nowhere", "--out", "merged"],
            "--adapter nowhere: there is no such",
        ),
    ],
)
def test_what_is_missing_is_called_what_it_is(run, tmp_path, monkeypatch, arguments, line):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(*arguments)
    assert (code, len(errors(err))) == (2, 1)
    assert errors(err)[0].startswith(f"error: {line}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("prompt", ["{question}", "{question} and why: [", "Question: {question}", "yes {question}"])
def test_a_prompt_on_the_command_line_is_text(prompt):
    assert load_recipe("countdown", [f"task.prompt={prompt}"]).task.prompt == prompt


def test_a_prompt_with_another_hole_is_explained(run, tmp_path):
    code, _, err = run("check", "countdown", "task.prompt=Solve {}.")
    said = "task.prompt: prompt 'Solve {}.' has no {question}: write it where the question goes ({} is left as it is)"
    assert (code, errors(err)) == (2, [f"error: {said}"])
    mine = tmp_path / "mine.yaml"
    mine.write_text("kind: completion\ntext: 'Solve {problem}'\ndescription: d\nstyle: boxed\n")
    code, _, err = run("check", "countdown", f"task.prompt={mine}")
    assert code == 2
    assert "text holds {question} 0 times; write it once, where the question goes ({problem} is left as it is)" in err


def test_one_k_is_a_number_and_no_curve(tmp_path):
    estimate = {"value": 0.5, "low": 0.4, "high": 0.6}
    one = {"num_problems": 3, "n": 1, "pass_at_k": {"1": estimate}}
    assert not pass_at_k_curves([("a", one)], tmp_path / "one.png")
    assert not (tmp_path / "one.png").exists()
    two = {"num_problems": 3, "n": 2, "pass_at_k": {"1": estimate, "2": estimate}}
    assert pass_at_k_curves([("a", two)], tmp_path / "two.png")
    assert (tmp_path / "two.png").stat().st_size > 5000
