"""From scored groups to what one forward pass holds. Shapes: B completions, T tokens of prompt + completion, padded."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from doubleback.rl.learner.layouts import Layout, Placement
from doubleback.rl.objective.advantages import step_advantages
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.objective.losses import token_weights
from doubleback.rl.policy.routing import stacked
from doubleback.rl.types import Batch, Group, GroupRow, Sample, Sampling


@dataclass(frozen=True, slots=True)
class Microbatch:
    """Samples padded on the right to one rectangle. Columns are shifted: column t predicts token t + 1.

    For example two samples, prompt 1 8 with completion 5 6 2 (advantage 0.5) and prompt 1 with completion 7 2
    (advantage -0.5), every token of which weighs 0.1; - is padding, which holds zeros:

        input_ids_BT      1 8 5 6       1 7 - -
        target_ids_BT     8 5 6 2       7 2 - -
        loss_mask_BT      . x x x       x x . .      the prompt's last token predicts the completion's first
        weights_BT        0 .1 .1 .1    .1 .1 0 0
        advantages_B1     0.5           -0.5
    """

    input_ids_BT: Tensor
    """What is put through the model: every token but the last of each sample."""
    target_ids_BT: Tensor
    """The token that each column predicts."""
    loss_mask_BT: Tensor
    """True where the predicted token belongs to the completion."""
    sampler_logprobs_BT: Tensor
    """What the engine reported of the predicted token, 0 outside the loss mask; NaN of a completion that was given."""
    advantages_B1: Tensor
    """One a sample."""
    weights_BT: Tensor
    """Token weights, 0 outside the loss mask."""
    rows: tuple[int, ...]
    """Index of each row in the batch's samples."""
    placement: Placement
    """Where these tokens stand in the forward pass."""
    routes_BTLK: Tensor | None = None
    """The experts that the engine chose for each token, in each of L layers K of them; -1 on padding."""
    teacher_logprobs_BT: Tensor | None = None
    """What a teacher says of the predicted token, 0 outside the loss mask. None where none was asked."""


def assign(groups: Sequence[Group], algorithm: AlgorithmConfig) -> list[Group]:
    """The groups of a step with one advantage per completion: of its score, less its penalty where it has one."""
    rewards_PG = [[row.reward for row in group.rows()] for group in groups]
    advantages_PG = step_advantages(rewards_PG, algorithm.functions.advantage)
    return [replace(group, advantages=values) for group, values in zip(groups, advantages_PG, strict=True)]


def make_batch(groups: Sequence[Group], algorithm: AlgorithmConfig, sampling: Sampling) -> Batch:
    """What the learner needs of `groups`.

    Left out of the forward pass, and counted: completions without a verdict, cut-off ones if the recipe says so, and
    groups without spread (their advantages are 0) unless a teacher, a KL or an entropy term still pulls on them. The
    weights are those of the whole step, so that what is left out changes no gradient of what stays.
    """
    every = ((group, row) for group in groups for row in group.rows())
    judged = [
        (place, group, row, row.advantage, algorithm.mask_truncated and row.completion.is_truncated)
        for place, (group, row) in enumerate(every)
        if row.advantage is not None
    ]
    lengths = [0 if is_masked else len(row.completion.token_ids) for _, _, row, _, is_masked in judged]
    weights = token_weights(lengths, algorithm.normaliser, sampling.max_tokens)
    keeps_all = algorithm.has_kl_loss or algorithm.has_entropy_bonus or not algorithm.drop_zero_variance
    keeps_all = keeps_all or any(group.teacher_logprobs for group in groups)
    kept = [
        (place, sample_of(group, row, advantage, weight))
        for (place, group, row, advantage, is_masked), weight in zip(judged, weights, strict=True)
        if not is_masked and (keeps_all or group.has_signal)
    ]
    places, samples = tuple(place for place, _ in kept), tuple(sample for _, sample in kept)
    return Batch(samples, sampling.temperature, tuple(groups), places)


def with_old_logprobs(batch: Batch, old_logprobs: Sequence[tuple[float, ...]]) -> list[Group]:
    """The groups of a batch with what the trainer said of its samples before the step, one after the other.

    As they are where it said nothing.
    """
    if not old_logprobs:
        return list(batch.groups)
    said, groups, first = dict(zip(batch.places, old_logprobs, strict=True)), list[Group](), 0
    for group in batch.groups:
        last = first + len(group.completions)
        groups.append(replace(group, old_logprobs=tuple(said.get(place) for place in range(first, last))))
        first = last
    return groups


def sample_of(group: Group, row: GroupRow, advantage: float = 0.0, token_weight: float = 0.0) -> Sample:
    """One completion of the group as the learner needs it."""
    completion = row.completion
    return Sample(
        group.prompt_ids,
        completion.token_ids,
        completion.sampler_logprobs,
        advantage,
        token_weight,
        row.routes,
        row.teacher_logprobs,
    )


def microbatches(
    samples: Sequence[Sample], max_tokens: int, device: torch.device, layout: Layout
) -> Iterator[Microbatch]:
    """The samples in microbatches of at most `max_tokens` tokens, but at least one sample, as the layout cuts them."""
    for indices in layout.cut(samples, max_tokens):
        yield _pad([samples[index] for index in indices], tuple(indices), device, layout)


def _pad(samples: Sequence[Sample], rows: tuple[int, ...], device: torch.device, layout: Layout) -> Microbatch:
    num_rows, width = len(samples), max(sample.num_inputs for sample in samples)
    input_ids = torch.zeros(num_rows, width, dtype=torch.long)
    target_ids = torch.zeros_like(input_ids)
    loss_mask = torch.zeros(num_rows, width, dtype=torch.bool)
    sampler_logprobs = torch.zeros(num_rows, width)
    is_taught = any(sample.teacher_logprobs is not None for sample in samples)
    teacher_logprobs = torch.zeros(num_rows, width) if is_taught else None
    weights = torch.zeros(num_rows, width)
    for row, sample in enumerate(samples):
        ids, last = torch.tensor(sample.prompt_ids + sample.completion_ids), sample.num_inputs
        # The prompt's last token predicts the first of the completion.
        first = len(sample.prompt_ids) - 1
        input_ids[row, :last], target_ids[row, :last] = ids[:-1], ids[1:]
        loss_mask[row, first:last] = True
        # NaN where nobody sampled it: what would compare with that is then no number either.
        sampler_logprobs[row, first:last] = torch.tensor(sample.sampler_logprobs or math.nan)
        if teacher_logprobs is not None and sample.teacher_logprobs is not None:
            teacher_logprobs[row, first:last] = torch.tensor(sample.teacher_logprobs)
        weights[row, first:last] = sample.token_weight
    lengths = [sample.num_inputs for sample in samples]
    routes = stacked([sample.routes for sample in samples], lengths, width)
    return Microbatch(
        input_ids_BT=input_ids.to(device),
        target_ids_BT=target_ids.to(device),
        loss_mask_BT=loss_mask.to(device),
        sampler_logprobs_BT=sampler_logprobs.to(device),
        advantages_B1=torch.tensor([[sample.advantage] for sample in samples]).to(device),
        weights_BT=weights.to(device),
        rows=rows,
        placement=layout.place(samples, device),
        routes_BTLK=None if routes is None else routes.to(device),
        teacher_logprobs_BT=None if teacher_logprobs is None else teacher_logprobs.to(device),
    )
