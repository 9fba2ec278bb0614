"""A recipe of several stages, each of which starts from what an earlier one left."""
