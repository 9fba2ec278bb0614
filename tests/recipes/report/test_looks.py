"""What is said to deserve a look: each threshold from both sides."""

import json
import shutil

import pytest
from support.folders.written import write_run

from doubleback.recipes.report.content import read_runs
from doubleback.recipes.report.sections.looks import looks
from doubleback.recipes.report.sections.receipts import receipts
from doubleback.rl.run.owner import LOCK, owned


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("looked-at") / "run", steps=4)


def found(folder, change=None, environment=None):
    """(level, title) of the findings, with the metrics of each step changed and the environment's keys put in."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    kept = (folder / "metrics.jsonl").read_bytes(), (folder / "environment.json").read_bytes()
    for line in lines:
        if line["step"] > 0:
            line.update({} if change is None else change(line["step"]))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    known = json.loads(kept[1]) | (environment or {})
    (folder / "environment.json").write_text(json.dumps(known), encoding="utf-8")
    try:
        section = looks(read_runs([folder]))
    finally:
        (folder / "metrics.jsonl").write_bytes(kept[0])
        (folder / "environment.json").write_bytes(kept[1])
    return {(item.level, item.title): item.text for item in section.blocks[0].findings}


@pytest.mark.parametrize(
    ("kind", "is_flat", "is_apart"), [("rl", True, True), ("distil", False, True), ("sft", False, False)]
)
def test_what_is_so_by_the_kind_of_a_run_does_not_stand_out(folder, kind, is_flat, is_apart):
    """What is given has no engine to be apart from; a demonstration and a teacher teach without any spread."""
    recipe = (folder / "recipe.yaml").read_text(encoding="utf-8")
    (folder / "recipe.yaml").write_text(recipe.replace("kind: rl", f"kind: {kind}"), encoding="utf-8")
    try:
        titles = {
            title for _, title in found(folder, lambda step: {"rollout/zero_variance": 1.0, "gap/mean_abs": None})
        }
    finally:
        (folder / "recipe.yaml").write_text(recipe, encoding="utf-8")
    assert ("Most groups are flat" in titles, "gap/mean_abs is undefined" in titles) == (is_flat, is_apart)


def test_nothing_stands_out_in_a_healthy_run(folder):
    assert list(found(folder)) == [("fine", "Nothing stood out")]


CASES = [
    ("verdict/timeout", 0.0, 0.25, ("wrong", "16 completions timed out")),
    ("verdict/grader_error", 0.0, 0.0625, ("wrong", "4 completions made their grader fail")),
    ("rollout/cut_off", 0.049, 0.05, ("look", "Completions are cut off")),
    ("rollout/cut_off", 0.049, 0.25, ("wrong", "Completions are cut off")),
    ("rollout/zero_variance", 0.49, 0.5, ("look", "Most groups are flat")),
    ("gap/k3", 1e-3, 1.1e-3, ("look", "Engine and trainer compute different policies")),
    ("gap/experts_differ", 0.01, 0.02, ("look", "Experts differ between engine and trainer")),
    ("sync/max_abs", 1e-5, 1.1e-5, ("look", "Single canary tokens were beyond the bound")),
    ("experts/largest_share", 0.75, 0.76, ("look", "One expert takes most tokens")),
    ("experts/largest_share", 0.75, None, ("look", "One expert takes most tokens")),
    ("experts/unused", 0.0, 0.1, ("look", "Some experts are never used")),
    ("learner/importance_capped", 0.05, 0.06, ("look", "Many importance ratios are capped")),
    ("reward/length_correlation/countdown", 0.49, 0.5, ("look", "A part of the reward pays for length")),
    ("learner/loss", 0.0, None, ("wrong", "learner/loss is undefined")),
    ("gap/mean_abs", 0.0, None, ("wrong", "gap/mean_abs is undefined")),
]


@pytest.mark.parametrize(("metric", "healthy", "bad", "finding"), CASES, ids=[f"{case[0]}={case[2]}" for case in CASES])
def test_a_threshold_from_both_sides(folder, metric, healthy, bad, finding):
    assert list(found(folder, lambda step: {metric: healthy})) == [("fine", "Nothing stood out")]
    assert finding in found(folder, lambda step: {metric: bad})


def test_what_drifts_is_measured_against_the_first_steps(folder):
    def change(first, last, metric):
        return found(folder, lambda step: {metric: first if step == 1 else last})

    # Of four steps the first and the newest ten are the same; a longer run has both ends.
    assert ("fine", "Nothing stood out") in change(1.0, 1.2, "experts/max_violation")


def test_both_ends_of_a_long_run(tmp_path):
    folder = write_run(tmp_path / "long", steps=24)
    drifted = found(folder, lambda step: {"experts/max_violation": 0.5 if step <= 12 else 0.76})
    assert "went from 0.50 in the first steps to 0.76" in drifted["look", "The load of the experts drifts apart"]
    assert list(found(folder, lambda step: {"experts/max_violation": 0.5 if step <= 12 else 0.75})) == [
        ("fine", "Nothing stood out")
    ]
    certain = found(folder, lambda step: {"learner/entropy": 1.0 if step <= 12 else 0.09})
    assert ("look", "The policy has become certain") in certain


def test_how_a_run_ended(tmp_path):
    folder = write_run(tmp_path / "run", steps=4, finished=False)
    assert found(folder)["look", "The run has not ended"] == "It stopped at step 3 of 4; step 2 is saved."
    (folder / LOCK).touch()
    assert found(folder)["wrong", "The run's process was killed"] == "It had written step 3 of 4; step 2 is saved."
    (folder / LOCK).unlink()
    with owned(folder):
        assert list(found(folder)) == [("fine", "Nothing stood out")]
    sittings = [{"began": "2026-11-27 10:00:00", "step": 0}, {"began": "2026-11-27 11:00:00", "step": 2}]
    resumed = found(folder, environment={"sittings": sittings})
    assert resumed["look", "Resumed once"] == "from step 2 on 2026-11-27 11:00:00."


def test_findings_of_several_runs_say_of_which(tmp_path):
    first = write_run(tmp_path / "first", steps=2)
    second = write_run(tmp_path / "second", steps=4, finished=False)
    titles = [item.title for item in looks(read_runs([first, second])).blocks[0].findings]
    assert titles == ["second: The run has not ended", "Nothing else stood out"]


def stayed(step):
    """A step whose adapter stays with the learner, as `rl.sync.Receipt.kept` says."""
    unmeasured = dict.fromkeys(("sync/mean_abs", "sync/max_abs", "sync/moved", "sync/from_base"))
    return {**unmeasured, "seconds/sync": 0.0, "seconds/receipt": 0.0} if step % 2 else {}


def test_an_adapter_that_stayed_with_the_learner_is_no_unproven_push(folder, tmp_path):
    """Of five lines (steps 0 to 4) those of the steps 1 and 3 tell of no push; three are left, and all are proven."""
    assert list(found(folder, stayed)) == [("fine", "Nothing stood out")]
    copy = shutil.copytree(folder, tmp_path / "run")
    lines = [json.loads(line) for line in (copy / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    changed = [line | stayed(line["step"]) for line in lines]
    (copy / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in changed), encoding="utf-8")
    strip = receipts(read_runs([copy])).blocks[0]
    assert strip.says.startswith("3 of 3 pushes are proven")
    assert [cell.text.partition(":")[0] for cell in strip.cells] == ["step 0", "step 2", "step 4"]


def test_a_push_that_took_time_and_has_no_receipt_is_still_named(folder):
    unproven = found(folder, lambda step: stayed(step) | {"seconds/sync": 0.05})
    assert unproven["wrong", "sync/mean_abs is undefined"] == "At steps 1, 3."


def with_receipts(folder, distances):
    """The run with a line for each of these distances, in the place of its own; None: the adapter stayed."""
    lines = [
        {"step": step, "sync/max_abs": distance, "sync/bound": 1e-5, "seconds/sync": 0.0 if distance is None else 0.05}
        for step, distance in enumerate(distances)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return receipts(read_runs([folder]))


def test_the_receipt_that_is_not_fine_has_its_cell_however_many_there_are(folder, tmp_path):
    """Of 1,000 pushes two were beyond the bound on single tokens: 150 cells, and these two among them."""
    copy = shutil.copytree(folder, tmp_path / "run")
    strip = with_receipts(copy, [2e-5 if step in (333, 334) else 1e-6 for step in range(1000)]).blocks[0]
    beyond = [cell.text.partition(":")[0] for cell in strip.cells if cell.level == "look"]
    assert beyond == ["step 333", "step 334"]
    assert len(strip.cells) == 150
    assert "A cell for 150 of them" in strip.says
    many = with_receipts(copy, [2e-5] * 400).blocks[0]
    assert [len(many.cells), {cell.level for cell in many.cells}] == [150, {"look"}]


def test_the_line_of_receipts_goes_from_push_to_push(folder, tmp_path):
    """With an adapter that stays every other step each point stood alone between two gaps, and no line was drawn."""
    copy = shutil.copytree(folder, tmp_path / "run")
    with_receipts(copy, [1e-6 if step % 2 == 0 else None for step in range(8)])
    line = read_runs([copy])[0].line("sync/max_abs", "largest")
    assert (line.at, line.values) == ([0, 2, 4, 6], [1e-6] * 4)
