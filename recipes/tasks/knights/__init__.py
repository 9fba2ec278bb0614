"""Knights and knaves: the problems, the task, and what its base models are taught: words, traces."""
