"""Where a run's time went, as its report says it."""

from pathlib import Path

from doubleback.recipes.report.content import RunContent
from doubleback.recipes.report.sections.costs import costs


def test_the_report_says_who_waited_for_whom():
    """Two steps of 8 s each: the learner waits 2 s of each for a batch, and 2 s for what is sampled meanwhile."""
    taken = {"rollout": 6.0, "reward": 0.0, "queue": 2.0, "update": 4.0, "wait": 2.0, "sync": 0.0, "receipt": 0.0}
    lines = [
        {"step": step, "rollout/tokens": 10.0, "learner/tokens": 10.0, "speed/rollout_tokens_per_s": 2.0}
        | {f"seconds/{name}": value for name, value in taken.items()}
        | {"seconds/step": 8.0, "seconds/began_at": 8.0 * step, "seconds/sampled_at": 8.0 * step - 6}
        for step in (1, 2)
    ]
    section = costs([RunContent("a run", Path("run"), {"kind": "rl"}, None, lines, [], {}, {})])
    (table,) = [block for block in section.blocks if block.kind == "table"]
    assert ("waiting for a batch", "4 s", "25.0%", "2.00 s") in [tuple(row) for row in table.rows]
    assert (
        "In the newest steps the learner waited for the engine 36 % of the time, the engine for the learner"
        in table.note
    )
