"""Countdown: the task, and what its base models are taught: words, traces."""
