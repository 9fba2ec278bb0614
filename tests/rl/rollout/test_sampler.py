"""A step's rollouts: one round, or rounds until every group has a spread; and the KL that is taken off rewards."""

import math
from functools import partial

import pytest
from support.fakes import FakeEngine, FakeReward
from support.oracles import reference
from support.rollouts import make_completion, make_score, random_groups

from doubleback.rewards.types import Problem
from doubleback.rl.config import OptimConfig, ProblemsConfig, RolloutConfig
from doubleback.rl.learner.batching import assign
from doubleback.rl.learner.learner import Learner
from doubleback.rl.learner.penalty import kl_penalty, penalise
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.objective.kl import kl_k1, kl_k2, kl_k3
from doubleback.rl.rollout.problems import ProblemSource
from doubleback.rl.rollout.sampler import RolloutSampler, select
from doubleback.rl.seeds import sample_seed
from doubleback.rl.types import Sampling

SAMPLING = Sampling(group_size=2, temperature=1.0, max_tokens=128)
FLAT = (0.5, 0.5)


def paying(rewards):
    """The rewards of each problem by id; others differ."""
    return FakeReward(lambda problem, _: [make_score(value) for value in rewards.get(problem.id, (1.0, 0.0))])


def ten_problems(**settings):
    return ProblemSource([Problem(str(index), "") for index in range(10)], ProblemsConfig(**settings), 0)


def run(rewards, source=None, max_rounds=1):
    """(rollout, what the engine was asked): a completion is one token, the problem's number."""
    engine = FakeEngine(lambda problem, seed, num_samples: [make_completion([int(problem.id)])] * num_samples)
    reward = rewards if isinstance(rewards, FakeReward) else paying(rewards)
    config = RolloutConfig(prompts_per_step=4, max_rounds=max_rounds)
    sampler = RolloutSampler(engine, source or ten_problems(), reward, SAMPLING, config, run_seed=0)
    return sampler(3), engine.asked


def ids(groups):
    return [group.problem.id for group in groups]


ORDER = [
    problem.id for problem in ProblemSource([Problem(str(i), "") for i in range(10)], ProblemsConfig(), 0).take(10)
]


def test_one_round_keeps_everything_in_order():
    rollout, asked = run({ORDER[1]: FLAT})
    assert ids(rollout.groups) == ORDER[:4]
    assert (rollout.replaced, rollout.num_rounds) == ((), 1)
    assert asked == [[(id_, sample_seed(0, "step 3", id_)) for id_ in ORDER[:4]]]


def test_a_problem_that_stands_twice_in_a_step_is_sampled_anew():
    """Three problems for four places, and an epoch's seam within the step: no group repeats another's samples."""
    source = ProblemSource([Problem(str(index), "") for index in range(3)], ProblemsConfig(), 0)
    _, [asked] = run({}, source)
    assert len({id_ for id_, _ in asked}) == 3
    assert len({seed for _, seed in asked}) == 4
    [again] = [place for place in range(4) if asked[place][0] in [id_ for id_, _ in asked[:place]]]
    assert [seed for _, seed in asked[:again]] == [sample_seed(0, "step 3", id_) for id_, _ in asked[:again]]


def test_groups_without_spread_are_replaced_round_by_round():
    """Two of the first four are flat, then one of the two that replace them."""
    rollout, asked = run({ORDER[1]: FLAT, ORDER[2]: FLAT, ORDER[5]: FLAT}, max_rounds=10)
    assert [[id_ for id_, _ in round_] for round_ in asked] == [ORDER[:4], ORDER[4:6], ORDER[6:7]]
    assert ids(rollout.groups) == [ORDER[index] for index in (0, 3, 4, 6)]
    assert ids(rollout.replaced) == [ORDER[index] for index in (1, 2, 5)]
    assert rollout.num_rounds == 3
    assert all(group.scores for group in (*rollout.groups, *rollout.replaced))


