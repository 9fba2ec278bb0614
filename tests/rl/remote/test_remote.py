"""One contract for what lives elsewhere, in a process here or in an actor of a cluster."""

import os
import signal
from threading import Event

import psutil
import pytest
import torch
from support.processes import below, wait_for_end, wait_until
from support.remote.clusters import own_cluster
from support.remote.hosted import Hosted

from doubleback.rewards.types import ConfigError
from doubleback.rl.remote.cluster import Share
from doubleback.rl.remote.process import ProcessRemote
from doubleback.rl.remote.remote import DeadRemoteError


@pytest.fixture(scope="module")
def cluster():
    before, handlers = below(os.getpid()), [signal.getsignal(it) for it in (signal.SIGINT, signal.SIGTERM)]
    with own_cluster(2) as opened:
        assert [signal.getsignal(it) for it in (signal.SIGINT, signal.SIGTERM)] == handlers
        yield opened
        assert not [pid for pid in below(os.getpid()) - before if is_exposed(pid)]
    wait_for_end(below(os.getpid()) - before)


@pytest.fixture(scope="module", params=["process", pytest.param("actor", marks=pytest.mark.slow)])
def start(request):
    """Starts an object with a number, in one of two places."""
    if request.param == "process":
        yield lambda place, number: ProcessRemote("the object", Hosted, (number,))
    else:
        places = request.getfixturevalue("cluster").reserve([Share(), Share()])
        yield lambda place, number: places.start(place, "the object", Hosted, (number,))


def is_exposed(pid):
    """Whether a process listens beyond this machine."""
    try:
        found = psutil.Process(pid).net_connections("inet")
    except psutil.Error:
        return False
    return any(it.status == psutil.CONN_LISTEN and it.laddr.ip.removeprefix("::ffff:") != "127.0.0.1" for it in found)


@pytest.fixture(scope="module")
def remote(start):
    made = start(0, 40)
    made.started.result()
    yield made
    pid = made.call("pid").result()
    made.close()
    wait_for_end([pid])


@pytest.fixture
def doomed(start):
    made = start(1, 40)
    made.started.result()
    yield made
    made.kill()


def test_calls_are_answered_in_order_and_others_beside_them(remote):
    assert remote.call("add", 2).result() == 42
    parts, has_begun = [], Event()
    slow = remote.call("count", 3, on_part=lambda part: (parts.append(part), has_begun.set()))
    late = remote.call("add", 5)
    has_begun.wait()
    assert not late.done()
    assert remote.beside("release").result() == "released"
    assert (slow.result(), parts) == ([2], [0, 1, 2])  # of the calls, the late one had not come then
    assert late.result() == 45
    assert torch.equal(remote.call("doubled", torch.arange(3)).result(), torch.tensor([0, 2, 4]))


def test_an_error_has_its_name_and_ends_nothing(remote):
    with pytest.raises(ConfigError, match="no such problem"):
        remote.call("refuse", "no such problem").result()
    assert remote.call("add", 1).result() == 41


def test_what_it_computes_is_known(remote):
    remote.call("work", 0.3).result()
    wait_until(lambda: remote.processor_seconds() >= 0.3)


@pytest.mark.slow
def test_it_stands_back_and_has_its_share_of_threads(remote):
    pid = remote.call("pid").result()
    assert psutil.Process(pid).nice() >= psutil.Process().nice() + 5
    assert remote.call("threads").result() == (torch.get_num_threads() if remote.node == "this machine" else 1)


@pytest.mark.slow
def test_what_is_under_way_and_what_comes_later_has_died_with_it(doomed):
    under_way, waiting = doomed.call("end", signal.SIGKILL), doomed.call("add", 1)
    with pytest.raises(DeadRemoteError, match=r"its process .*has ended"):
        under_way.result()  # before another is asked beside it: until it has ended that may still be answered
    for future in (waiting, doomed.beside("pid")):
        with pytest.raises(DeadRemoteError, match=r"its process .*has ended"):
            future.result()
    with pytest.raises(DeadRemoteError):
        doomed.call("add", 1).result()


@pytest.mark.slow
def test_a_fault_of_the_object_ends_it(doomed):
    with pytest.raises(DeadRemoteError):
        doomed.call("break_down").result()
    with pytest.raises(DeadRemoteError):
        doomed.call("add", 1).result()


@pytest.mark.slow
def test_one_that_is_stopped_keeps_nobody_waiting_who_asks_until_it_is_killed(doomed):
    pid = doomed.call("pid").result()
    os.kill(pid, signal.SIGSTOP)
    future = doomed.call("add", "x" * (1 << 22))
    seconds = doomed.processor_seconds()
    assert not future.done()
    assert doomed.processor_seconds() - seconds < 1
    doomed.kill()
    with pytest.raises(DeadRemoteError):
        future.result()
    wait_for_end([pid])


@pytest.mark.slow
def test_one_that_cannot_be_made_says_why(start):
    refused = start(1, -1)
    with pytest.raises(ConfigError, match="-1 is refused"):
        refused.started.result()
    refused.kill()


@pytest.mark.slow
def test_a_cluster_without_room_says_what_is_free(cluster):
    with pytest.raises(
        ConfigError, match=r"scale: the cluster has no room for 9 CPUs and 0 GPUs in 1 places: there are 2"
    ):
        cluster.reserve([Share(cpus=9)])
    (node,) = cluster.nodes()
    assert (node.cpus, node.gpus) == (2, 0)
