"""From the last hidden states to log-probabilities. Shapes: B completions, T tokens, V vocabulary.

The head of a base in bfloat16 is computed in float32: rounding the logits is the largest part of the gap between the
two sides, and rounded on one side alone it is larger still (docs/sync.md has the figures).
"""

from functools import partial

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from doubleback.rewards.types import ConfigError


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


def head_in_float32(model: PreTrainedModel) -> None:
    """Have the head take its hidden states and multiply in float32, with the weights that it has.

    The parameter itself stays in the model's dtype, tied to the embedding where it was, so that nothing which is saved,
    merged or sent changes. ConfigError for a model whose head is not one plain matrix.
    """
    head = model.get_output_embeddings()
    if type(head) is not nn.Linear:
        raise ConfigError(
            f"model.head_dtype=float32: the LM head of this {model.config.model_type} model is no plain linear layer "
            f"but {type(head).__name__}, which is computed in its own precision; set model.head_dtype=bfloat16"
        )
    vars(head)["forward"] = partial(_logits, head)  # the instance alone, as in `rl.policy.routing`


def _logits(head: nn.Linear, hidden: Tensor) -> Tensor:
    # Cast anew each time: a copy that stayed would take 4 bytes a weight on either side throughout the run.
    bias = None if head.bias is None else head.bias.float()
    return torch.nn.functional.linear(hidden.float(), head.weight.float(), bias)