def test_rounds_are_bounded_and_the_step_keeps_its_size():
    rollout, asked = run(dict.fromkeys(ORDER, FLAT) | {ORDER[5]: (1.0, 0.0)}, max_rounds=2)
    assert [len(round_) for round_ in asked] == [4, 4]
    assert ids(rollout.groups) == [ORDER[index] for index in (0, 1, 2, 5)]
    assert len(rollout.replaced) == 4


def test_rounds_end_with_the_problems():
    rollout, asked = run(dict.fromkeys(ORDER, FLAT), max_rounds=100)
    assert sorted(id_ for round_ in asked for id_, _ in round_) == sorted(ORDER)
    assert len(rollout.groups) == 4


def test_a_full_first_round_needs_no_other():
    assert run({}, max_rounds=10)[0].num_rounds == 1


def test_the_source_learns_from_every_group_sampled_replaced_ones_too():
    source = ten_problems(max_pass_rate=0.9)
    run({ORDER[1]: FLAT, ORDER[2]: (1.0, 1.0)}, source=source, max_rounds=10)
    rates = {id_: rate for id_, (rate, _) in source.state()["rates"].items()}
    assert rates == {ORDER[0]: 0.5, ORDER[1]: 0.0, ORDER[2]: 1.0, ORDER[3]: 0.5, ORDER[4]: 0.5, ORDER[5]: 0.5}


def test_faults_are_counted_over_all_rounds():
    """One fault in a round of a single group is no large share of the step."""
    reward = paying({ORDER[1]: FLAT})
    run(reward, max_rounds=10)
    assert list(map(len, reward.judged)) == [8, 10]


def test_select_by_hand():
    groups = random_groups([[1.0, 1.0], [1.0, 0.0], [0.5, 0.5], [None, None], [0.0, 1.0]])
    kept, rest = select(groups, 3)
    assert kept == (groups[0], groups[1], groups[4])
    assert rest == (groups[2], groups[3])
    assert select(groups, 5) == (tuple(groups), ())


def test_kl_penalty_by_hand():
    policy, other = [-1.0, -2.0], [-1.5, -1.0]
    assert kl_penalty(policy, other, kl_k1, 0.1) == pytest.approx(0.1 * (0.5 - 1.0), rel=1e-12)
    assert kl_penalty(policy, other, kl_k2, 0.1) == pytest.approx(0.1 * (0.125 + 0.5), rel=1e-12)
    expected = 0.1 * ((math.exp(-0.5) + 0.5 - 1) + (math.exp(1.0) - 1.0 - 1))
    assert kl_penalty(policy, other, kl_k3, 0.1) == pytest.approx(expected, rel=1e-12)
    assert kl_penalty([], [], kl_k1, 0.1) == 0


def test_penalise_measures_the_sampler_against_the_bare_base(make_policy):
    """At the sampling temperature; a policy equal to its base pays nothing but the sampler's own difference."""
    learner = Learner(make_policy(), AlgorithmConfig(), OptimConfig(), SAMPLING)
    algorithm = AlgorithmConfig(kl_coef=0.1, kl_in="reward", kl_estimator="k1")
    groups = random_groups([[1.0, 0.0], [0.5, 0.5]])
    found = penalise(groups, partial(learner.score, parts=frozenset(), temperature=0.8), algorithm)
    for group, penalised in zip(groups, found, strict=True):
        sequences = [(group.prompt_ids, item.token_ids) for item in group.completions]
        references = learner.score(sequences, frozenset(), temperature=0.8)
        for item, ref, penalty in zip(group.completions, references, penalised.penalties, strict=True):
            assert penalty == pytest.approx(0.1 * (math.fsum(item.sampler_logprobs) - math.fsum(ref)), rel=1e-6)
    assert penalise(groups, learner.score, AlgorithmConfig(kl_coef=0.1)) is groups


def test_penalties_turn_equal_rewards_into_a_signal():
    (group,) = random_groups([[0.5, 0.5]])
    penalised = [group.__class__(group.problem, group.prompt_ids, group.completions, group.scores, (0.0, 0.2))]
    (assigned,) = assign(penalised, AlgorithmConfig())
    assert assigned.advantages == pytest.approx(reference.advantages([[0.5, 0.3]], "centre")[0])
