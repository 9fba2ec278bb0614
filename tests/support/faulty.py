"""Engines that fail in ways the field has seen."""

import math
import threading
import time
from dataclasses import replace

from doubleback.rewards.types import ConfigError
from doubleback.rl.engines.engine import Load


class Faulty:
    """A real engine whose adapter goes astray on the way in."""

    def __init__(self, engine, fault, good_pushes=1):
        """A "stale" engine takes `good_pushes` adapters and ignores the later ones; a "nan" one computes after so many,
        for the first token, no number.
        """
        self._engine, self._fault, self._good_pushes, self._pushes = engine, fault, good_pushes, 0

    def load_adapter(self, adapter, version):
        self._pushes += 1
        if self._fault == "serves the base":
            return
        if self._fault == "stale" and self._pushes > self._good_pushes:
            return
        if self._fault in ("no experts", "no attention"):
            kept = "attention" if self._fault == "no experts" else "experts"
            adapter = replace(adapter, targets=tuple(t for t in adapter.targets if t.part == kept))
        if self._fault == "one layer missing":
            adapter = replace(adapter, targets=tuple(t for t in adapter.targets if ".layers.1." not in t.parameter))
        if self._fault == "half":
            adapter = replace(adapter, targets=tuple(replace(t, scaling=t.scaling / 2) for t in adapter.targets))
        self._engine.load_adapter(adapter, version)

    def score(self, sequences):
        first, *others = self._engine.score(sequences)
        return [self._broken(first), *others]

    def sample(self, *args, **kwargs):
        first, *others = self._engine.sample(*args, **kwargs)
        completion, *rest = first.completions
        completion = replace(completion, sampler_logprobs=self._broken(completion.sampler_logprobs))
        return [replace(first, completions=(completion, *rest)), *others]

    def _broken(self, logprobs):
        return (math.nan, *logprobs[1:]) if self._fault == "nan" and self._pushes >= self._good_pushes else logprobs

    def __getattr__(self, name):
        return getattr(self._engine, name)


class Refusing:
    """An engine for a process of its own, which refuses to sample whatever it is asked."""

    def __init__(self, setup, base, tokenizer):
        """Takes what every engine is given."""

    def sample(self, problems, sampling, seeds, on_group=None):
        raise ConfigError(f"problem {problems[0].id} is refused")

    def score(self, sequences):
        return [(0.0,) * len(completion) for _, completion in sequences]

    def close(self):
        """Nothing is held."""


class Told(Refusing):
    """An engine that can say how it stands."""

    def load(self):
        return Load(1, 2, 3, 4, 5)


def silent(setup, base, tokenizer):
    """In place of an engine's constructor: never says anything."""
    threading.Event().wait()


class Busy(Refusing):
    """An engine that computes for four seconds of processor time, and says nothing meanwhile."""

    def score(self, sequences):
        start = time.process_time()
        while time.process_time() - start < 4.0:
            pass
        return [(4.0,)]
