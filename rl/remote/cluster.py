"""Objects on a cluster, as Ray actors. The one module that imports ray, and only once a cluster is asked for.

Of Ray this uses actors, the object store and placement groups. Ray brings nothing back by itself: an actor that it
restarted would serve the bare base, and a call that it repeated would be answered as if nothing had been (max_restarts
and max_task_retries are 0). Who replaces what died is `rl.engines.fleet.health` and `rl.learner.gradient.workers`.

Which cluster that is, `rl.remote.address` says. One that is started here listens on loopback alone, with a token of its
own in a private folder, and is gone with the block.
"""

import atexit
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from secrets import token_hex
from threading import current_thread, main_thread
from typing import Any

from doubleback.rewards.types import ConfigError, first_line
from doubleback.rl.remote.actor import ActorRemote, Host
from doubleback.rl.remote.address import running_cluster

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "5",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ENABLE_AUTO_CONNECT": "0",
}
"""Variables of every cluster: nothing is reported to anybody; workers stand back behind the trainer, a third as far as
Ray lets them; and a thread that asks Ray for something after the cluster was left starts none of its own."""
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""What has Ray listen on 127.0.0.1 instead of on every interface. It is named after where that is the default."""
STORE_BYTES = 256 << 20
"""Room of the object store of a cluster that is started here: adapters and groups, not models."""
START_ATTEMPTS = 3
"""How often a cluster is started at most."""
PLACE_SECONDS = 120.0
"""How long the places may take that a cluster has room for."""


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the cluster."""

    name: str
    """Host name and the first digits of Ray's number of it, for example "gpu-3 (1c90db)"."""
    cpus: float
    gpus: float
    memory: int
    """Bytes."""
    is_here: bool = False
    """Whether it is the one on which the trainer runs."""


@dataclass(frozen=True, slots=True)
class Share:
    """What an object is given of a machine."""

    cpus: float = 1
    gpus: float = 0


