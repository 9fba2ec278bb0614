"""The balance of a step: which tokens count, and what is missing is no number."""

from dataclasses import replace
from math import isnan

import numpy as np
from support.rollouts import SAMPLING, make_completion, random_groups

from doubleback.rewards.types import Problem
from doubleback.rl.learner.batching import assign, make_batch
from doubleback.rl.objective.balance import balance, over_layers
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.run.experts import expert_balance
from doubleback.rl.run.metrics import rollout_metrics
from doubleback.rl.types import Group, Routes


def routed(experts, num_experts=4):
    """One layer, one expert a token."""
    return Routes.pack(np.array(experts)[:, None, None], num_experts)


def group():
    """Prompts of two tokens, completions of two and three: of each what came of its last prompt token counts."""
    completions = (make_completion([7, 8]), make_completion([7, 8, 9]))
    routes = (routed([3, 0, 1]), routed([3, 0, 0, 2]))
    return Group(Problem("p", "?"), (1, 2), completions, routes=routes)


def test_the_tokens_that_completions_came_of_count():
    assert expert_balance([group()]) == [balance([3, 1, 1, 0], 5)]
    assert expert_balance([group(), group()]) == [balance([6, 2, 2, 0], 10)]


def test_dense_models_report_nothing_and_a_gap_is_not_a_number():
    assert expert_balance([replace(group(), routes=())]) is None
    assert expert_balance([replace(group(), routes=(None, None))]) is None
    first, _ = group().routes
    for routes in ((first, None), (first, routed([3, 0, 0]))):  # of one nothing, of one too little
        found = expert_balance([group(), replace(group(), routes=routes)])
        assert all(map(isnan, over_layers(found).values()))


def test_a_step_reports_it_and_a_dense_one_does_not():
    groups = assign(random_groups([[1.0, 0.0]]), AlgorithmConfig())
    batch = make_batch(groups, AlgorithmConfig(), SAMPLING)
    assert not [name for name in rollout_metrics(groups, batch) if name.startswith("experts/")]
    lengths = [len(groups[0].prompt_ids) + len(item.token_ids) - 1 for item in groups[0].completions]
    routes = tuple(routed([1] * length) for length in lengths)
    found = rollout_metrics([replace(groups[0], routes=routes)], batch)
    assert (found["experts/max_violation"], found["experts/unused"], found["experts/largest_share"]) == (3.0, 0.75, 1.0)
