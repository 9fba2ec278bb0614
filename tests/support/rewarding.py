"""What tests of rewards have in common: a validated section of a recipe."""

from doubleback.rewards.compose.config import RewardConfig
from doubleback.rewards.settings import validated


def section(**settings):
    """The reward section with these settings, as a recipe would give it."""
    return validated(RewardConfig, settings)
