"""Who did what when, and who waited for whom, from the times in metrics.jsonl: by hand."""

import pytest

from doubleback.eval.show.timeline import ENGINE, LEARNER, NUM_STEPS, bars, timeline, waited


def line(number, began, sampled, **seconds):
    taken = {"rollout": 4.0, "reward": 0.0, "queue": 0.0, "update": 2.0, "wait": 0.0, "sync": 1.0, "receipt": 1.0}
    taken |= {"step": 8.0, **seconds, "began_at": began, "sampled_at": sampled}
    return {"step": number, **{f"seconds/{name}": value for name, value in taken.items()}}


def of(found, row):
    return [(bar.what, bar.step, bar.start, bar.seconds) for bar in found if bar.row == row]


def test_in_turns_each_waits_for_the_other():
    """4 s of sampling, 2 of the update, 1 of the push and 1 of the receipt; then 2 s of an evaluation."""
    found = bars([{"step": 0}, line(1, 0.0, 0.0), line(2, 10.0, 10.0)])
    first = [("waiting", 1, 0, 4), ("update", 1, 4, 2), ("push", 1, 6, 1), ("receipt", 1, 7, 1)]
    assert of(found, LEARNER)[:5] == [*first, ("evaluation, checkpoint", 1, 8, 2)]
    assert ("waiting", 1, 4, 2) in of(found, ENGINE)
    assert waited(found) == {ENGINE: pytest.approx(4 / 18), LEARNER: pytest.approx(8 / 18)}


def test_ahead_the_engine_samples_beside_the_update():
    """Step 2 was sampled from second 4 on, beside the update of step 1, which waited 2 s for it; step 3 came late."""
    found = bars(
        [
            line(1, 0.0, 0.0, wait=2.0, step=10.0),
            line(2, 10.0, 4.0, sync=0.0, receipt=0.0, step=2.0),
            line(3, 12.0, 10.0, queue=2.0, step=6.0),
        ]
    )
    assert of(found, ENGINE) == [
        *[("sampling", 1, 0, 4), ("push", 1, 8, 1), ("receipt", 1, 9, 1), ("sampling", 2, 4, 4)],
        *[("sampling", 3, 10, 4), ("push", 3, 16, 1), ("receipt", 3, 17, 1), ("waiting", 3, 14, 2)],
    ]
    assert [bar for bar in of(found, LEARNER) if bar[0] == "waiting"] == [
        *[("waiting", 1, 0, 4), ("waiting", 1, 6, 2), ("waiting", 3, 12, 2)],
    ]


def test_only_the_newest_steps_of_the_newest_process_are_drawn(tmp_path):
    before = [line(step, 10.0 * step, 10.0 * step) for step in range(1, 40)]
    assert {bar.step for bar in bars(before)} == set(range(40 - NUM_STEPS, 40))
    resumed = [*before, line(30, 0.0, 0.0), line(31, 10.0, 10.0)]
    assert {bar.step for bar in bars(resumed)} == {30, 31}
    assert timeline(resumed, tmp_path / "timeline.png")
    assert (tmp_path / "timeline.png").stat().st_size > 5_000


def test_a_run_without_times_has_no_timeline(tmp_path):
    assert timeline([{"step": 0}, {"step": 1, "seconds/rollout": 1.0}], tmp_path / "timeline.png") == []
    assert not (tmp_path / "timeline.png").exists()
    assert waited([]) == {}
