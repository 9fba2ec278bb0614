"""The report: one HTML file of a run, several, an evaluation, or a pair. Loads no torch."""
