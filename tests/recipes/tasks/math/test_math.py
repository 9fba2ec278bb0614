"""Questions with answers from a file: golds are graded before anything is trained on them."""

import json

import pytest
import yaml
from support.commands import errors
from support.paths import NASTY

NUMBERS = [(3, 5, 8), (4, 6, 10), (7, 2, 9), (1, 2, 3), (9, 9, 18), (5, 6, 11)]
SMALL = [
    "engine.name=transformers",
    "steps=1",
    "rollout.prompts_per_step=2",
    "sampling.group_size=2",
    "sampling.max_tokens=24",
    "eval.n=2",
    "eval.k=[1]",
    "eval.validation_n=1",
    "sync.num_canaries=1",
]


def row(left, right, total, **extra):
    # The bundled tokenizer knows countdown's words alone.
    return {"question": f"{left} {right} -> {total}", "answer": f"so\n#### {total}", **extra}


@pytest.fixture
def recipe(tmp_path):
    """A recipe on two small files, in which every key can be changed."""

    def write(lines=None, **task):
        rows = [row(*numbers) for numbers in NUMBERS] if lines is None else lines
        (tmp_path / "train.jsonl").write_text("".join(json.dumps(item) + "\n" for item in rows))
        (tmp_path / "test.jsonl").write_text(json.dumps(row(2, 2, 4)) + "\n")
        files = {"train": str(tmp_path / "train.jsonl"), "test": str(tmp_path / "test.jsonl")}
        settings = {"name": "math", "validation_problems": 2, "prompt": "{question}", **files, **task}
        content = {
            "description": "sums",
            "steps": 1,
            "model": {"path": "bundled:countdown"},
            "task": settings,
            "reward": {"components": {"math": 1.0, "format": 0.1}},
        }
        path = tmp_path / "sums.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    return write


def test_check_grades_the_golds(run, recipe):
    code, text, _ = run("check", recipe(), *SMALL)
    assert code == 0
    assert "4 train, 2 validation, 1 test" in text
    assert "7 of 7 graded correct" in text
    assert "0 can be matched as text only" in text


@pytest.mark.slow
def test_a_recipe_without_a_format_component_ends_with_table_and_picture(run, recipe, tmp_path):
    code, text, err = run(
        "train", recipe(), *SMALL, "reward.components={math: 1.0, boxed_format: 0.1}", "--out", tmp_path / "run"
    )
    assert code == 0, err
    assert "learning curve" in text
    assert (tmp_path / "run" / "learning_curve.png").exists()


@pytest.mark.slow
def test_training_runs_end_to_end(run, recipe, tmp_path):
    code, _, err = run("train", recipe(), *SMALL, "--out", tmp_path / "run")
    assert code == 0, err
    line = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert {"reward/part/math", "reward/weighted/math", "reward/length_correlation/format"} <= set(line)
    assert "eval/test/verified_backtrack" not in line


UNREADABLE = {"question": "1 1 -> 2", "answer": "a" * 600}
"""Longer than any answer that is read."""


def test_a_gold_that_cannot_be_scored_stops_before_training(run, recipe, tmp_path):
    rows = [*(row(*numbers) for numbers in NUMBERS), UNREADABLE]
    for command in (["check"], ["train", "--out", tmp_path / "run"]):
        code, _, err = run(command[0], recipe(rows), *command[1:])
        assert code == 2
        (line,) = errors(err)
        assert "its own gold is graded bad_format (extraction: an answer of 600 characters, more than 512)" in line
        assert line.endswith("or leave them out with task.drop_unscorable=true")
    assert not (tmp_path / "run").exists()


def test_a_reward_that_accepts_no_gold_is_not_trained_on(run, recipe):
    code, _, err = run("check", recipe(drop_unscorable=True), "reward.judge=format")
    assert code == 2
    assert errors(err)[-1].endswith("task.drop_unscorable=true leaves no problem for train and validation and test")


