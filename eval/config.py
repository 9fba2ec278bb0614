"""The settings of the eval layer, with every default. Importing this loads no torch."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from doubleback.rewards.settings import MayChange, Section
from doubleback.rl.config import MOST_SAMPLES


class EvalConfig(Section):
    """What is measured in training: how often, on how many held-out problems."""

    every: Annotated[int, Field(ge=1), MayChange()] = 10
    """Steps between evaluations on validation problems; step 0 and the last step are always evaluated."""
    validation_problems: Annotated[int, Field(ge=1)] = 128
    """Validation problems in each of those (all, if there are fewer)."""
    validation_n: Annotated[int, Field(ge=1, le=MOST_SAMPLES)] = 4
    """Samples per validation problem."""
    suites: list[str] = []  # noqa: RUF012  (frozen, validated, never shared)
    """Suites (doubleback list, or YAML files) that are measured whenever validation problems are, as many problems and
    samples each, by the pipeline of `doubleback eval`: metrics `eval/SUITE/...`."""
    n: Annotated[int, Field(ge=1, le=MOST_SAMPLES)] = 16
    """Samples per test problem, before and after training."""
    test_problems: Annotated[int, Field(ge=1)] = 1000
    """Test problems measured (all, if there are fewer)."""
    k: Annotated[list[int], Field(min_length=1)] = [1, 16]  # noqa: RUF012  (frozen, validated, never shared)
    """The k of pass@k on the test problems; none may exceed n."""

    def is_due(self, step: int, steps: int) -> bool:
        """Whether validation problems are measured after `step` of `steps`."""
        return step in (0, steps) or step % self.every == 0

    @field_validator("suites")
    @classmethod
    def _names_differ(cls, suites: list[str]) -> list[str]:
        names = ["validation", "test", *(Path(suite).stem for suite in suites)]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"eval.suites={suites}: two are called {twice[0]} in metrics; give one another name")
        return suites

    @model_validator(mode="after")
    def _k_within_n(self) -> "EvalConfig":
        if bad := [k for k in self.k if not 1 <= k <= self.n]:
            raise ValueError(f"eval.k={bad[0]} must be from 1 to eval.n={self.n}; drop it or raise eval.n")
        return self
