"""The name that was meant: "did you mean". By itself, since reward workers ask for it and for no other settings."""

from collections.abc import Collection
from difflib import get_close_matches


def nearest(name: str, names: Collection[str]) -> str:
    """`did you mean X?` where something in `names` is near, else the list of all that is in it."""
    near = get_close_matches(name, names, n=1)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(names))}"
