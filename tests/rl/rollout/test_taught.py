"""A teacher beside the sampler: its log-probabilities reach the loss of the tokens that they are of."""

import math

import pytest
import torch
from support.gradients import BARE_GRADIENT, completion_logprobs, deviation, gradients
from support.rollouts import make_score

from doubleback.rewards.types import Completion, Problem, RunError
from doubleback.rl.config import OptimConfig
from doubleback.rl.learner.learner import Learner
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.objective.presets import DISTIL
from doubleback.rl.rollout.taught import Taught
from doubleback.rl.types import Group, Sampling

SAMPLING = Sampling(2, temperature=0.7, max_tokens=8)
PROBLEMS = [Problem("p", "3 5 7 -> 22"), Problem("q", "1 2 3 -> 6")]
IDS = {"p": [(5, 6, 7), (8, 9)], "q": [(4, 5, 6, 7), (9,)]}


class Fixed:
    """A sampler of fixed ids."""

    def sample(self, problems, sampling, seeds, on_group=None):
        groups = []
        for index, problem in enumerate(problems):
            drawn = tuple(
                Completion("x", ids, tuple(-1.0 for _ in ids), "stop", 0, "base", seeds[index])
                for ids in IDS[problem.id]
            )
            groups.append(Group(problem, (1, 3 + index), drawn))
            if on_group is not None:
                on_group(index, groups[-1])
        return groups

    def close(self):
        raise AssertionError("not its own")


def say_lengths(sequences):
    return [tuple(-0.1 * (place + len(prompt)) for place in range(len(ids))) for prompt, ids in sequences]


def test_the_groups_are_the_engines_with_what_the_teacher_says_in_their_order():
    seen = []
    taught = Taught(Fixed(), say_lengths)
    groups = taught.sample(PROBLEMS, SAMPLING, [1, 2], on_group=lambda *pair: seen.append(pair[0]))
    assert seen == [0, 1]
    assert [[len(values) for values in group.teacher_logprobs] for group in groups] == [[3, 2], [4, 1]]
    assert [row.teacher_logprobs for row in groups[0].rows()] == list(groups[0].teacher_logprobs)
    taught.close()


@pytest.mark.parametrize("answer", [[], [(-1.0,)] * 4, [(-1.0, -1.0, -1.0), (-1.0, -1.0), (-1.0,) * 4]])
def test_a_teacher_that_leaves_tokens_out_stops_the_run(answer):
    with pytest.raises(RunError, match="has not given one log-probability for each token"):
        Taught(Fixed(), lambda sequences: answer).sample(PROBLEMS, SAMPLING, [1, 2])


@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_a_teacher_that_says_no_number_stops_the_run(make_policy, value):
    learner = Learner(make_policy(), AlgorithmConfig(**DISTIL), OptimConfig(), SAMPLING)
    groups = Taught(Fixed(), lambda sequences: [(value,) * len(ids) for _, ids in sequences]).sample(
        PROBLEMS, SAMPLING, [1, 2]
    )
    with pytest.raises(RunError, match=r"has a log-probability \(teacher\) of"):
        learner.batch(scored(groups))


def scored(groups):
    """All rewards of a group are equal: of them nothing would be learned."""
    return [
        Group(it.problem, it.prompt_ids, it.completions, (make_score(1.0),) * 2, teacher_logprobs=it.teacher_logprobs)
        for it in groups
    ]


@pytest.mark.parametrize("discount", [0.0, 1.0])
@pytest.mark.parametrize("pack", [True, False])
def test_an_update_is_the_policy_gradient_of_teacher_less_student(make_policy, discount, pack):
    """The mean over the step's ten tokens of -(log q - log p) * log p, p at the temperature of sampling; by hand."""
    optim = OptimConfig(microbatch_tokens=12, pack=pack, share_prompts=pack, **BARE_GRADIENT)
    algorithm = AlgorithmConfig(**DISTIL, teacher_discount=discount, importance_cap=None)
    learner = Learner(make_policy(), algorithm, optim, SAMPLING)
    batch = learner.batch(scored(Taught(Fixed(), say_lengths).sample(PROBLEMS, SAMPLING, [1, 2])))
    model, total, distances = make_policy(), 0.0, []
    for sample in batch.samples:
        logprobs_T = completion_logprobs(model, sample, SAMPLING.temperature)
        distance_T = (torch.tensor(sample.teacher_logprobs) - logprobs_T).detach()
        distances.append(distance_T)
        advantages_T = distance_T if discount == 0 else distance_T.flip(0).cumsum(0).flip(0)
        total = total - (advantages_T * logprobs_T).sum() / 10
    total.backward()
    expected = {name: it.grad.clone() for name, it in model.named_parameters() if it.requires_grad}
    metrics = learner.update(batch)
    assert deviation(gradients(learner), expected) < 1e-4
    assert metrics["learner/kl_teacher"] == pytest.approx(-float(torch.cat(distances).mean()), rel=1e-5)
    assert len(batch.samples) == 4
