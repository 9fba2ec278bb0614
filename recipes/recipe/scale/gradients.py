"""Who computes a run's gradients: the trainer itself, or workers in processes of their own."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from doubleback.recipes.recipe.scale.site import Site
from doubleback.recipes.recipe.schema import Recipe
from doubleback.rl.learner.gradient.shards import Gradients, Here
from doubleback.rl.learner.gradient.worker import GradientWorker, WorkerSetup
from doubleback.rl.learner.gradient.workers import Limits, Workers
from doubleback.rl.policy.lora import hash_tensors
from doubleback.rl.remote.process import ProcessRemote, device_apart
from doubleback.rl.remote.remote import Remote
from doubleback.rl.types import ModelSource


@contextmanager
def gradients(
    recipe: Recipe,
    model: ModelSource,
    base: Mapping[str, Tensor],
    say: Callable[[str], None],
    site: Site | None = None,
) -> Iterator[tuple[Gradients, Callable[[], None]]]:
    """Who computes them, within the block, and a function that returns once all of them are there.

    `base`: the trainer's own tensors, which those of the workers must be. `say` is given a line for each worker that
    is replaced. `site`: where they are, if it is on a cluster.
    """
    scale = recipe.scale
    if scale.trainers == 0:
        yield Here(scale.shards), lambda: None
        return
    setup = WorkerSetup(model, recipe.lora, recipe.algorithm, recipe.optim)

    def start(index: int, name: str) -> Remote:
        if site is not None:
            return site.trainer(index, name, GradientWorker, (setup,))
        # Behind the engines in the order of devices, where these have some of their own.
        number = recipe.num_engine_processes + index
        apart = device_apart(number, torch.cuda.device_count(), os.environ.get("CUDA_VISIBLE_DEVICES"))
        return ProcessRemote(name, GradientWorker, (setup,), apart)

    limits = Limits(hash_tensors(base), scale.stall_seconds, "scale.stall_seconds")
    share = site.cluster.share if site is not None else lambda value: value
    workers = Workers(start, scale.trainers, scale.shards, limits, say, share)
    try:
        yield workers, workers.require_started
    finally:
        workers.close()
