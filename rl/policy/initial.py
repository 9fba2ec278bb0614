"""The adapter that training starts from, where it is an earlier one: from PEFT's layout into the model's own."""

from pathlib import Path

from peft import PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file

from doubleback.rewards.regular import opened
from doubleback.rewards.types import ConfigError, first_line
from doubleback.rl.policy import lora
from doubleback.rl.policy.stored.adapter import ADAPTER_WEIGHTS


def start_from(model: PeftModel, folder: Path) -> None:
    """Put the adapter of `folder`, in float32, into the model's, which has the same tensors of the same shapes.

    ConfigError names a tensor that one of the two has not, or has in another shape.
    """
    try:
        opened(folder / ADAPTER_WEIGHTS).close()  # a pipe would be waited for
        tensors = {name: tensor.float() for name, tensor in load_file(folder / ADAPTER_WEIGHTS).items()}
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"lora.init={folder}: {ADAPTER_WEIGHTS} cannot be read: {first_line(error)}") from error
    own = {name: tuple(tensor.shape) for name, tensor in get_peft_model_state_dict(model).items()}
    stored = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name in sorted({**own, **stored}):
        if own.get(name) != stored.get(name):
            raise ConfigError(
                f"lora.init={folder} is no adapter for this recipe: {name} is {stored.get(name, 'absent')} there and "
                f"{own.get(name, 'absent')} here; take the same base, lora.targets, lora.rank, lora.expert_rank and "
                "lora.train_router as it was trained with"
            )
    lora.load(model, tensors)
