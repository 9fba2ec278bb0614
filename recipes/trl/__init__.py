"""The same recipe on TRL's trainer, as a baseline."""
