"""The gradient of a step: cut into shards, computed shard by shard, summed in their order."""
