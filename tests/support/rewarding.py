"""What tests of rewards have in common: a section of a recipe, pools of workers that load what misbehaves."""

from contextlib import contextmanager

from doubleback.rewards.compose.config import RewardConfig
from doubleback.rewards.contract.call import Samples
from doubleback.rewards.settings import validated
from doubleback.rewards.workers.messages import FunctionSpec, Limits
from doubleback.rewards.workers.pool import WorkerPool
from support.paths import NASTY
from support.processes import children


def section(**settings):
    """The reward section with these settings, as a recipe would give it."""
    return validated(RewardConfig, settings)


def spec(attribute, name=None, **arguments):
    return FunctionSpec(name or attribute, f"{NASTY}:{attribute}", arguments, f"reward.components.{attribute}")


def samples(*completions, **columns):
    return Samples(("?",) * len(completions), completions, columns)


def score(pool, function, completion, **columns):
    (result,) = pool.result(pool.submit(function, samples(completion, **columns)))
    return result


@contextmanager
def kept(*functions, **limits):
    """A pool that has loaded its functions, and the number of its keeper."""
    before = children()
    with WorkerPool(functions, Limits(**limits)) as pool:
        (keeper,) = children() - before
        pool.ready()
        yield pool, keeper
