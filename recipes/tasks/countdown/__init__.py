"""Countdown's own recipe parts: pre-training traces, the tokenizer, and the base model made from them."""
