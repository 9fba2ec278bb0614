"""Who learns: batches, layouts, forward pass, loss, tally."""
