"""Several strands in one run: who draws by weight, who scores, how long a completion may be; exact over a resume."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fakes import FakeEngine, FakeReward
from support.rollouts import make_completion, make_group, make_score

from doubleback.rewards.types import Problem, RunError, Score, Verdict
from doubleback.rl.config import ProblemsConfig, RolloutConfig
from doubleback.rl.rollout.mixture import MixedScorer, MixedSource, StrandEngine
from doubleback.rl.rollout.problems import ProblemSource
from doubleback.rl.rollout.sampler import RolloutSampler
from doubleback.rl.rollout.strand import in_strand, strand_of
from doubleback.rl.run.metrics import METRICS
from doubleback.rl.types import Sampling


def make_source(weights, num_problems=5, seed=0, **settings):
    sources = {
        name: ProblemSource(
            [in_strand(Problem(str(index), "", {"level": index % 2}), name) for index in range(num_problems)],
            ProblemsConfig(**settings),
            f"{seed}/{name}",
        )
        for name in weights
    }
    return MixedSource(sources, weights)


def strands(problems):
    return [strand_of(problem.id) for problem in problems]


def test_problems_are_drawn_by_weight_by_hand():
    """Weights 3 and 1: credits .75 .25 -> a, then -.25+.75=.5 .5 -> a (the first of equals), .25 .75 -> b, 1 0 -> a."""
    source = make_source({"a": 3.0, "b": 1.0})
    assert strands(source.take(8)) == ["a", "a", "b", "a", "a", "a", "b", "a"]


@given(
    weights=st.lists(st.floats(0.01, 100), min_size=1, max_size=4),
    counts=st.lists(st.integers(1, 9), min_size=1, max_size=12),
)
def test_every_strand_has_its_share_to_within_one_however_the_steps_are_cut(weights, counts):
    named = {f"s{index}": weight for index, weight in enumerate(weights)}
    source, drawn = make_source(named), []
    for count in counts:
        drawn += strands(source.take(count))
        for name, weight in named.items():
            share = len(drawn) * weight / math.fsum(weights)
            assert abs(drawn.count(name) - share) < len(named)  # within one for two strands, always bounded
    assert len(drawn) == sum(counts)


def test_two_strands_of_one_problem_set_have_orders_of_their_own():
    source = make_source({"on": 1.0, "off": 1.0}, num_problems=20)
    taken = [problem.id for problem in source.take(40)]
    on, off = ([name.split("/")[1] for name in taken if strand_of(name) == strand] for strand in ("on", "off"))
    assert sorted(on) == sorted(off)
    assert on != off


def test_a_resumed_source_draws_what_the_uninterrupted_one_does():
    weights = {"a": 2.0, "b": 1.0, "c": 0.3}
    whole, cut = make_source(weights), make_source(weights)
    assert [whole.take(5) for _ in range(3)] == [cut.take(5) for _ in range(3)]
    resumed = make_source(weights)
    resumed.restore(json.loads(json.dumps(cut.state())))
    assert [whole.take(7) for _ in range(4)] == [resumed.take(7) for _ in range(4)]


def test_a_strand_without_open_problems_is_passed_over_and_saves_nothing_up():
    source = make_source({"a": 1.0, "b": 1.0}, num_problems=6)
    every_b = frozenset(f"b/{index}" for index in range(6))
    assert strands(source.take(5, excluded=every_b)) == ["a"] * 5
    assert strands(source.take(4)) == ["a", "b", "a", "b"]


def test_excluded_problems_are_passed_over_in_every_strand():
    source = make_source({"a": 1.0, "b": 1.0}, num_problems=2)
    first = source.take(2)
    rest = source.take(9, excluded=frozenset(problem.id for problem in first))
    assert sorted(problem.id for problem in [*first, *rest]) == ["a/0", "a/1", "b/0", "b/1"]


def test_metrics_of_a_strand_by_hand():
    source = make_source({"on": 1.0, "off": 1.0}, level="level")
    completions = [make_completion([5] * 3), make_completion([5] * 6, finish_reason="length"), make_completion([5])]
    group = replace(make_group([1], completions, [1.0, 0.0, None]), problem=Problem("on/0", "", {"level": 0}))
    source.observe([group])
    metrics = source.metrics()
    # of three completions two could be judged, one of them right; the lengths are 3, 6 and 1
    expected = {"reward": 0.5, "correct": 0.5, "mean_tokens": 10 / 3, "cut_off": 1 / 3, "part/task": 0.5, "level": 0.0}
    assert {name: metrics[f"strand/on/{name}"] for name in expected} == pytest.approx(expected, abs=1e-12)
    assert all(math.isnan(metrics[f"strand/off/{name}"]) for name in ("reward", "correct", "mean_tokens", "cut_off"))
    documented = {name.removeprefix("strand/STRAND/").replace("NAME", "task") for name in METRICS}
    names = {name.split("/", 2)[2] for name in metrics}
    assert names - documented == {"level_pass_rate"}  # which the row of level names


class CountingEngine(FakeEngine):
    """Keeps the longest completion of each call."""

    def __init__(self):
        super().__init__(lambda problem, seed, num_samples: [make_completion([5, 2])] * num_samples)
        self.lengths = []

    def sample(self, problems, sampling, seeds, on_group=None):
        self.lengths.append((sampling.max_tokens, [problem.id for problem in problems]))
        return super().sample(problems, sampling, seeds, on_group)


PROBLEMS = [Problem(name, "") for name in ("on/1", "off/1", "suite/1", "on/2", "off/2")]


@pytest.mark.parametrize(
    ("asked", "calls"),
    [
        (100, [(60, ["on/1", "on/2"]), (8, ["off/1", "off/2"]), (100, ["suite/1"])]),
        (8, [(8, ["on/1", "off/1", "suite/1", "on/2", "off/2"])]),
    ],
)
def test_each_strand_is_sampled_to_its_own_length_and_comes_back_in_order(asked, calls):
    inner, reported = CountingEngine(), []
    engine = StrandEngine(inner, {"on": 60, "off": 8})
    groups = engine.sample(PROBLEMS, Sampling(2, 1.0, asked), range(5), lambda *found: reported.append(found))
    assert inner.lengths == calls
    assert [group.problem.id for group in groups] == [problem.id for problem in PROBLEMS]
    assert sorted((index, group.problem.id) for index, group in reported) == [
        (index, problem.id) for index, problem in enumerate(PROBLEMS)
    ]
    assert sorted(pair for call in inner.asked for pair in call) == sorted(
        (problem.id, seed) for seed, problem in enumerate(PROBLEMS)
    )


def test_a_step_of_two_strands_is_scored_by_the_reward_of_each():
    ones, halves = (FakeReward(lambda p, c, value=value: [make_score(value)] * len(c)) for value in (1.0, 0.5))
    scorer = MixedScorer({"on": ones, "off": halves})
    engine = StrandEngine(CountingEngine(), {"on": 60, "off": 8})
    config = RolloutConfig(prompts_per_step=4)
    sampler = RolloutSampler(
        engine, make_source({"on": 1.0, "off": 1.0}), scorer, Sampling(2, 1.0, 60), config, run_seed=0
    )
    rollout = sampler(1)
    values = [(strand_of(group.problem.id), {score.value for score in group.scores}) for group in rollout.groups]
    assert values == [("on", {1.0}), ("off", {0.5})] * 2
    assert rollout.problem_metrics["strand/off/reward"] == 0.5
    assert [len(judged) for judged in ones.judged] == [4]
    assert rollout.source_state["sources"]["on"]["position"] == 2


def test_faults_are_counted_by_strand():
    """Four of a hundred in all are few; all four of one strand are not."""
    on = FakeReward(lambda problem, completions: [])
    off = FakeReward(lambda problem, completions: [], most=3)
    score, completion = Score(None, Verdict.TIMEOUT), make_completion([5])
    judged = [(Problem(f"on/{index}", ""), completion, score) for index in range(96)]
    MixedScorer({"on": on, "off": off}).refuse_faults(judged)
    judged += [(Problem(f"off/{index}", ""), completion, score) for index in range(4)]
    with pytest.raises(RunError, match="4 were judged"):
        MixedScorer({"on": on, "off": off}).refuse_faults(judged)
