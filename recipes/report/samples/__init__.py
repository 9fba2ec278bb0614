"""The samples of a run or an evaluation, to look through in the page."""
