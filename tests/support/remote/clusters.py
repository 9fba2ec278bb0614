"""A Ray cluster of this machine alone, for a test; where Ray does not start, the test is skipped with the reason."""

from contextlib import ExitStack, contextmanager

import pytest

from doubleback.rewards.types import ConfigError
from doubleback.rl.remote.cluster import open_cluster


@contextmanager
def own_cluster(cpus):
    with ExitStack() as stack:
        try:
            opened = stack.enter_context(open_cluster(cpus=cpus, gpus=0))
        except ConfigError as error:
            skip_where_ray_is_too_slow(error)
        yield opened


def skip_where_ray_is_too_slow(error):
    """Ray waits half a minute for its own server, and a busy machine takes longer; any other error is one."""
    if "GCS" not in str(error):
        raise error
    pytest.skip(f"Ray did not start here: {error}")
