"""Which data sets of reasoning-gym 0.1.25 have answers that our graders can judge, and why the others have not."""

from doubleback.rewards.nearest import nearest
from doubleback.rewards.types import ConfigError

SHORT = frozenset(
    (
        *("aiw", "base_conversion", "basic_arithmetic", "bf", "bitwise_arithmetic"),
        *("caesar_cipher", "calendar_arithmetic", "chain_sum", "coin_flip", "color_cube_rotation", "count_bits"),
        *("count_primes", "course_schedule", "decimal_arithmetic", "decimal_chain_sum", "dice", "family_relationships"),
        *(
            "figlet_font",
            "fraction_simplification",
            "game_of_life_halting",
            "gcd",
            "gsm_symbolic",
            "isomorphic_strings",
        ),
        *("largest_island", "lcm", "leg_counting", "letter_counting", "needle_haystack", "number_format"),
        *("number_sequence", "products", "ransom_note", "rectangle_count", "rotten_oranges"),
        *("self_reference", "simple_equations", "simple_geometry", "spell_backward", "syllogism", "time_intervals"),
    )
)
"""Those whose items have one short answer each: a number, a word, a name."""
EXECUTED = {
    **dict.fromkeys(("n_queens", "spiral_matrix", "binary_matrix", "string_insertion"), "Python's eval"),
    **dict.fromkeys(
        ("countdown", "puzzle24", "simple_integration", "intermediate_integration", "polynomial_multiplication"),
        "sympy's parse_expr, which executes text",
    ),
}
"""Data set -> what its own scorer gives an answer to."""


def refused(name: str) -> str | None:
    """Why no problems come from the data set of this name; None where they do."""
    if name in SHORT:
        return None
    if name in EXECUTED:
        way_out = "; the task countdown has a checker of its own" if name == "countdown" else ""
        return f"is left to none: judging its answers takes {EXECUTED[name]}{way_out}"
    if name == "codeio":
        return "gives other problems each time, whatever the seed: a run could not be resumed"
    return "has no items with one short answer that our graders judge, or there is none of this name"


def require_supported(name: str) -> None:
    """ConfigError for a data set whose problems are not to be had."""
    because = refused(name)
    if because is not None:
        raise ConfigError(f"task.dataset={name} {because}; {nearest(name, SHORT)}")
