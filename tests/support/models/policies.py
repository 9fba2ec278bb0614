"""What tests do to a policy: move its adapter, read its base and its logits."""

import torch

from doubleback.rl.policy import lora

IDS = torch.randint(3, 118, (3, 17), generator=torch.Generator().manual_seed(5))


@torch.no_grad()
def logits(model):
    """Of the same 3 rows of 17 tokens, (3, 17, V)."""
    return model(input_ids=IDS).logits


def plain_base(model):
    """The base's parameters by their own names, copied, read from under the adapter."""
    return {
        name.removeprefix(lora.PREFIX).replace(".base_layer", ""): parameter.detach().clone()
        for name, parameter in model.named_parameters()
        if "lora_" not in name
    }


def randomised(model, seed=3, std=0.05):
    """The same policy with noise of this deviation added to every number of its adapter."""
    generator = torch.Generator().manual_seed(seed)
    tensors = lora.export(model).tensors
    lora.load(model, {k: v + std * torch.randn(v.shape, generator=generator) for k, v in tensors.items()})
    return model
