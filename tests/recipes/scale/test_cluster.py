"""A run on a Ray cluster of two nodes is the run of one process, whatever of it is killed: real Ray, real vLLM."""

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
from support.commands import SMALL_COUNTDOWN, call, errors
from support.processes import below, kill, wait_for_end
from support.remote.clusters import skip_where_ray_is_too_slow

from doubleback.recipes.recipe.scale.site import Keeper
from doubleback.rl.engines.fleet.fleet import _Call
from doubleback.rl.learner.gradient.workers import Workers
from doubleback.rl.remote.address import ADDRESS
from doubleback.rl.remote.cluster import LOOPBACK, QUIET, START_ATTEMPTS, Share, _token, open_cluster
from doubleback.rl.remote.remote import DeadRemoteError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

STEPS = 6
SHARDS = 4
SETTINGS = (
    *SMALL_COUNTDOWN,
    f"rollout.prompts_per_step={SHARDS}",
    f"scale.shards={SHARDS}",
    "eval.every=100",
    "eval.n=2",
    "eval.k=[1]",
    "eval.test_problems=2",
    "eval.validation_problems=2",
    "eval.validation_n=2",
    "sync.num_canaries=2",
    "checkpoint.every=1",
    "checkpoint.keep=9",
)
STORE_BYTES = 80 << 20


def train(out, steps, *more):
    return call("train", "countdown", *SETTINGS, f"steps={steps}", "--out", out, *more)


def computed(out):
    """The adapter of every step, and every rollout."""
    files = sorted([*out.glob("checkpoints/*/adapter_model.safetensors"), *out.glob("rollouts/*")])
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def nodes():
    """A cluster of two nodes with two CPUs each, on loopback, with a token; the test may kill and add some."""
    before = below(os.getpid())
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # sockets have short names
    variables = {**QUIET, **LOOPBACK, **_token(), "RAY_TMPDIR": str(folder)}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        patch.delenv(ADDRESS, raising=False)
        from ray.cluster_utils import Cluster  # ray reads these variables as it is imported

        cluster = started(Cluster)
        cluster.add_node(num_cpus=2, object_store_memory=STORE_BYTES)
        patch.setenv(ADDRESS, cluster.address)
        yield cluster
        cluster.shutdown()
    left = below(os.getpid()) - before
    try:
        wait_for_end(left)
    finally:
        kill(left)
        shutil.rmtree(folder, ignore_errors=True)


def started(cluster_class):
    """Ray waits half a minute for its own server, and a busy machine takes longer."""
    node = {"num_cpus": 2, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    for attempt in range(START_ATTEMPTS):
        try:
            return cluster_class(initialize_head=True, head_node_args={**node, "node_ip_address": "127.0.0.1"})
        except Exception as error:  # noqa: BLE001 - Ray raises the bare class
            if attempt + 1 == START_ATTEMPTS:
                skip_where_ray_is_too_slow(error)
    raise AssertionError


class Deaths:
    """Kills in mid-step: an engine's process and an actor of Ray while they sample, a gradient worker's process while
    it computes, a node's raylet; and who was lost.
    """

    def __init__(self, cluster, patch):
        self.cluster, self.pids, self.nodes, self.lost = cluster, set(), set(), []
        self.left = {1: self.kill_process, 2: self.kill_actor, 3: self.kill_node}
        self.handed_out, self.workers = 0, None
        feed, hand_out = _Call._feed, Workers._hand_out

        def feed_and_kill(call, place, rows):
            feed(call, place, rows)
            self.meet([place.remote])
            served = call._crew.served
            if served is not None and (end := self.left.pop(served.version, None)):
                end(place.remote, [it.remote for it in call._crew.places])

        def hand_out_and_kill(workers, seat, step):
            hand_out(workers, seat, step)
            self.meet([seat.remote])
            self.workers = workers
            self.handed_out += 1
            if self.handed_out == SHARDS + 2:
                self.kill_process(seat.remote)

        patch.setattr(_Call, "_feed", feed_and_kill)
        patch.setattr(Workers, "_hand_out", hand_out_and_kill)

    def meet(self, remotes):
        self.pids |= {remote.pid for remote in remotes}
        self.nodes |= {remote.node for remote in remotes}

    def lose(self, remote):
        self.lost.append(f"{remote.name} on {remote.node}")

    def kill_process(self, remote, engines=()):
        self.lose(remote)
        os.kill(remote.pid, signal.SIGKILL)

    def kill_actor(self, remote, engines):
        self.lose(remote)
        remote._ray.kill(remote._actor)

    def kill_node(self, remote, engines):
        """The raylet of the node that is not the trainer's, once all that were replaced are there; another node then
        takes its place.
        """
        everybody = [*engines, *(seat.remote for seat in self.workers._seats)]
        for started in everybody:
            started.started.exception()
        self.meet([started for started in everybody if started.pid])
        (node,) = self.cluster.worker_nodes
        for started in everybody:
            if node.node_id[:6] in started.node:
                self.lose(started)
        os.kill(node.all_processes["raylet"][0].process.pid, signal.SIGKILL)
        self.cluster.add_node(num_cpus=2, object_store_memory=STORE_BYTES)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    out = tmp_path_factory.mktemp("plain") / "run"
    assert train(out, STEPS) == 0
    return computed(out)


def test_two_engines_and_two_workers_that_are_killed_one_of_each_and_none_write_one_run(
    nodes, plain, tmp_path, capfd, monkeypatch
):
    out = tmp_path / "run"
    deaths = Deaths(nodes, monkeypatch)
    assert train(out, STEPS - 2, "scale.cpus=4", "scale.trainers=2") == 0
    shown = [" ".join(line.split()) for line in capfd.readouterr().out.splitlines()]
    for row in ("cluster ", "engines 2, each 1 CPU and ", "gradient workers 2, each 1 CPU and "):
        assert len([line for line in shown if line.startswith(row)]) == 1, shown
    named = [line.split(":")[0] for line in shown if " on " in line and ("replaced, " in line or "anew" in line)]
    assert sorted(named) == sorted(deaths.lost)
    assert len(named) >= 4
    assert deaths.left == {}
    assert len(deaths.nodes) >= 2
    wait_for_end(deaths.pids)
    assert train(out, STEPS - 1, "scale.cpus=2", "scale.trainers=1", "--resume") == 0
    assert "scale.cpus is 2 from now on, it was 4" in capfd.readouterr().out
    wait_for_end(deaths.pids)
    assert train(out, STEPS, "--resume") == 0
    assert computed(out) == plain


def test_what_the_cluster_cannot_give_is_a_line(nodes, tmp_path, run):
    code, _, err = run("train", "countdown", *SETTINGS, "steps=1", "scale.gpus=3", "--out", tmp_path / "run")
    assert code == 2
    (line,) = errors(err)
    assert line.startswith("error: scale.gpus=3: the cluster has 0 that can be given, on 2 nodes: ")


def test_the_trainers_place_is_on_its_own_machine_and_who_asks_late_starts_no_cluster(nodes):
    with open_cluster() as cluster:
        (here,) = [node.name for node in cluster.nodes() if node.is_here]
        places = cluster.reserve([Share(2), Share(2)], is_first_here=True)
        started = [places.start(place, "the place", Keeper, ()) for place in range(2)]
        for remote in started:
            remote.started.result()
        assert [remote.node == here for remote in started] == [True, False]
    with pytest.raises(DeadRemoteError):  # a thread that asks late: Ray would start a cluster for it
        started[0]._call("device", (), None)
    assert not started[0]._ray.is_initialized()
