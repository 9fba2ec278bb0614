"""The places of a run on a cluster, kept while it goes on: where its engines and gradient workers are started."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from doubleback.recipes.recipe.scale.placement import Placement, placed
from doubleback.recipes.recipe.schema import Recipe
from doubleback.rl.policy.base import is_cuda
from doubleback.rl.remote.actor import ActorRemote
from doubleback.rl.remote.cluster import Cluster, Node, Places, open_cluster
from doubleback.rl.threads import ASKED


@dataclass(frozen=True, slots=True)
class Site:
    """A cluster that was joined, and what the run has of it."""

    placement: Placement
    nodes: Sequence[Node]
    cluster: Cluster
    places: Places

    def engine(self, index: int, make: Callable[..., Any], arguments: Sequence[Any]) -> ActorRemote:
        """An engine in its place, started."""
        return self.places.start(self.placement.place_of_engine(index), f"engine {index + 1}", make, arguments)

    def trainer(self, index: int, name: str, make: Callable[..., Any], arguments: Sequence[Any]) -> ActorRemote:
        """A gradient worker in its place, started."""
        return self.places.start(self.placement.place_of_trainer(index), name, make, arguments)


class Keeper:
    """Holds the trainer's GPU, so that nobody else is given it; it computes nothing."""

    def device(self) -> str:
        """The number of the GPU, as CUDA counts them on its machine."""
        return os.environ["CUDA_VISIBLE_DEVICES"]


@contextmanager
def open_site(recipe: Recipe) -> Iterator[Site | None]:
    """The places of the run, within the block; None where the recipe asks for no cluster, and no ray is imported then.

    ConfigError where the cluster cannot give what is asked for.
    """
    if recipe.scale.cluster_key is None:
        yield None
        return
    before = torch.get_num_threads()
    threads = before if ASKED in os.environ else 1  # torch has read it: it may be a list, or nonsense
    with open_cluster() as cluster:
        nodes = cluster.nodes()
        placement = placed(recipe.scale, nodes, threads, is_cuda())
        places = cluster.reserve(placement.shares, is_first_here=placement.trainer is not None)
        if placement.trainer is not None:
            _use_device(places)
        elif recipe.scale.cpus is not None:
            torch.set_num_threads(threads)  # as those beside it: bits depend on it
        try:
            yield Site(placement, nodes, cluster, places)
        finally:
            torch.set_num_threads(before)


def _use_device(places: Places) -> None:
    """Have the trainer compute on the GPU that the cluster keeps for it."""
    keeper = places.start(0, "the trainer's GPU", Keeper, ())
    number = keeper.call("device").result()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    torch.cuda.set_device(visible.split(",").index(number) if visible else int(number))
