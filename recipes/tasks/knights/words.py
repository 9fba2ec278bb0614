"""The words of knights and knaves: of the questions, and of the traces."""

from doubleback.recipes.pretrain.words import FIRST_WORDS
from doubleback.recipes.tasks.knights.problems import claims, facts
from doubleback.rewards.builtin.knights import NAMES

VOCABULARY: tuple[str, ...] = (
    *FIRST_WORDS,
    *(",", "?", "alike", "differ", "and", "or"),
    *("if", "so", "true", "false", "open", "no", "yes", "back"),
    *NAMES,
    *(f"{name}:" for name in NAMES),
    *claims(NAMES),
    *facts(NAMES),
)
"""45 words; a word's id is its position. What somebody is is one word, so that one layer of attention finds it."""
