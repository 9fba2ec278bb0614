"""What the commands do with a recipe of stages, and what they show of it."""
