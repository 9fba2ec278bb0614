"""Rewards and symbolic checks in processes that can be killed: pool, keeper, worker."""
