"""Several engines elsewhere as one: their health, the far side of each, and the queue of problems between them."""
