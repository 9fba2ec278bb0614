"""The section `scale`: what contradicts itself is refused in a line, and workers have shards to compute."""

import subprocess
import sys

import pytest

from doubleback.recipes.recipe.loading import load_recipe
from doubleback.rewards.types import ConfigError


def findings(*overrides):
    with pytest.raises(ConfigError) as error:
        load_recipe("countdown", overrides)
    return str(error.value).splitlines()


def test_a_shard_without_any_group_is_refused():
    assert findings("scale.shards=33", "rollout.prompts_per_step=32") == [
        "scale.shards=33 cuts a step by whole groups, and rollout.prompts_per_step=32 are fewer; lower the first or "
        "raise the second"
    ]


def test_workers_have_shards_to_compute():
    assert findings("scale.trainers=3", "scale.shards=2") == [
        "scale.trainers=3 are more than scale.shards=2, and some would have nothing to do; lower the first or raise "
        "the second"
    ]
    assert findings("scale.stall_seconds=9") == [
        "scale.stall_seconds=9.0 has no effect with scale.trainers=0; leave it at 600.0 or set trainers to 1 or more"
    ]
    scales = [load_recipe("countdown", given).scale for given in ([], ["scale.trainers=2"], ["scale.trainers=9"])]
    assert [scale.shards for scale in scales] == [1, 8, 9]


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            ["scale.gpus=8", "scale.cpus=4"],
            "scale.gpus=8 and scale.cpus=4 both say where the run has its places; leave out the second, or the first "
            "on machines without GPUs",
        ),
        (
            ["scale.engines=2"],
            "scale.engines=2 are engines on a cluster, which neither scale.gpus nor scale.cpus asks for; set one of "
            "them, or engine.processes=2 for this machine alone",
        ),
        (
            ["scale.gpus=3", "scale.engines=2", "scale.trainers=2"],
            "scale.gpus=3 are too few for scale.engines=2 and scale.trainers=2, each of which has one of its own; "
            "raise it to 4 or lower these",
        ),
        (
            ["scale.cpus=auto", "engine.processes=2"],
            "engine.processes=2 are processes of this machine, and scale.cpus asks for a cluster; set scale.engines=2 "
            "in its place",
        ),
    ],
)
def test_a_cluster_that_contradicts_itself_is_refused(overrides, line):
    assert findings(*overrides) == [line]


def test_without_a_cluster_no_ray_is_imported():
    code = (
        "import sys; from doubleback.recipes.recipe import assembly; from doubleback.recipes.recipe.loading import *\n"
        "with assembly.open_site(load_recipe('countdown', [])) as site: print(site, 'ray' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["None", "False"]
