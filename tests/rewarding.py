"""What tests of rewards have in common: a validated section of a recipe."""

from doubleback.recipes.loading import validated
from doubleback.rewards.config import RewardConfig


def section(**settings):
    """The reward section with these settings, as a recipe would give it."""
    return validated(RewardConfig, settings)
