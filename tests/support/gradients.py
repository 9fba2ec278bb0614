"""Gradients of an update: taken from a learner, compared, and computed once more by hand."""

from dataclasses import fields

import torch

from support.oracles import reference

BARE_GRADIENT = {"beta1": 0.0, "max_grad_norm": 1e9, "warmup_steps": 0}
"""AdamW's first moment is then the last gradient itself: `gradients` reads it there."""


def gradients(learner):
    names = [name for name, parameter in learner.model.named_parameters() if parameter.requires_grad]
    state = learner.state()["optimiser"]["state"]
    return {name: state[index]["exp_avg"].clone() for index, name in enumerate(names)}


def deviation(found, expected):
    """Largest over all tensors of max |difference| / max |expected|."""
    assert set(found) == set(expected)
    return max(
        float((found[name] - expected[name]).abs().max() / expected[name].abs().max().clamp(min=1e-12))
        for name in expected
    )


def completion_logits(model, sample, temperature):
    """(T, V) of one sequence alone, without any padding."""
    ids = torch.tensor([sample.prompt_ids + sample.completion_ids])
    return model(input_ids=ids).logits[0, len(sample.prompt_ids) - 1 : -1] / temperature


def completion_logprobs(model, sample, temperature):
    ids = torch.tensor(sample.completion_ids)
    return completion_logits(model, sample, temperature).log_softmax(-1)[torch.arange(len(ids)), ids]


class ByHand:
    """The same update from single unpadded sequences and the float64 reference's derivative by each log-probability."""

    def __init__(self, model, base, batch, algorithm):
        self.model, self.batch = model, batch
        names = [field.name for field in fields(reference.Options)]
        self.options = reference.Options(**{name: getattr(algorithm, name) for name in names})
        self.entropy_coef = algorithm.entropy_coef
        with torch.no_grad():
            self.old = [completion_logprobs(model, s, batch.temperature).tolist() for s in batch.samples]
            self.ref = [completion_logprobs(base, s, batch.temperature).tolist() for s in batch.samples]

    def tokens(self, index, logprobs):
        sample = self.batch.samples[index]
        columns = zip(logprobs, self.old[index], sample.sampler_logprobs, self.ref[index], strict=True)
        return [reference.Token(*values, sample.advantage, sample.token_weight) for values in columns]

    def backward(self):
        """Accumulate gradients into the model; returns the loss."""
        loss = 0.0
        for index, sample in enumerate(self.batch.samples):
            logprobs = completion_logits(self.model, sample, self.batch.temperature).log_softmax(-1)
            chosen = logprobs[torch.arange(len(logprobs)), torch.tensor(sample.completion_ids)]
            row = self.tokens(index, chosen.tolist())
            (slopes,) = reference.gradient([row], self.options)
            bonus = -self.entropy_coef * sample.token_weight * torch.special.entr(logprobs.exp()).sum()
            ((chosen * torch.tensor(slopes, dtype=chosen.dtype)).sum() + bonus).backward()
            loss += reference.loss([row], self.options) + float(bonus)
        return loss

    def gradients(self):
        return {name: p.grad.clone() for name, p in self.model.named_parameters() if p.requires_grad}
