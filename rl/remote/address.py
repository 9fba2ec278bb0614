"""Which Ray cluster a run joins. This imports no ray.

The one that RAY_ADDRESS names; else the one that `ray start` has left word of, if that was the same user and it
answers; else none.
"""

import os
import socket
from pathlib import Path

from doubleback.rewards.types import ConfigError, first_line

ADDRESS = "RAY_ADDRESS"
"""The variable that says where a running cluster is; `local`: none is joined."""
STARTED_HERE = Path("/tmp/ray/ray_current_cluster")
"""Where `ray start` leaves the address of the cluster that this machine belongs to."""
ANSWER_SECONDS = 5.0
"""How long the machine of a running cluster may take to answer."""


def running_cluster() -> str | None:
    """The address of the cluster to join; None: there is none. ConfigError where it must not be joined, or cannot."""
    asked = os.environ.get(ADDRESS)
    if asked == "local" or (not asked and not STARTED_HERE.is_file()):
        return None
    if asked and "://" in asked:
        raise ConfigError(f"{ADDRESS}={asked} is a client's; run the command on a machine of the cluster, as HOST:PORT")
    if asked == "auto":
        raise ConfigError(f"{ADDRESS}=auto may be anybody's cluster; give HOST:PORT, `local`, or unset it")
    if asked:
        _require_answer(asked, f"{ADDRESS}={asked}", f"start it, or set {ADDRESS}=local for this machine alone")
        return asked
    owner = STARTED_HERE.stat().st_uid
    found = STARTED_HERE.read_text(encoding="utf-8").strip()
    if owner != os.geteuid():
        raise ConfigError(
            f"scale: the cluster {found} was started by another user (uid {owner}, {STARTED_HERE}); set "
            f"{ADDRESS}={found} if you may join it, or {ADDRESS}=local for this machine alone"
        )
    way_out = f"`ray stop` removes what is left of it, and {ADDRESS}=local leaves it aside"
    _require_answer(found, f"{found}, of which {STARTED_HERE} says that it runs,", way_out)
    return found


def _require_answer(address: str, what: str, way_out: str) -> None:
    """ConfigError unless somebody listens there: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), ANSWER_SECONDS).close()
    except (OSError, ValueError) as error:
        raise ConfigError(f"scale: no cluster answers: {what} {first_line(error)}; {way_out}") from None
