"""The loop: what happens in which order, what reaches what, and what is left on disk."""

import pytest
from support.commands import untimed
from support.loop import SAMPLING, Loop

from doubleback.rewards.jsonl import complete_lines
from doubleback.rewards.types import RunError
from doubleback.rl.objective.advantages import centre


@pytest.fixture
def loop(make_policy, tmp_path):
    return lambda name="run", **settings: Loop(make_policy(b_std=0.0), tmp_path / name, **settings)


def test_an_adapter_is_pushed_before_anything_is_sampled_of_it(loop):
    run = loop()
    lines = run.train(range(1, 4))
    steps = [event for step in range(3) for event in (f"sample of {step}", f"push {step + 1}")]
    assert run.engine.events == ["push 0", *steps]
    assert [line["rollout/lag"] for line in lines[1:]] == [0.0, 0.0, 0.0]
    assert run.seen == [line["step"] for line in lines] == [0, 1, 2, 3]


def test_samples_say_how_far_trainer_and_engine_were_apart_and_the_step_says_their_mean(loop):
    """This engine says -1.0 of every token. What taught nothing says nothing."""
    run = loop(last_step=3)
    metrics = run.train(range(1, 4))[1:]
    told = [complete_lines(path) for path in sorted(run.run.path.glob("rollouts/*"))]
    assert len(told) == 3
    for lines, measured in zip(told, metrics, strict=True):
        assert all(("gap" in line) == (line["advantage"] != 0) for line in lines)
        learned = [line for line in lines if "gap" in line]
        assert all(len(line["log_ratios"]) == len(line["token_ids"]) for line in learned)
        ratios = [abs(ratio) for line in learned for ratio in line["log_ratios"]]
        assert sum(ratios) / len(ratios) == pytest.approx(measured["gap/mean_abs"], abs=1e-6)
        assert max(ratios) == pytest.approx(measured["gap/max_abs"], abs=1e-6)
        assert len(ratios) == measured["learner/tokens"]


def test_ahead_lags_by_one_but_behind_a_checkpoint(loop):
    run = loop(rollout={"ahead": True}, checkpoint={"every": 2}, last_step=4)
    lines = run.train(range(1, 5))
    assert [line["rollout/lag"] for line in lines[1:]] == [0.0, 1.0, 0.0, 1.0]
    assert run.engine.events == [
        *("push 0", "sample of 0", "sample of 0", "push 1", "push 2"),  # nothing is sampled ahead of checkpoint 2
        *("sample of 2", "sample of 2", "push 3", "push 4"),
    ]


def test_further_ahead_several_steps_are_sampled_of_one_adapter_and_those_between_stay(loop):
    """max_lag=3: adapters 2, 4 and 6 are of no use to the engine, but that of step 4 is measured."""
    measured = {}
    run = loop(
        rollout={"ahead": True, "max_lag": 3},
        checkpoint={"every": 8},
        last_step=9,
        measured_at=(4,),
        evaluate=lambda step: measured.update({step: run.engine.serves}) or {},
    )
    lines = run.train(range(1, 10))
    assert [line["rollout/lag"] for line in lines[1:]] == [0, 1, 2, 2, 3, 2, 3, 2, 0]
    assert run.engine.events == [
        *("push 0", "sample of 0", "sample of 0", "sample of 0", "push 1", "sample of 1", "sample of 1", "push 3"),
        *("sample of 3", "sample of 3", "push 4", "push 5", "sample of 5", "push 8", "sample of 8", "push 9"),
    ]
    assert (measured[0], measured[4], measured[8], measured[9]) == (0, 4, 8, 9)
    unmeasured = [line["step"] for line in lines if line["sync/mean_abs"] is None]
    assert unmeasured == [2, 6, 7]
    assert [line["seconds/sync"] for line in lines if line["step"] in unmeasured] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("max_lag", [1, 3])
def test_no_adapter_is_pushed_while_the_engine_samples_and_how_long_that_takes_changes_no_bit(loop, max_lag):
    settings = {"rollout": {"ahead": True, "max_lag": max_lag}, "checkpoint": {"every": 5}}
    run = loop(**settings, hold_seconds=0.2)
    lines = run.train(range(1, 4))
    assert "push while sampling" not in run.engine.events
    assert run.engine.events.count("sample of 0") == {1: 2, 3: 3}[max_lag]
    assert list(map(untimed, loop("at once", **settings).train(range(1, 4)))) == list(map(untimed, lines))


def test_more_lag_than_is_allowed_stops_the_run(loop):
    run = loop(rollout={"max_lag": 0})
    run.learner.step = 3  # an engine that serves step 3 to a learner that is told to make step 5
    with pytest.raises(RunError, match=r"step 5: completions of adapter 3 came to a learner at 4; rollout\.max_lag=0"):
        run.train(range(5, 6))


def test_penalties_reach_the_advantages(loop):
    """kl_in=reward, k1: a completion's reward less kl_coef * sum(sampler - reference), then the group's mean off."""
    run = loop(algorithm={"kl_in": "reward", "kl_coef": 0.25, "kl_estimator": "k1"})
    lines = run.train(range(1, 2))
    samples = complete_lines(run.run.path / "rollouts" / "step-00001.jsonl.gz")
    references = run.learner.score([((1, 5, 6), tuple(sample["token_ids"])) for sample in samples], frozenset())
    penalties = [0.25 * sum(-1.0 - value for value in row) for row in references]
    for start in range(0, len(samples), SAMPLING.group_size):
        part = slice(start, start + SAMPLING.group_size)
        rewards = [sample["score"] - penalty for sample, penalty in zip(samples[part], penalties[part], strict=True)]
        assert [sample["advantage"] for sample in samples[part]] == pytest.approx(centre(rewards), abs=1e-4)
    assert lines[1]["reward/kl_penalty"] == pytest.approx(sum(penalties) / len(penalties), abs=1e-4)
    assert abs(lines[1]["reward/kl_penalty"]) > 0.1


