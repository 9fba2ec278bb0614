"""The model: families, frozen base, LoRA, experts, routing, merged weights, tiny models."""
