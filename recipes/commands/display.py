"""What a person sees while a run goes on."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType

from doubleback.eval.show.console import Console
from doubleback.recipes.commands.progress import progress_bar, ticking
from doubleback.recipes.commands.show import figures
from doubleback.rl.objective.balance import COLLAPSED_SHARE

SHARE = "experts/largest_share"


class Display:
    """One progress line in a terminal; one plain line per step where the output goes to a file."""

    def __init__(self, console: Console, steps: int, start: int) -> None:
        self._console, self._steps = console, steps
        self._progress = progress_bar(console)
        self._task = self._progress.add_task("training", total=steps, completed=start, figures="")

    def __enter__(self) -> "Display":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    @contextmanager
    def watching(self, what: str, words: Callable[[], str]) -> Iterator[None]:
        """Within the block, say what goes on in the place of training, and how it stands."""
        self._progress.update(self._task, description=what)

        def show() -> None:
            self._progress.update(self._task, description=f"{what}: {words()}")
            if not self._console.is_terminal:
                self._console.print(f"{what}: {words()}", highlight=False, soft_wrap=True)

        with ticking(self._console, show):
            yield
        self._progress.update(self._task, description="training")

    def observe(self, step: int, metrics: dict[str, float]) -> None:
        """Show a finished step."""
        shown = figures(metrics)
        self._progress.update(self._task, completed=step, figures=shown)
        if not self._console.is_terminal:
            self._console.print(f"step {step}/{self._steps}  {shown}", highlight=False, soft_wrap=True)


class CollapseWarning:
    """One line, once, when a trained router sends most tokens to one expert, or when nobody can tell."""

    def __init__(self, console: Console) -> None:
        self._console, self._has_warned = console, False

    def observe(self, step: int, metrics: Mapping[str, float]) -> None:
        """Look at a finished step."""
        share = metrics.get(SHARE, math.nan)
        # In this form NaN, and a share that nobody reported, is no reason to be silent.
        if step == 0 or self._has_warned or share <= COLLAPSED_SHARE:
            return
        self._has_warned = True
        found = f"is {share:.2f}, above {COLLAPSED_SHARE}: the router that is trained (lora.train_router) collapses"
        if math.isnan(share):
            found = "is not known, and lora.train_router=true: nobody would see the router collapse"
        self._console.print(f"step {step}: {SHARE} {found}", highlight=False, soft_wrap=True)
