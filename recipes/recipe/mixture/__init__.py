"""Several tasks, or several modes of one, in one run: what a recipe says of them, and their problems put together."""
