"""The reward section of a recipe."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Field, field_serializer, model_validator

from doubleback.rewards.builtin.table import JUDGES
from doubleback.rewards.nearest import nearest
from doubleback.rewards.settings import MayChange, Mebibytes, Seconds, Section

Range = Annotated[list[float], Field(min_length=2, max_length=2)]
"""[low, high]"""


PYTHON = "python:"
"""Before the name of a function that was given as an object: no file says where it lies."""


def function_name(function: Callable[..., Any]) -> str:
    """The name under which a function that was given as an object stands in recipe.yaml."""
    name = getattr(function, "__qualname__", None) or getattr(function, "__name__", type(function).__name__)
    return f"{PYTHON}{name}"


class Gate(Section):
    """A condition: another component's value must be high enough."""

    component: str
    """Whose raw value opens the gate."""
    at_least: float = 1.0
    """The value from which it is open. Closed too where that component does not apply."""


class ComponentConfig(Section):
    """One measurement, and how it counts towards the reward."""

    short_for = "weight"

    weight: float = 1.0
    """What the component's value is multiplied by. 0: measured, not rewarded."""
    function: str | Callable[..., Any] | None = None
    """A name (`doubleback list`), `package.module:attr` or `path.py:attr`; in Python also the function itself.
    Default: the component's own name."""
    args: Annotated[dict[str, Any], Field(default_factory=dict)]
    """Keyword arguments of the function, class or factory, checked against its signature."""
    only_if: Gate | None = None
    """Counts 0 unless another component is high enough: format only if correct, or correct only if in format."""
    clip: Range | None = None
    """Bounds of the raw value, before the weight."""
    scope: Literal["sample", "group"] | None = None
    """What one call sees: one completion, or all of a problem. Default: what the function asks for, else sample."""
    conversational: bool = False
    """Prompts and completions as chat messages, for functions written for those (`trl.rewards:accuracy_reward`)."""

    @model_validator(mode="before")
    @classmethod
    def _bare_function(cls, data: Any) -> Any:
        return {"function": data} if callable(data) else data

    @field_serializer("function")
    def _name_what_has_no_text(self, function: str | Callable[..., Any] | None) -> str | None:
        """The function itself is named in the run's recipe.yaml, so that a resume can tell it from another."""
        return function_name(function) if callable(function) else function


class RewardConfig(Section):
    """The components of a reward, how they are combined, and where they run."""

    components: Annotated[dict[str, ComponentConfig], Field(min_length=1)]
    """Name -> what is measured, and how it counts. A number is short for `{weight: number}`, in Python a function for
    `{function: function}`."""
    judge: str | None = None
    """The component whose verdict is the completion's, in training and evaluation alike.

    Default: the only component there is, or the only one whose function is built in and judges, as `math` does.
    """
    combine: Literal["sum", "product"] = "sum"
    """How the weighted components make the reward. Weight 0 stays out of a product."""
    clip: Range | None = None
    """Bounds of the reward itself."""
    workers: Annotated[int, Field(ge=1, le=1024), MayChange()] = 1
    """Processes for each function that is not built in, and for symbolic checks; none where nothing needs one."""
    timeout_seconds: Seconds = 2.0
    """Wall-clock limit per completion in a worker; a call for a whole group has as many times that."""
    memory_mib: Annotated[Mebibytes, Field(ge=16)] = 1024
    """What a worker and all that it starts may allocate together, beyond what loading the function took."""
    processes: Annotated[int, Field(ge=1, le=65_536)] = 64
    """How many processes a worker and all that it starts may be at a time."""
    file_mib: Mebibytes = 1024
    """How large a file a worker may write once it has loaded."""
    load_seconds: Annotated[Seconds, MayChange()] = 120.0
    """Limit for a worker to load its function."""
    environment: list[str] = []  # noqa: RUF012 (frozen, validated, never shared)
    """Variables of the environment that workers get beside the few that all get (docs/rewards.md): JUDGE_API_KEY."""
    first_call_seconds: Annotated[float, Field(ge=0, le=86_400)] = 60.0
    """What the first call of a function in a fresh worker may take beyond timeout_seconds: it may import torch then. A
    worker that replaces another has three times what the slowest first call took, at most this."""
    stall_seconds: Seconds = 30.0
    """How long, beyond the limits above, no worker need answer anything. Every answer starts the wait anew: a slow
    reward never ends a run."""
    max_faults: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Share of a step's completions with the verdict timeout or grader_error above which the run stops."""

    @model_validator(mode="after")
    def _names_and_bounds_fit(self) -> "RewardConfig":
        if self.judge is None and len(self._judges()) != 1:
            names = ", ".join(self.components)
            raise ValueError(f"reward.judge is not set; name the component that tells right from wrong, one of {names}")
        if self.judge is not None and self.judge not in self.components:
            hint = nearest(self.judge, self.components)
            raise ValueError(f"reward.judge={self.judge!r} is none of reward.components; {hint}")
        for name, component in self.components.items():
            gate = component.only_if
            others = self.components.keys() - {name}
            if gate is not None and gate.component not in others:
                hint = nearest(gate.component, others)
                key = f"reward.components.{name}.only_if.component"
                raise ValueError(f"{key}={gate.component!r} is no other component; {hint}")
        bounds = {f"reward.components.{name}.clip": item.clip for name, item in self.components.items()}
        for key, clip in {**bounds, "reward.clip": self.clip}.items():
            if clip is not None and not clip[0] <= clip[1]:
                raise ValueError(f"{key}={clip} must be [low, high] with low <= high")
        return self

    @property
    def judge_name(self) -> str:
        """The component that judges."""
        return self.judge or self._judges()[0]

    def _judges(self) -> list[str]:
        names = list(self.components)
        return names if len(names) == 1 else [n for n in names if (self.components[n].function or n) in JUDGES]
