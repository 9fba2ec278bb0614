"""Sums and differences of numbers in words, level by level."""
