"""The command line: `main` is the program. Parses and validates before anything heavy is imported."""

from doubleback.recipes.commands.cli.program import main as main
