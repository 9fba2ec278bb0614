"""From the YAML of a recipe to what runs: schema, loading, assembly, the check before training."""
