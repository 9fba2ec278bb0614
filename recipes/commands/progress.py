"""Signs of life: how an engine stands while it samples, how far the golds are, what an evaluation has found so far.

Long calls say nothing by themselves, so a thread asks: soon, and then every few seconds, in a pipe too.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Event, Thread
from types import TracebackType
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from doubleback.eval.show.console import Console
from doubleback.eval.statistics.intervals import interval
from doubleback.rewards.sample_lines import is_correct
from doubleback.rewards.types import UNUSABLE
from doubleback.rl.engines.engine import Load, Sampler, load_of

FIRST_SECONDS = 2.0
"""When the first sign comes."""
REFRESH_SECONDS = 2.0
"""How often one comes in a terminal."""
LINE_SECONDS = 10.0
"""How often a line is printed where the output goes to a file."""


def progress_bar(console: Console) -> Progress:
    """A bar with the field `figures` behind it; silent where the output goes to a file."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


@contextmanager
def ticking(console: Console, show: Callable[[], None]) -> Iterator[None]:
    """Within the block `show` is called soon, then every few seconds, from a thread of its own."""
    ended, every = Event(), REFRESH_SECONDS if console.is_terminal else LINE_SECONDS

    def tick() -> None:
        seconds = FIRST_SECONDS
        while not ended.wait(seconds):
            show()
            seconds = every

    thread = Thread(target=tick, name="signs of life", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class Standing:
    """How far an engine is with `num_samples` completions of up to `max_tokens` tokens, in words."""

    def __init__(self, engine: Sampler, num_samples: int, max_tokens: int) -> None:
        self._engine, self._num_samples, self._max_tokens = engine, num_samples, max_tokens
        self._before, self._began = self._load(), time.monotonic()

    def in_words(self) -> str:
        """`4 running, 12 waiting, 8 of 24 done, 1,520 tokens, 95 tokens/s, about 30 s left`.

        The time left is that of completions as long as those that are done; of the longest where none is. Where nobody
        counts tokens it is that of as many completions; an engine that cannot be asked has the seconds alone.
        """
        now, seconds = self._load(), max(time.monotonic() - self._began, 1e-9)
        if now is None or self._before is None:
            return f"for {in_time(seconds)}"
        return standing(self._before, now, seconds, self._num_samples, self._max_tokens)

    def _load(self) -> Load | None:
        return load_of(self._engine)


def standing(before: Load, now: Load, seconds: float, num_samples: int, max_tokens: int) -> str:
    """The words of `Standing`, from two looks at an engine this far apart."""
    done, tokens = now.done - before.done, now.tokens - before.tokens
    done_tokens = now.done_tokens - before.done_tokens
    longest = done_tokens / done if done else max_tokens
    left_tokens = max(0.0, (num_samples - done) * longest - (tokens - done_tokens))
    words = f"{now.running} running, {now.waiting} waiting, {done:,} of {num_samples:,} done"
    if done and not tokens:
        return f"{words}, about {in_time((num_samples - done) * seconds / done)} left"
    words = f"{words}, {tokens:,} tokens"
    if not tokens:
        return words
    rate = tokens / seconds
    limit = "about" if done else "at most"
    return f"{words}, {rate:,.0f} tokens/s, {limit} {in_time(left_tokens / rate)} left"


def in_time(seconds: float) -> str:
    """`40 s`, `9 min`, `2 h 5 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


@contextmanager
def watching(console: Console, what: str, words: Callable[[], str]) -> Iterator[None]:
    """Within the block, `what` and how it stands: beside a spinner in a terminal, else a line now and then."""
    with console.status(what) as status:

        def show() -> None:
            text = f"{what}: {words()}"
            status.update(text)
            if not console.is_terminal:
                console.print(text, highlight=False, soft_wrap=True)

        with ticking(console, show):
            yield


class Share:
    """How much of something is done, and when the rest will be: called with the share, asked for words."""

    def __init__(self) -> None:
        self._share, self._began = 0.0, time.monotonic()

    def __call__(self, share: float) -> None:
        """So much is done."""
        self._share = share

    def in_words(self) -> str:
        """`43 %, about 20 s left`."""
        if not self._share:
            return "0 %"
        left = (time.monotonic() - self._began) * (1 / self._share - 1)
        return f"{self._share:.0%}".replace("%", " %") + f", about {in_time(left)} left"


class EvalProgress:
    """Problems done, how the engine stands, and pass@1 so far with its 95 % interval."""

    def __init__(self, console: Console, num_problems: int, n: int, engine: Standing | None = None) -> None:
        self._console, self._num_problems, self._is_single, self._engine = console, num_problems, n == 1, engine
        self._rates: list[float] = []
        self._progress = progress_bar(console)
        self._task = self._progress.add_task("problems", total=num_problems, figures="")
        self._ticking = ticking(console, self._show)

    def __enter__(self) -> "EvalProgress":
        self._progress.start()
        self._ticking.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ticking.__exit__(None, None, None)
        self._progress.stop()

    def observe(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Count a finished problem."""
        judged = [is_correct(line) for line in lines if line["verdict"] not in UNUSABLE]
        self._rates.append(sum(judged) / len(judged) if judged else math.nan)
        self._progress.update(self._task, completed=len(self._rates))
        if len(self._rates) == self._num_problems:
            self._show()

    def _show(self) -> None:
        rates, texts = list(self._rates), []
        if self._engine is not None and len(rates) < self._num_problems:
            texts.append(self._engine.in_words())
        if rates:
            estimate = interval(rates, self._is_single)
            texts.append(f"pass@1 {estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]")
        figures = "  ".join(texts)
        self._progress.update(self._task, figures=figures)
        if not self._console.is_terminal:
            self._console.print(f"{len(rates)}/{self._num_problems}  {figures}", highlight=False, soft_wrap=True)
