"""Where a run on a cluster has its parts: how many engines and gradient workers there are, and what each is given.

A pure function of the recipe and of what the machines have; nothing is asked of Ray.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from doubleback.rewards.types import ConfigError
from doubleback.rl.remote.cluster import Node, Share
from doubleback.rl.scale import ScaleConfig


@dataclass(frozen=True, slots=True)
class Placement:
    """What is started where: places of one size, the engines' first.

    Example: scale.gpus=8 with scale.trainers=2 and a GPU for the trainer is Placement(Share(1, 1), 5, 2, Share(1, 1)).
    """

    trainer: Share | None
    """What the trainer takes of the cluster, on its own machine. None: nothing that others could be given."""
    num_engines: int
    num_trainers: int
    """Gradient workers; 0: the trainer computes the gradients."""
    each: Share
    """What each of them is given."""

    @property
    def shares(self) -> list[Share]:
        """The trainer's, where it takes one, then those of the engines, then those of the gradient workers."""
        own = [] if self.trainer is None else [self.trainer]
        return own + [self.each] * (self.num_engines + self.num_trainers)

    def place_of_engine(self, index: int) -> int:
        """The number of its share."""
        return (self.trainer is not None) + index

    def place_of_trainer(self, index: int) -> int:
        """The number of the share of a gradient worker."""
        return self.place_of_engine(self.num_engines) + index


def placed(scale: ScaleConfig, nodes: Sequence[Node], threads: int, has_device: bool) -> Placement:
    """The placement of a recipe that asks for a cluster, on these machines. ConfigError where it cannot be.

    `threads`: CPUs of each place on machines without GPUs; `has_device`: the trainer computes on a GPU of its machine.
    """
    is_gpus = scale.gpus is not None
    asked, key = (scale.gpus, "scale.gpus") if is_gpus else (scale.cpus, "scale.cpus")
    each = Share(1, 1) if is_gpus else Share(threads)
    owns_one = is_gpus and has_device and any(node.is_here and node.gpus for node in nodes)
    trainer = each if owns_one else None
    there = sum(_places(node, each) for node in nodes) * (1 if is_gpus else threads)
    number = there if asked == "auto" or asked is None else asked
    if number > there:
        raise ConfigError(
            f"{key}={number}: the cluster has {there} that can be given, {_in_words(nodes, is_gpus)}; lower it, set it "
            "to auto, or add machines"
        )
    left = number // (1 if is_gpus else threads) - owns_one - scale.trainers
    engines = left if scale.engines is None else scale.engines
    if left < 1 or engines > left:
        taken = "the trainer on one of them, " if owns_one else ""
        sizes = "" if is_gpus or threads == 1 else f" of {threads} (OMP_NUM_THREADS)"
        raise ConfigError(
            f"{key}={asked}: {number}{sizes} are too few for {taken}{scale.engines or 1} engines and "
            f"scale.trainers={scale.trainers}, {_in_words(nodes, is_gpus)}; raise it, or lower scale.engines or "
            "scale.trainers"
        )
    return Placement(trainer, engines, scale.trainers, each)


def _places(node: Node, each: Share) -> int:
    """How many places there are on a machine."""
    by_cpus = int(node.cpus // each.cpus)
    return min(by_cpus, int(node.gpus // each.gpus)) if each.gpus else by_cpus


def _in_words(nodes: Sequence[Node], is_gpus: bool) -> str:
    """For example "on 2 nodes: a (1c90db) 4 GPUs and 8 CPUs, b (22eeaf) 4 GPUs and 8 CPUs"."""
    each = [f"{node.name} {f'{node.gpus:g} GPUs and ' if is_gpus else ''}{node.cpus:g} CPUs" for node in nodes]
    return f"on {len(nodes)} node{'s' * (len(nodes) != 1)}: {', '.join(each)}"
