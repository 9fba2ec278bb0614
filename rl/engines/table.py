"""The engines, one row each: what `engine.name` may say, and all that is decided by the name.

The schema checks names against this table and derives from it which settings have no effect. A row says where its class
is, which is imported on use: importing this loads no torch. An engine of your own needs no row: `engine.name` takes its
`package.module:attr` or `path.py:attr`.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRow:
    """What is known of an engine before it is made."""

    location: str
    """`package.module:attr` of what makes it: called with an `rl.engines.setup.EngineSetup`, the base's parameters by
    name and the tokenizer, it returns an `rl.engines.engine.Engine`."""
    reads: frozenset[str]
    """Keys of `engine` that matter to it. Changing another one is refused."""
    can_serve_adapters: bool
    """Whether it can serve an adapter as it is, beside the base; otherwise merged weights alone reach it."""
    needs_base: bool
    """Whether it takes its weights from the base's parameters even where no adapter comes. Otherwise it reads them from
    the model's folder, and a base without an adapter need not be loaded for it."""


ENGINES = {
    "vllm": EngineRow(
        location="doubleback.rl.engines.vllm:VllmEngine",
        reads=frozenset({"kv_cache_mib", "max_num_seqs", "return_routed_experts", "stall_seconds"}),
        can_serve_adapters=True,
        needs_base=False,
    ),
    "transformers": EngineRow(
        location="doubleback.rl.engines.transformers:TransformersEngine",
        reads=frozenset({"max_num_seqs", "return_routed_experts"}),
        can_serve_adapters=False,
        needs_base=True,
    ),
}


def engine_row(name: str) -> EngineRow:
    """The row of `name`; for the location of an engine that is not ours, one that takes nothing for granted."""
    if name in ENGINES:
        return ENGINES[name]
    everything = frozenset().union(*(row.reads for row in ENGINES.values()))
    return EngineRow(location=name, reads=everything, can_serve_adapters=False, needs_base=True)
