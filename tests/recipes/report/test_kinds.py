"""Every run has a page: of whatever kind, however little of it is there."""

import json

import pytest
from support.commands import errors
from support.folders.written import write_json, write_run

from doubleback.recipes.report.report import report_of
from doubleback.rl.run.owner import LOCK, owned


def page_of(*folders):
    return report_of(folders).decode()


def without_metrics(folder, *groups):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    kept = [{key: value for key, value in line.items() if not key.startswith(groups)} for line in lines]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
    return folder


def test_a_run_that_has_only_begun(tmp_path):
    folder = write_run(tmp_path / "begun", steps=2)
    for path in [folder / "metrics.jsonl", *(folder / "eval").iterdir(), *(folder / "rollouts").iterdir()]:
        path.unlink()
    page = page_of(folder)
    assert "nothing yet" in page
    for section in ("Receipts", "Curves", "Reward", "Experts", "Time and tokens"):
        assert f"<li>{section}: " in page
        assert f'id="{section.lower()}"' not in page


@pytest.mark.slow
def test_what_was_given_is_not_called_sampled(tmp_path):
    folder = write_run(tmp_path / "run", steps=2)
    words = ("tokens sampled to learn from", "training rollouts", "tokens were sampled to learn from", "sampling")
    page = page_of(folder)
    assert all(word in page.partition('id="settings"')[0] for word in words)
    recipe = (folder / "recipe.yaml").read_text(encoding="utf-8")
    (folder / "recipe.yaml").write_text(recipe.replace("kind: rl", "kind: sft"), encoding="utf-8")
    page = page_of(folder).partition('id="settings"')[0]
    assert [word for word in words[:3] if word in page] == []
    assert "tokens given to learn from" in page
    assert "demonstrations" in page


@pytest.mark.slow
def test_a_live_a_stopped_and_a_killed_run(tmp_path):
    folder = write_run(tmp_path / "run", steps=4, finished=False)
    assert "Stopped at step 3 of 4." in page_of(folder)
    assert "doubleback train run/recipe.yaml --out run --resume" in page_of(folder)
    with owned(folder):
        assert "Live at step 3 of 4." in page_of(folder)
    (folder / LOCK).touch()
    with (folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 4, "rew')
    assert "Killed at step 3 of 4." in page_of(folder)


def test_a_run_of_a_dense_model_without_receipts_or_parts(tmp_path):
    groups = ("experts/", "sync/", "reward/part", "reward/weighted", "reward/length", "gap/", "seconds/", "speed/")
    page = page_of(without_metrics(write_run(tmp_path / "run", steps=2), *groups))
    assert "<li>Receipts: the run has no receipt yet, or its trainer writes none.</li>" in page
    assert "<li>Reward: no completion of a training step has been rewarded.</li>" in page


def test_metrics_with_nothing_but_steps(tmp_path):
    folder = without_metrics(write_run(tmp_path / "run", steps=2), "")
    (folder / "metrics.jsonl").write_text('{"step": 0}\n{"step": 1}\n{"step": 2}\n', encoding="utf-8")
    (folder / "environment.json").unlink()
    (folder / "inputs.json").unlink()
    assert "<li>Environment: the run has not written down its machine.</li>" in page_of(folder)


def test_a_run_that_samples_alone(tmp_path):
    folder = write_run(tmp_path / "sampled", steps=1, finished=False)
    recipe = (folder / "recipe.yaml").read_text(encoding="utf-8").replace("kind: rl", "kind: sample")
    (folder / "recipe.yaml").write_text(recipe, encoding="utf-8")
    (folder / "metrics.jsonl").unlink()
    assert "not all yet" in page_of(folder)
    counted = {"samples": 64, "tokens": 640, "dropped": {"wrong": 40}, "kept": 24, "kept_problems": 7, "problems": 8}
    write_json(folder / "kept.json", counted)
    page = page_of(folder)
    assert "64 samples, 640 tokens" in page
    assert '<th scope="row">of problems</th><td>7 of 8</td>' in page


@pytest.mark.slow
def test_a_run_with_modes_shows_each(tmp_path):
    folder = write_run(tmp_path / "run", steps=2)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    for line in lines[1:]:
        line |= {"strand/on/correct": 0.5, "strand/off/correct": 0.25, "strand/on/mean_tokens": 40.0}
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    page = page_of(folder)
    assert "Modes and tasks: share correct" in page
    assert "off: 0.250 at step 1 to 0.250 at 2; on: 0.500 at step 1 to 0.500 at 2" in page


@pytest.mark.slow
def test_two_seeds_side_by_side(tmp_path):
    folders = [write_run(tmp_path / f"seed{seed}", steps=2, seed=seed) for seed in (0, 1)]
    page = page_of(*folders)
    assert "Against seed0" in page
    assert "seed1: the largest" not in page
    assert '<tr><th scope="row">seed</th><td>0</td><td>1</td></tr>' in page


@pytest.mark.parametrize("name", ["metrics.jsonl", "environment.json", "eval/test-step-00000.json"])
def test_a_damaged_file_is_one_line(run, tmp_path, name):
    folder = write_run(tmp_path / "run", steps=2)
    (folder / name).write_text("{]\n", encoding="utf-8")
    code, _, err = run("report", folder)
    assert (code, len(errors(err))) == (2, 1)
    assert name in err


def test_a_folder_that_cannot_be_written_wants_another_file(run, tmp_path):
    folder = write_run(tmp_path / "run", steps=2)
    code, _, err = run("report", folder, "--out", tmp_path / "nowhere" / "page.html")
    line = f"error: {tmp_path / 'nowhere'} cannot be written; say with --out FILE where the report goes"
    assert (code, errors(err)) == (2, [line])
