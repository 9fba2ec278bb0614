"""Word problems of one or two steps with small numbers."""
