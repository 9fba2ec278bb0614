"""From scored groups to what one forward pass holds. Shapes: B completions, T tokens of prompt + completion, padded."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from doubleback.rl.learner.packing import Layout, lay_out
from doubleback.rl.objective.advantages import step_advantages
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.objective.losses import token_weights
from doubleback.rl.policy.routing import stacked
from doubleback.rl.types import Batch, Group, GroupRow, Sample, Sampling


@dataclass(frozen=True, slots=True)
class Microbatch:
    """Samples padded on the right to one rectangle. Columns are shifted: column t predicts token t + 1."""

    input_ids_BT: Tensor
    attention_mask_BT: Tensor
    target_ids_BT: Tensor
    """The token that each column predicts."""
    loss_mask_BT: Tensor
    """True where the predicted token belongs to the completion."""
    sampler_logprobs_BT: Tensor
    advantages_B1: Tensor
    weights_BT: Tensor
    """Token weights, 0 outside the loss mask."""
    rows: tuple[int, ...]
    """Index of each row in the batch's samples."""
    routes_BTLK: Tensor | None = None
    """The experts that the engine chose for each token, in each of L layers K of them; -1 on padding."""
    layout: Layout | None = None
    """Where the tokens stand in one row without padding; None where the rectangle itself is computed."""


def assign(groups: Sequence[Group], algorithm: AlgorithmConfig) -> list[Group]:
    """The groups of a step with one advantage per completion: of its score, less its penalty where it has one."""
    rewards_PG = [[row.reward for row in group.rows()] for group in groups]
    advantages_PG = step_advantages(rewards_PG, algorithm.functions.advantage)
    return [replace(group, advantages=values) for group, values in zip(groups, advantages_PG, strict=True)]


def make_batch(groups: Sequence[Group], algorithm: AlgorithmConfig, sampling: Sampling) -> Batch:
    """What the learner needs of `groups`.

    Left out of the forward pass, and counted: completions without a verdict, cut-off ones if the recipe says so, and
    groups without spread (their advantages are 0) unless a KL or entropy term still pulls on them. The weights are
    those of the whole step, so that what is left out changes no gradient of what stays.
    """
    judged = [
        (group, row, row.advantage, algorithm.mask_truncated and row.completion.is_truncated)
        for group in groups
        for row in group.rows()
        if row.advantage is not None
    ]
    lengths = [0 if is_masked else len(row.completion.token_ids) for _, row, _, is_masked in judged]
    weights = token_weights(lengths, algorithm.normaliser, sampling.max_tokens)
    keeps_all = algorithm.has_kl_loss or algorithm.has_entropy_bonus or not algorithm.drop_zero_variance
    samples = tuple(
        sample_of(group, row, advantage, weight)
        for (group, row, advantage, is_masked), weight in zip(judged, weights, strict=True)
        if not is_masked and (keeps_all or group.has_signal)
    )
    return Batch(samples, sampling.temperature, tuple(groups))


def sample_of(group: Group, row: GroupRow, advantage: float = 0.0, token_weight: float = 0.0) -> Sample:
    """One completion of the group as the learner needs it."""
    completion = row.completion
    return Sample(
        group.prompt_ids, completion.token_ids, completion.sampler_logprobs, advantage, token_weight, row.routes
    )


def microbatches(
    samples: Sequence[Sample],
    max_tokens: int,
    device: torch.device,
    *,
    is_packed: bool = False,
    is_shared: bool = False,
) -> Iterator[Microbatch]:
    """Samples sorted by length, cut so that none holds more than `max_tokens` tokens (but at least one sample).

    Tokens of the padded rectangle; of the row without padding where `is_packed`. Where prompts are shared (`is_shared`)
    the samples of one prompt stand together, those with the longest first, and the prompt counts once.
    """
    order = sorted(range(len(samples)), key=lambda row: -_length(samples[row]))
    if is_shared:
        longest: dict[Hashable, int] = {}
        for position, row in enumerate(order):
            longest.setdefault(_prompt(samples[row]), position)
        order.sort(key=lambda row: longest[_prompt(samples[row])])
    start = 0
    while start < len(order):
        stop = _stop(samples, order, start, max_tokens, is_packed, is_shared)
        rows = order[start:stop]
        yield _pad([samples[row] for row in rows], tuple(rows), device, is_packed, is_shared)
        start = stop


def _stop(
    samples: Sequence[Sample], order: Sequence[int], start: int, max_tokens: int, is_packed: bool, is_shared: bool
) -> int:
    """How far the microbatch that begins at `start` reaches."""
    if not is_packed:
        return start + max(1, max_tokens // _length(samples[order[start]]))
    count, prompts = 0, set[Hashable]()
    for position in range(start, len(order)):
        sample = samples[order[position]]
        is_known = is_shared and _prompt(sample) in prompts
        count += len(sample.completion_ids) - 1 if is_known else _length(sample)
        prompts.add(_prompt(sample))
        if count > max_tokens and position > start:
            return position
    return len(order)


def _prompt(sample: Sample) -> Hashable:
    """What samples that share a prompt have in common: its tokens, and the experts that these went to."""
    routes, num_tokens = sample.routes, len(sample.prompt_ids)
    width = 0 if routes is None or not routes.shape[0] else len(routes.content) // routes.shape[0]
    return sample.prompt_ids, b"" if routes is None else routes.content[: num_tokens * width]


def _length(sample: Sample) -> int:
    return len(sample.prompt_ids) + len(sample.completion_ids) - 1


def _pad(
    samples: Sequence[Sample], rows: tuple[int, ...], device: torch.device, is_packed: bool, is_shared: bool
) -> Microbatch:
    num_rows, width = len(samples), max(_length(sample) for sample in samples)
    input_ids = torch.zeros(num_rows, width, dtype=torch.long)
    target_ids = torch.zeros_like(input_ids)
    attention_mask = torch.zeros_like(input_ids)
    loss_mask = torch.zeros(num_rows, width, dtype=torch.bool)
    sampler_logprobs = torch.zeros(num_rows, width)
    weights = torch.zeros(num_rows, width)
    for row, sample in enumerate(samples):
        ids, first = torch.tensor(sample.prompt_ids + sample.completion_ids), len(sample.prompt_ids) - 1
        last = len(ids) - 1
        input_ids[row, :last], target_ids[row, :last], attention_mask[row, :last] = ids[:-1], ids[1:], 1
        loss_mask[row, first:last] = True
        sampler_logprobs[row, first:last] = torch.tensor(sample.sampler_logprobs)
        weights[row, first:last] = sample.token_weight
    advantages = torch.tensor([[sample.advantage] for sample in samples])
    lengths = [_length(sample) for sample in samples]
    routes = stacked([sample.routes for sample in samples], lengths, width)
    prompts = [_prompt(sample) if is_shared else row for row, sample in enumerate(samples)]
    prompt_lengths = [len(sample.prompt_ids) for sample in samples]
    layout = lay_out(prompts, prompt_lengths, lengths, device) if is_packed else None
    return Microbatch(
        input_ids_BT=input_ids.to(device),
        attention_mask_BT=attention_mask.to(device),
        target_ids_BT=target_ids.to(device),
        loss_mask_BT=loss_mask.to(device),
        sampler_logprobs_BT=sampler_logprobs.to(device),
        advantages_B1=advantages.to(device),
        weights_BT=weights.to(device),
        rows=rows,
        routes_BTLK=None if routes is None else routes.to(device),
        layout=layout,
    )
