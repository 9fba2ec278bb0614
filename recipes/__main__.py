"""`python -m doubleback.recipes` is `doubleback`."""

from doubleback.recipes.commands.cli import main

main()
