"""Which problems are sampled, how they are scored, and what is sampled ahead."""
