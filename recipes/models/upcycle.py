"""`upcycle`, for Python and the command line alike: a dense model as a mixture of experts with the same function."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from doubleback.recipes.models.bundled import bundled_path
from doubleback.rewards.settings import Section, validated
from doubleback.rl.run.owner import owned_output, require_new_folder


class Upcycling(Section):
    """How a dense model becomes a mixture of experts: the options of `doubleback upcycle`."""

    experts: Annotated[int, Field(ge=2, le=4096)]
    """Copies of each feed-forward layer."""
    top_k: Annotated[int, Field(ge=1)]
    """Experts that a token is sent to."""
    noise: Annotated[float, Field(ge=0, le=1)]
    """Deviation of the noise on each expert's weights, as a share of the weights' own; 0 keeps the function."""
    seed: Annotated[int, Field(ge=0)]
    """Of the router and of the noise."""

    @model_validator(mode="after")
    def _has_enough_experts(self) -> "Upcycling":
        if self.top_k > self.experts:
            raise ValueError(
                f"top_k={self.top_k} exceeds experts={self.experts}, and a token is sent to no expert twice; "
                f"lower top_k or raise experts"
            )
        return self


@dataclass(frozen=True, slots=True)
class Upcycled:
    """What was written, and how far it is from the dense model."""

    family: str
    """`model_type` of what was written: "mixtral" for "llama"."""
    num_layers: int
    """Feed-forward layers, each of which became experts."""
    num_dense: int
    """Parameters of the dense model."""
    num_parameters: int
    """Parameters of the mixture."""
    num_active: int
    """Those that a token meets."""
    max_gap: float
    """Largest |mixture - dense| log-probability in nats on random tokens, every entry of the vocabulary, in float32."""
    mean_gap: float
    """Mean of the same."""


def upcycle(
    model: str | Path, *, out: str | Path, experts: int = 4, top_k: int = 2, noise: float = 0.0, seed: int = 0
) -> Upcycled:
    """Write the dense `model` as a mixture of experts into the new folder `out`, in the dtype that it is stored in.

    Each feed-forward layer is copied into `experts` experts, of which a new random router sends a token to `top_k`
    (sparse upcycling, arXiv:2212.05055): without `noise` the same function. Tokenizer, chat template and generation
    settings travel along; upcycling.json says where it all came from. ConfigError for a model that is no dense one of a
    family that has a mixture, or settings that do not fit; RunError, with nothing written, where what was written
    computes something else than the dense model.
    """
    given = {"experts": experts, "top_k": top_k, "noise": noise, "seed": seed}
    settings = validated(Upcycling, given, "upcycle: ")
    folder = Path(out)
    require_new_folder(folder)
    from doubleback.recipes.models.experts import write_upcycled
    from doubleback.rl.run.files import whole_folder

    with owned_output(folder), whole_folder(folder) as unfinished:
        return write_upcycled(bundled_path(str(model)), unfinished, settings)
