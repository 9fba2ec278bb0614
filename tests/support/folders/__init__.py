"""Servers on loopback that stand in for others, and answer as they do."""
