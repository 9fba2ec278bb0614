"""A policy behind an OpenAI-compatible endpoint: who samples, with which key, and what its answers must hold."""
