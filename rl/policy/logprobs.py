"""From logits to log-probabilities. Shapes: B completions, T tokens, V vocabulary."""

import torch
from torch import Tensor


def token_logprobs(
    logits_BTV: Tensor, ids_BT: Tensor, temperature: float, *, has_entropy_gradient: bool = False
) -> tuple[Tensor, Tensor]:
    """Log-probability of each id and entropy of each distribution, both (B, T) in nats, float32 for any logits.

    The entropy is a measure and carries no gradient, unless a bonus asks for it.
    """
    logprobs_BTV = torch.log_softmax(logits_BTV.float() / temperature, dim=-1)
    with torch.set_grad_enabled(has_entropy_gradient and torch.is_grad_enabled()):
        entropy_BT = -(logprobs_BTV.exp() * logprobs_BTV).sum(-1)
    return logprobs_BTV.gather(-1, ids_BT.unsqueeze(-1)).squeeze(-1), entropy_BT
