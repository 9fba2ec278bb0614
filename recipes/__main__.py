"""`python -m doubleback.recipes` is `doubleback`."""

from doubleback.recipes.cli import main

main()
