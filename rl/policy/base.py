"""Loading the frozen base and its tokenizer."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING
from transformers.utils import logging as transformers_logging

from doubleback.rewards.settings import require_folder
from doubleback.rewards.types import ConfigError, first_line, shortened
from doubleback.rl.policy.families import refuse_unsupported
from doubleback.rl.policy.logprobs import head_in_float32
from doubleback.rl.policy.stored.model import require_plain_model
from doubleback.rl.types import ModelSource

transformers_logging.disable_progress_bar()  # loading is quick; the bar would stand between the user's lines
NUM_TOKENS = (2, 64)
"""Random tokens on which two forms of a model are compared: sequences, length."""
# A folder's own Python code is never run, and nothing is asked on a terminal; only safetensors are read.
_NO_CODE = {"trust_remote_code": False}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def is_cuda() -> bool:
    """Whether the run computes on a CUDA device: it does where there is one."""
    return torch.cuda.is_available()


def load_tokenizer(path: str, asks_hub: bool = True) -> PreTrainedTokenizerBase:
    """The tokenizer that lies beside the model, with an end-of-sequence and a padding token.

    Where it names no end, it is the model's first (`end_ids`), and ConfigError where that has none either; where it
    names no padding, padding is the end: padded places are masked wherever there are any. Without `asks_hub` it is one
    that lies here, in a folder or in the hub's cache.
    """
    options = {"local_files_only": not asks_hub, **_NO_CODE}
    tokenizer = _or_config_error(path, "tokenizer", AutoTokenizer.from_pretrained, path, **options)
    if tokenizer.eos_token_id is None:
        if not (ends := _generation_ends(path)):
            raise ConfigError(
                f"model.path={path}: neither its tokenizer (eos_token) nor its generation_config.json (eos_token_id) "
                f"names an end of sequence, so that no completion would end; name it in tokenizer_config.json"
            )
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(ends[0])
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def end_ids(path: str, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Every token at which a completion ends: the tokenizer's, and those of the model's generation_config.json.

    A chat model ends its turn with one (<|im_end|>) and a document with another (<|endoftext|>).
    """
    return frozenset({int(tokenizer.eos_token_id), *_generation_ends(path)})


def _generation_ends(path: str) -> list[int]:
    """The ends of generation_config.json, or of config.json where there is none, in their order."""
    try:
        given = GenerationConfig.from_pretrained(path).eos_token_id
    except OSError:
        given = getattr(load_configuration(path), "eos_token_id", None)
    return [] if given is None else [given] if isinstance(given, int) else list(given)


def load_configuration(path: str) -> PretrainedConfig:
    """The configuration that lies beside the model. ConfigError where it cannot be read."""
    config: PretrainedConfig = _or_config_error(path, "configuration", AutoConfig.from_pretrained, path, **_NO_CODE)
    # A folder may name a kernel of the hub, which is code. Unnamed it is PyTorch's, or eager where the model has none.
    config._attn_implementation = config._experts_implementation = None
    return config


def load_base(source: ModelSource) -> PreTrainedModel:
    """The base in evaluation mode, every parameter frozen, in `source.dtype`, its head computed in `source.head_dtype`.

    Raises ConfigError where the folder is missing, unreadable, or has a shorter context than `model.max_length`.
    """
    settings = load_configuration(source.path)
    refuse_unsupported(settings, source.dtype, is_cuda())
    context = getattr(settings, "max_position_embeddings", None)
    if context is not None and context < source.max_length:
        raise ConfigError(
            f"model.max_length={source.max_length} exceeds the context of {source.path}, {context} tokens; lower it"
        )
    quantized = getattr(settings, "quantization_config", None)
    method = quantized.get("quant_method") if isinstance(quantized, dict) else quantized
    if method is not None and str(method) not in AUTO_QUANTIZATION_CONFIG_MAPPING:
        # transformers would say so in its log, and read the weights as if they were plain.
        raise ConfigError(f"model.path={source.path}: transformers knows no quant_method={shortened(method)}")
    if Path(source.path).is_dir():
        require_plain_model(Path(source.path), settings)
    options = {"config": settings, "dtype": DTYPES[source.dtype], "use_safetensors": True, **_NO_CODE}
    model: PreTrainedModel = _or_config_error(
        source.path, "weights", AutoModelForCausalLM.from_pretrained, source.path, **options
    )
    model.to("cuda" if is_cuda() else "cpu").eval().requires_grad_(False)
    if source.head_dtype != source.dtype:
        head_in_float32(model)
    return model


def base_tensors(model: PreTrainedModel) -> dict[str, Tensor]:
    """The base's weights by name, sharing memory with the model: parameters, and the buffers that a checkpoint keeps,
    as the bias for the choice of experts (DeepSeek-V3). Take it before an adapter is attached.
    """
    return dict(model.state_dict())


def random_ids(model: PreTrainedModel) -> Tensor:
    """Tokens of the model's vocabulary, `NUM_TOKENS` of them, the same at each call, on the model's device."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, int(model.config.vocab_size), NUM_TOKENS, generator=generator).to(model.device)


def _or_config_error(path: str, what: str, load: Any, *args: Any, **kwargs: Any) -> Any:
    """`load(...)`, where what can go wrong with a user's folder becomes one line."""
    looks_local = path.startswith((".", "/", "~")) or path.count("/") > 1 or Path(path).exists()
    if looks_local:
        require_folder(path, "model.path=")
    if looks_local and not (Path(path) / "config.json").is_file():
        raise ConfigError(f"model.path={path} has no config.json; give a folder with a transformers model, or a hub id")
    try:
        return load(*args, **kwargs)
    except Exception as error:  # what lies in a folder of somebody's makes a library stumble in whatever way
        if "trust_remote_code" in str(error):
            raise ConfigError(
                f"model.path={path}: its {what} needs Python code that comes with it (auto_map), which is never run; "
                "take a model of an architecture that transformers has"
            ) from error
        raise ConfigError(f"model.path={path}: the {what} cannot be loaded: {first_line(error)}") from error
