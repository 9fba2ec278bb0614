"""Where a run on a cluster has its parts, worked out by hand; and what the cluster cannot give, in a line."""

import pytest

from doubleback.recipes.recipe.scale.placement import Placement, placed
from doubleback.rewards.types import ConfigError
from doubleback.rl.remote.cluster import Node, Share
from doubleback.rl.scale import ScaleConfig

HERE = Node("here (aaaaaa)", 16, 4, 1 << 40, is_here=True)
THERE = Node("there (bbbbbb)", 16, 4, 1 << 40)
HEAD = Node("head (cccccc)", 2, 0, 1 << 34, is_here=True)
GPU = Share(1, 1)


@pytest.mark.parametrize(
    ("asked", "nodes", "threads", "expected"),
    [
        ({"gpus": 8}, [HERE, THERE], 1, Placement(GPU, 7, 0, GPU)),
        ({"gpus": "auto", "trainers": 2}, [HERE, THERE], 4, Placement(GPU, 5, 2, GPU)),
        ({"gpus": 4, "engines": 1, "trainers": 2}, [HERE], 1, Placement(GPU, 1, 2, GPU)),
        ({"gpus": "auto", "trainers": 1}, [HEAD, THERE], 1, Placement(None, 3, 1, GPU)),
        ({"cpus": 4, "trainers": 2}, [HEAD, HEAD], 1, Placement(None, 2, 2, Share(1))),
        ({"cpus": "auto"}, [HEAD, Node("odd (dddddd)", 5, 0, 1)], 2, Placement(None, 3, 0, Share(2))),
        ({"cpus": 3, "engines": 2}, [HEAD, HEAD], 1, Placement(None, 2, 0, Share(1))),
    ],
)
def test_the_trainer_has_its_gpu_the_workers_theirs_and_the_engines_what_is_left(asked, nodes, threads, expected):
    assert placed(ScaleConfig(**asked), nodes, threads, has_device=True) == expected


def test_every_part_has_a_place_of_its_own():
    placement = Placement(GPU, 2, 3, GPU)
    engines = [placement.place_of_engine(index) for index in range(2)]
    workers = [placement.place_of_trainer(index) for index in range(3)]
    assert [0, *engines, *workers] == list(range(len(placement.shares)))
    alone = Placement(None, 1, 1, Share(1))
    assert [alone.place_of_engine(0), alone.place_of_trainer(0)] == list(range(len(alone.shares)))


@pytest.mark.parametrize(
    ("asked", "nodes", "threads", "line"),
    [
        (
            {"gpus": 9},
            [HERE, THERE],
            1,
            "scale.gpus=9: the cluster has 8 that can be given, on 2 nodes: here (aaaaaa) 4 GPUs and 16 CPUs, there "
            "(bbbbbb) 4 GPUs and 16 CPUs; lower it, set it to auto, or add machines",
        ),
        (
            {"gpus": "auto", "trainers": 1},
            [Node("small (eeeeee)", 8, 2, 1, is_here=True)],
            1,
            "scale.gpus=auto: 2 are too few for the trainer on one of them, 1 engines and scale.trainers=1, on 1 node: "
            "small (eeeeee) 2 GPUs and 8 CPUs; raise it, or lower scale.engines or scale.trainers",
        ),
        (
            {"cpus": 4, "engines": 3},
            [HEAD, HEAD],
            2,
            "scale.cpus=4: 4 of 2 (OMP_NUM_THREADS) are too few for 3 engines and scale.trainers=0, on 2 nodes: head "
            "(cccccc) 2 CPUs, head (cccccc) 2 CPUs; raise it, or lower scale.engines or scale.trainers",
        ),
    ],
)
def test_what_the_cluster_cannot_give_is_refused_by_name(asked, nodes, threads, line):
    with pytest.raises(ConfigError) as error:
        placed(ScaleConfig(**asked), nodes, threads, has_device=True)
    assert str(error.value) == line
