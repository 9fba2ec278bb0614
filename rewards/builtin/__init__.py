"""The rewards that come with doubleback, named in `table.py`."""
