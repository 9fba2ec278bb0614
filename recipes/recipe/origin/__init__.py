"""Where a run comes from: the machine, and the software by which it is found again."""
