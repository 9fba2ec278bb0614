"""Who samples: vLLM, transformers, an endpoint, a process; how an adapter gets in."""
