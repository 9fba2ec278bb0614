"""The algorithm as pure functions and tables: advantages, surrogates, importance, KL, entropy, presets."""
