"""Completions that are given: which a recipe learns from, and which samples are worth it."""