def test_the_newest_checkpoints_are_kept_and_the_last_step_is_saved(loop):
    run = loop(checkpoint={"every": 1, "keep": 2}, last_step=5)
    run.train(range(1, 6))
    assert run.run.checkpoint_steps() == [4, 5]
    run = loop("other", checkpoint={"every": 3, "keep": 9}, last_step=5)
    run.train(range(1, 6))
    assert run.run.checkpoint_steps() == [3, 5]


def test_the_rate_follows_its_schedule_over_all_steps(loop):
    """Of 5 steps the first warms up, the second is the peak, and each of the others is a quarter of it less."""
    lines = loop(optim={"lr": 1e-2, "warmup_steps": 1, "schedule": "linear"}, last_step=5).train(range(1, 6))
    assert [line["learner/lr"] for line in lines[1:]] == pytest.approx([0.5e-2, 1e-2, 0.75e-2, 0.5e-2, 0.25e-2])


@pytest.mark.parametrize("rollout", [{}, {"ahead": True}])
@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_a_run_that_goes_on_forgets_what_came_after_its_checkpoint_and_is_the_same_run(loop, rollout, schedule):
    optim = {"schedule": schedule, "warmup_steps": 1}
    settings = {"rollout": rollout, "optim": optim, "checkpoint": {"every": 2, "keep": 9}, "last_step": 6}
    whole = loop("whole", **settings).train(range(1, 7))
    stopped = loop("stopped", **settings)
    stopped.train(range(1, 4))
    assert [line["step"] for line in stopped.run.metrics_lines()] == [0, 1, 2, 3]
    resumed = loop("stopped", **settings)
    assert resumed.run.restore_latest(resumed.learner, resumed.problems) == 2
    assert [line["step"] for line in resumed.run.metrics_lines()] == [0, 1, 2]
    assert sorted(path.name for path in (resumed.run.path / "rollouts").iterdir()) == [
        "step-00001.jsonl.gz",
        "step-00002.jsonl.gz",
    ]
    lines = resumed.train(range(3, 7))
    assert resumed.seen == [3, 4, 5, 6]  # step 0 is not measured again
    assert list(map(untimed, lines)) == list(map(untimed, whole))


def test_a_run_far_ahead_that_is_cut_off_goes_on_as_the_one_that_was_not(loop):
    """Cut off at step 7, with 8 and 9 in the queue; the checkpoint of step 5 knows nothing of 6 and what follows."""
    settings = {"rollout": {"ahead": True, "max_lag": 3}, "checkpoint": {"every": 5}, "last_step": 10}
    whole = loop("whole", **settings).train(range(1, 11))
    assert max(line["rollout/lag"] for line in whole[6:]) == 3
    loop("stopped", **settings).train(range(1, 8))
    resumed = loop("stopped", **settings)
    start = resumed.run.restore_latest(resumed.learner, resumed.problems)
    assert start == 5
    assert list(map(untimed, resumed.train(range(start + 1, 11)))) == list(map(untimed, whole))


@pytest.mark.parametrize("rollout", [{}, {"ahead": True}])
def test_a_problem_that_stands_twice_in_a_step_is_sampled_anew_and_resumes_exactly(loop, rollout):
    settings = {"rollout": rollout, "checkpoint": {"every": 2, "keep": 9}, "last_step": 4, "num_problems": 2}
    whole = loop("whole", **settings)
    lines = whole.train(range(1, 5))
    samples = complete_lines(whole.run.path / "rollouts" / "step-00001.jsonl.gz")
    size = SAMPLING.group_size
    groups = [samples[start : start + size] for start in range(0, len(samples), size)]
    assert len({group[0]["problem"] for group in groups}) == 2
    assert len({tuple(tuple(sample["token_ids"]) for sample in group) for group in groups}) == 3
    loop("stopped", **settings).train(range(1, 4))
    resumed = loop("stopped", **settings)
    assert resumed.run.restore_latest(resumed.learner, resumed.problems) == 2
    assert list(map(untimed, resumed.train(range(3, 5)))) == list(map(untimed, lines))


MOMENTS = {"began_at", "sampled_at"}


def test_what_is_sampled_ahead_is_on_the_clock_of_the_steps(loop):
    lines = loop(rollout={"ahead": True}, checkpoint={"every": 3}).train(range(1, 4))[1:]
    began, sampled = ([line[f"seconds/{name}"] for line in lines] for name in ("began_at", "sampled_at"))
    assert began[0] <= sampled[0] < sampled[1] < began[1] < sampled[2] < began[2]  # each beside the step before


def test_a_step_is_timed_by_phase(loop):
    (_, line) = loop().train(range(1, 2))
    phases = {key.removeprefix("seconds/") for key in line if key.startswith("seconds/")}
    assert phases == {"rollout", "reward", "queue", "update", "wait", "sync", "receipt", "step", *MOMENTS}
    assert sum(line[f"seconds/{phase}"] for phase in phases - {"step", *MOMENTS}) <= line["seconds/step"]
    assert 0 <= line["seconds/began_at"] <= line["seconds/sampled_at"] < line["seconds/step"]
    assert line["speed/update_tokens_per_s"] == pytest.approx(line["learner/tokens"] / line["seconds/update"])
