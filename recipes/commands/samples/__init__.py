"""Commands around samples that are stored: which there are, and which are worth imitating."""
