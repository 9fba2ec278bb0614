"""Countdown: the task, and what its base models are made of: traces, tokenizer, pre-training."""
