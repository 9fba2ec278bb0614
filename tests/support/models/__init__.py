"""Tiny random models, as files or as policies."""
