"""The words of knights and knaves: of the questions, and of the traces."""

from doubleback.recipes.pretrain.words import FIRST_WORDS
from doubleback.recipes.tasks.knights.problems import facts
from doubleback.rewards.builtin.knights import NAMES

VOCABULARY: tuple[str, ...] = (
    *FIRST_WORDS,
    *(",", "?", "alike", "differ", "and", "or"),
    *("if", "no", "yes", "back"),
    *NAMES,
    *(f"{name}:" for name in NAMES),
    *facts(NAMES),
)
"""33 words; a word's id is its position. What somebody is is one word, so that a layer of attention finds it."""
