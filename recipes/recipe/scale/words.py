"""The placement of a run in words: what `doubleback check`, and a run at its start, show of it."""

from collections.abc import Iterator

from doubleback.recipes.recipe.scale.site import Site
from doubleback.recipes.recipe.schema import Recipe
from doubleback.rl.memory import GIB, Memory
from doubleback.rl.remote.cluster import Node, Share

MIB = 1 << 20


def placement_rows(recipe: Recipe, site: Site, memory: Memory) -> Iterator[tuple[str, str]]:
    """A row each for the machines, the trainer, the engines, the gradient workers, and for what travels.

    `memory`: the run's estimate, of which the trainer's part is shown elsewhere.
    """
    placement = site.placement
    yield "cluster", ", ".join(_machine(node) for node in site.nodes)
    own = "no GPU of the cluster" if recipe.scale.gpus is not None else "beside them"
    yield "trainer", f"on this machine, {own if placement.trainer is None else _given(placement.trainer)}"
    cache = recipe.engine.kv_cache_mib
    held = memory.weights + memory.merge + (cache * MIB // placement.num_engines if isinstance(cache, int) else 0)
    yield "engines", f"{placement.num_engines}, each {_given(placement.each)} and {held / GIB:.1f} GiB"
    if placement.num_trainers:
        computed = memory.weights + 2 * memory.gradients + memory.activations + memory.logits
        workers = f"{placement.num_trainers}, each {_given(placement.each)} and {computed / GIB:.1f} GiB"
        yield "gradient workers", f"{workers}, for {recipe.scale.shards} shards"
    else:
        yield "gradient workers", "none: the trainer computes the gradient (scale.trainers=0)"
    adapter = f"the adapter, {memory.gradients / MIB:.1f} MiB"
    back = "; from each worker a shard's gradient, as large" if placement.num_trainers else ""
    yield "travels", f"to each, {adapter}, and problems or samples; from each engine its completions{back}"


def _machine(node: Node) -> str:
    gpus = f" {node.gpus:g} GPUs," if node.gpus else ""
    return f"{node.name}{gpus} {node.cpus:g} CPUs"


def _given(share: Share) -> str:
    """What of a machine a place is given."""
    return f"{share.gpus:g} GPU" if share.gpus else f"{share.cpus:g} CPU{'s' * (share.cpus != 1)}"
