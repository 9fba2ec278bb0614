"""Is it right? Where the answer stands in a completion, and when two answers are equal."""