@pytest.mark.slow
def test_it_is_dropped_if_the_recipe_says_so_and_listed(run, recipe, tmp_path):
    path = recipe([*(row(*numbers) for numbers in NUMBERS), UNREADABLE], drop_unscorable=True)
    code, text, _ = run("check", path, *SMALL)
    assert code == 0
    assert "7 of 8 graded correct" in text
    assert "its own gold is graded bad_format" in " ".join(text.split())
    code, text, _ = run("train", path, *SMALL, "--out", tmp_path / "run")
    assert code == 0
    assert "left out: problem" in text


@pytest.mark.parametrize(
    ("lines", "task", "message"),
    [
        ([row(1, 1, 2), {"question": "1 2 -> 3"}], {}, "train.jsonl:2: no 'answer'; the row has question"),
        ([row(1, 1, 2), row(1, 1, 2)], {}, "train.jsonl:2: the same question as problem"),
        ([row(2, 2, 4), row(1, 1, 2), row(1, 2, 3)], {}, "task.train="),
        ([row(1, 1, 2)], {}, "task.validation_problems=2 leaves none of the 1 problems"),
        (None, {"answer": "solution"}, "train.jsonl:1: no 'solution'"),
        (
            None,
            {"prompt": "{qestion}"},
            "task.prompt: prompt '{qestion}' has no {question}: write it where the question goes",
        ),
        (
            None,
            {"prompt": "r1zero"},
            "task.prompt: prompt 'r1zero' is no YAML file and not shipped; did you mean r1_zero?",
        ),
        (None, {"prompt": "my_prompt.yaml"}, "task.prompt: prompt my_prompt.yaml: there is no such file"),
        (
            None,
            {"prompt": "{question} {question}"},
            "task.prompt: prompt '{question} {question}': text holds {question} 2",
        ),
        (None, {"prompt": "{question} {{}}"}, "task.prompt: prompt '{question} {{}}': braces stand as they are, write"),
        (
            None,
            {"test": None},
            "task.test=None: input should be a valid number or input should be a valid string or",
        ),
        (None, {"train": "nowhere.jsonl"}, "nowhere.jsonl: there is no such file or folder"),
    ],
)
def test_bad_data_is_named(run, recipe, tmp_path, lines, task, message):
    code, _, err = run("check", recipe(lines, **task))
    assert code == 2
    assert errors(err)[0].replace(f"{tmp_path}/", "").startswith(f"error: {message}")


def test_a_missing_column_of_a_reward_is_named_at_load(run, recipe):
    code, _, err = run("check", recipe(), "reward.components.countdown=1.0", "reward.judge=math")
    assert code == 2
    assert errors(err)[0].startswith("error: reward.components.countdown needs a column 'numbers' in every row; known:")


@pytest.mark.slow
def test_rewards_in_workers_serve_a_run_with_vllm_in_its_process(run, recipe, tmp_path):
    mine = f"reward.components.mine={{function: {NASTY}:waits, weight: 0.5}}"
    gate = "only_if: {component: mine, at_least: 0.5}"
    best = f"reward.components.best={{function: {NASTY}:shortest, weight: 0.1, {gate}}}"
    small = [item for item in SMALL if not item.startswith("engine")]
    code, _, err = run("train", recipe(), *small, mine, best, "--out", tmp_path / "run")
    assert code == 0, err
    line = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert line["reward/weighted/mine"] == 0.25
    assert line["reward/weighted/best"] == pytest.approx(0.1 * line["reward/part/best"], abs=1e-12)
    assert line["rollout/unusable"] == 0


@pytest.mark.slow
def test_a_reward_that_fails_too_often_stops_the_run(run, recipe, tmp_path):
    """The golds are fine; what the policy writes is not."""
    (tmp_path / "moody.py").write_text(
        "def moody(completions, **columns):\n"
        "    return [1.0 if 'boxed' in text else float('nan') for text in completions]\n"
    )
    mine = f"reward.components.mine={{function: {tmp_path}/moody.py:moody, weight: 0.5}}"
    code, _, err = run("train", recipe(), *SMALL, mine, "--out", tmp_path / "run")
    assert code == 1
    (line,) = [line for line in err.splitlines() if line.startswith("stopped:")]
    assert "completions of a step could not be judged" in line
    assert "more than reward.max_faults=0.05 allows" in line
    assert "grader_error, mine: returned nan" in err
