"""The section `scale`: what contradicts itself is refused in a line, and workers have shards to compute."""

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
