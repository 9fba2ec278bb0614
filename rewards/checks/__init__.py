"""Golds graded before training, a reward tried out, stored completions graded again."""
