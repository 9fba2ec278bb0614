"""The settings of the eval layer, with every default. Importing this loads no torch."""

from typing import Annotated

from pydantic import Field, model_validator

from doubleback.rewards.settings import MayChange, Section


class EvalConfig(Section):
    """What is measured in training: how often, on how many held-out problems."""

    every: Annotated[int, Field(ge=1), MayChange()] = 10
    """Steps between evaluations on validation problems; step 0 and the last step are always evaluated."""
    validation_problems: Annotated[int, Field(ge=1)] = 128
    """Validation problems in each of those (all, if there are fewer)."""
    validation_n: Annotated[int, Field(ge=1)] = 4
    """Samples per validation problem."""
    n: Annotated[int, Field(ge=1)] = 16
    """Samples per test problem, before and after training."""
    test_problems: Annotated[int, Field(ge=1)] = 1000
    """Test problems measured (all, if there are fewer)."""
    k: Annotated[list[int], Field(min_length=1)] = [1, 16]  # noqa: RUF012  (frozen, validated, never shared)
    """The k of pass@k on the test problems; none may exceed n."""

    @model_validator(mode="after")
    def _k_within_n(self) -> "EvalConfig":
        if bad := [k for k in self.k if not 1 <= k <= self.n]:
            raise ValueError(f"eval.k={bad[0]} must be from 1 to eval.n={self.n}; drop it or raise eval.n")
        return self
