"""When a report is written, what that may cost, and that no fault in it ends what it is of."""

from dataclasses import replace

import pytest
from support.folders.written import write_evaluation, write_run

from doubleback.eval.show.console import Console
from doubleback.recipes.commands.reports import while_training
from doubleback.recipes.commands.reports.while_training import ReportWriter, write_at_the_end
from doubleback.recipes.report.content import read_runs
from doubleback.recipes.report.sections.commands import commands
from doubleback.rewards.records import records


class Clock:
    """A clock of the test's; each look at it while a report is written costs `cost`."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def written(monkeypatch):
    calls = []
    monkeypatch.setattr(while_training, "write", lambda folders, out, most: calls.append(out))
    return calls


def test_it_is_written_at_evaluations_that_leave_it_its_share(tmp_path, written, monkeypatch):
    clock = Clock()

    def write(folders, out, most):
        written.append(clock.now)
        clock.now += 2.0

    monkeypatch.setattr(while_training, "write", write)
    writer = ReportWriter(tmp_path, Console(), clock)
    for now in range(0, 3000, 100):
        clock.now = max(clock.now, float(now))
        writer.observe(now, {"reward/mean": 0.5} if now % 200 else {"eval/validation/pass@1": 0.5})
    # 1 s is guessed at first: due at 200. Then 2 s are spent and 2 more to come: at 800; then 6 at 1200, and so on.
    assert written == [200.0, 800.0, 1200.0, 1600.0, 2000.0, 2400.0, 2800.0]


def test_a_step_without_an_evaluation_writes_nothing(tmp_path, written):
    clock = Clock()
    writer = ReportWriter(tmp_path, Console(), clock)
    clock.now = 1e6
    writer.observe(1, {"reward/mean": 0.5})
    assert written == []
    writer.observe(2, {"eval/validation/pass@1": 0.5})
    assert written == [tmp_path / "report.html"]


@pytest.mark.parametrize(
    "fault", [KeyError("x"), MemoryError(), OSError(28, "No space left on device"), ZeroDivisionError("a\nb")]
)
def test_a_fault_in_it_is_one_line(tmp_path, monkeypatch, capsys, fault):
    def write(folders, out, most):
        raise fault

    monkeypatch.setattr(while_training, "write", write)
    write_at_the_end(tmp_path, Console(width=200))
    out = capsys.readouterr().out
    assert out.startswith(f"report  not written ({type(fault).__name__}: ")
    assert out.count("\n") == 1


def test_a_signal_is_no_fault(tmp_path, monkeypatch):
    from doubleback.rl.stopping import Interrupted

    def write(folders, out, most):
        raise Interrupted

    monkeypatch.setattr(while_training, "write", write)
    with pytest.raises(Interrupted):
        write_at_the_end(tmp_path, Console())


def test_a_run_shows_some_groups_of_each_step_and_an_evaluation_all(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(while_training, "write", lambda folders, out, most: asked.append(most))
    write_at_the_end(write_run(tmp_path / "run"), Console())
    write_at_the_end(write_evaluation(tmp_path / "evaluation", 0.5), Console())
    assert asked == [while_training.MOST_SAMPLES, None]


@pytest.mark.slow
def test_of_many_runs_the_name_fits_into_a_folder(run, tmp_path):
    """The names of all in one were longer than a file's may be, and nothing was written."""
    folders = [write_run(tmp_path / f"countdown-2026{number:04d}-123456-of-a-sweep") for number in range(8)]
    code, _, err = run("report", *folders)
    assert (code, err) == (0, "")
    (made,) = folders[-1].glob("report-with-*.html")
    assert made.name == "report-with-countdown-20260000-123456-of-a-sweep-and-6-more.html"


def test_the_commands_of_a_run_with_code_of_its_own_say_the_word_that_they_need(tmp_path):
    plain, own = (read_runs([write_run(tmp_path / name, finished=False)])[0] for name in ("plain", "own"))
    components = {"mine": {"function": "mine.py:f", "weight": 1.0}}
    recipe = records({**own.recipe, "reward": {**own.recipe["reward"], "components": components}}, "recipe")
    told = [block.text for block in commands([replace(own, recipe=recipe)]).blocks if "train" in block.text]
    assert len(told) == 2
    assert all("recipe.yaml --trust --out" in text for text in told)
    assert not any("--trust" in block.text for block in commands([plain]).blocks)
