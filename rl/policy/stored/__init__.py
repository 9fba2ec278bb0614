"""What the folder of a model or of an adapter may hold: safetensors and settings. Nothing else of it is opened."""