class Cluster:
    """A cluster that this process has joined. Made by `open_cluster`."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._host = ray.remote(concurrency_groups={"beside": 4})(Host)

    def nodes(self) -> list[Node]:
        """The machines that are alive."""
        here = self._here
        return [
            Node(
                _name(it),
                it["Resources"].get("CPU", 0),
                it["Resources"].get("GPU", 0),
                int(it["Resources"].get("memory", 0)),
                it["NodeID"] == here,
            )
            for it in self._ray.nodes()
            if it["Alive"]
        ]

    @property
    def _here(self) -> str:
        node_id: str = self._ray.get_runtime_context().get_node_id()
        return node_id

    def reserve(self, shares: Sequence[Share], is_first_here: bool = False) -> "Places":
        """A place for each share, kept until the cluster is left; the first on this machine where that is asked for.

        ConfigError where there is no room for all.
        """
        from ray.util.placement_group import placement_group

        total = self._ray.cluster_resources()
        for key, asked in (("CPU", sum(it.cpus for it in shares)), ("GPU", sum(it.gpus for it in shares))):
            if asked > total.get(key, 0):
                raise self._no_room(shares, "there are", total)
        bundles = [{"CPU": share.cpus, **({"GPU": share.gpus} if share.gpus else {})} for share in shares]
        first = [{"ray.io/node-id": self._here}] if is_first_here else [{}]
        selectors = [*first, *({} for _ in shares[1:])] if is_first_here else None
        group = placement_group(bundles, strategy="PACK", bundle_label_selector=selectors)
        if not group.wait(PLACE_SECONDS):
            raise self._no_room(shares, "free are", self._ray.available_resources())
        return Places(self, group, shares)

    def _no_room(self, shares: Sequence[Share], what: str, found: Mapping[str, float]) -> ConfigError:
        number = len(self.nodes())
        return ConfigError(
            f"scale: the cluster has no room for {_asked(shares)}: {what} {found.get('CPU', 0):g} CPUs and "
            f"{found.get('GPU', 0):g} GPUs on {number} node{'s' * (number > 1)}; ask for less"
        )

    def share(self, value: Any) -> Any:
        """The value in the object store, to be an argument of calls of several remotes: it then travels once a node."""
        return self._ray.put(value)


class Places:
    """Places of a cluster, by number."""

    def __init__(self, cluster: Cluster, group: Any, shares: Sequence[Share]) -> None:
        self._cluster, self._group, self._shares = cluster, group, shares

    def start(self, place: int, name: str, make: Callable[..., Any], arguments: Sequence[Any]) -> ActorRemote:
        """An object in that place, which must be free: `make(*arguments)` makes it there."""
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy as Strategy

        share = self._shares[place]
        host = self._cluster._host.options(
            num_cpus=share.cpus,
            num_gpus=share.gpus,
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy=Strategy(self._group, placement_group_bundle_index=place),
        )
        threads = max(1, int(share.cpus))
        return ActorRemote(name, (self._cluster._ray, _where), lambda: host.remote(threads), make, arguments)


@contextmanager
def open_cluster(cpus: float | None = None, gpus: float | None = None) -> Iterator[Cluster]:
    """The running cluster that RAY_ADDRESS or `ray start` names; else one of this machine alone, within the block.

    `cpus`, `gpus`: what a cluster that is started here says it has; None: what there is. ConfigError without ray, where
    the address leads nowhere, or where the cluster is another user's and was not asked for by name.
    """
    if find_spec("ray") is None:
        raise ConfigError("scale: needs ray, which is not installed; pip install 'doubleback[scale]'")
    running = running_cluster()
    _require_token_is_read(running)
    path = {"PYTHONPATH": os.pathsep.join(sys.path)}  # what can be imported here can be there
    with _environment({**QUIET, **({} if running else {**LOOPBACK, **_token(), **path})}):
        import ray

        with tempfile.TemporaryDirectory(prefix="doubleback-ray-") as folder:
            options: dict[str, Any] = {"address": running}
            if not running:
                here = {"include_dashboard": False, "object_store_memory": STORE_BYTES, "_temp_dir": folder}
                options = {"address": "local", "num_cpus": cpus, "num_gpus": gpus, **here}
            with _own_signals():
                _join(ray, options, running or "this machine")
            try:
                yield Cluster(ray)
            finally:
                ray.shutdown()


def _join(ray: Any, options: Mapping[str, Any], where: str) -> None:
    """Join the cluster, or start it. ConfigError where that fails.

    A busy machine may be too slow for the limit that Ray has for its start, which is its own and fixed: then again.
    """
    for attempt in range(START_ATTEMPTS):
        try:
            ray.init(**options, log_to_driver=False, configure_logging=False)
            return
        except Exception as error:  # Ray raises the bare class where its start takes too long
            ray.shutdown()
            if attempt + 1 == START_ATTEMPTS or type(error) is not Exception:
                raise ConfigError(f"scale: no cluster at {where}: {first_line(error)}") from error


@contextmanager
def _own_signals() -> Iterator[None]:
    """What this process does on a signal stays so: Ray would have it end at once, without a checkpoint."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        if current_thread() is main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


def _require_token_is_read(running: str | None) -> None:
    """ConfigError where a cluster would be started with a token that this process cannot have: ray reads it once."""
    if not running and "ray" in sys.modules and "RAY_AUTH_MODE" not in os.environ and not _token.cache_info().currsize:
        raise ConfigError(
            "scale: ray was imported before, without a token, and this process can start no cluster any more; import "
            "it later, or set RAY_AUTH_MODE and RAY_AUTH_TOKEN_PATH before"
        )


@cache
def _token() -> Mapping[str, str]:
    """The variables that say where this process's token is: a file that nobody else can read, gone with the process.

    One a process: Ray reads it once.
    """
    folder = tempfile.TemporaryDirectory(prefix="doubleback-token-")
    atexit.register(folder.cleanup)
    path = Path(folder.name, "token")
    path.write_text(token_hex(32), encoding="utf-8")
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(path)}


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Within the block these variables are set; Ray's, which starts with RAY_, not where the user has set them."""
    before = dict(os.environ)
    os.environ.update({name: it for name, it in variables.items() if not name.startswith("RAY_") or name not in before})
    try:
        yield
    finally:
        for name in {*variables, "RAY_AUTH_MODE"}:
            os.environ.pop(name, None)
        os.environ.update(before)


def _name(node: Mapping[str, Any]) -> str:
    return f"{node['NodeManagerHostname']} ({node['NodeID'][:6]})"


def _where() -> str:
    """The node of the actor in which this is called."""
    import ray

    node_id = ray.get_runtime_context().get_node_id()
    return next(_name(node) for node in ray.nodes() if node["NodeID"] == node_id)


def _asked(shares: Sequence[Share]) -> str:
    return f"{sum(it.cpus for it in shares):g} CPUs and {sum(it.gpus for it in shares):g} GPUs in {len(shares)} places"
