"""The lines of a step's samples: what they say of trainer and engine."""

import math
from dataclasses import replace

from support.rollouts import make_completion, make_group

from doubleback.rl.run.samples import rollout_lines


def test_a_sample_says_how_far_trainer_and_engine_were_apart():
    completions = [make_completion([5, 6], [-0.5, -1.5]), make_completion([7], [-1.0]), make_completion([8], [-1.0])]
    group = make_group([1], completions, [1.0, 0.0, None])
    plain = rollout_lines(3, group)
    assert all("gap" not in line and "log_ratios" not in line for line in plain)
    told = rollout_lines(3, replace(group, old_logprobs=((-0.5, -1.0), (-1.0000004,), None)))
    assert told[0] == {**plain[0], "gap": 0.25, "log_ratios": [0.0, 0.5]}
    # Both are rounded: the gap to three digits, a ratio to a millionth, and nothing is written as -0.0.
    assert told[1] == {**plain[1], "gap": 4e-7, "log_ratios": [0.0]}
    assert math.copysign(1.0, told[1]["log_ratios"][0]) == 1.0
    assert told[2] == plain[2]


def test_what_nobody_sampled_has_no_gap():
    """A completion that was given, and one of TRL's, which tells no log-probabilities."""
    completion = replace(make_completion([5, 6]), sampler_logprobs=())
    group = replace(make_group([1], [completion], [1.0]), old_logprobs=((-0.5, -1.0),))
    assert "gap" not in rollout_lines(1, group)[0]
