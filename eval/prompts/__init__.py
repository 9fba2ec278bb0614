"""How a question is put to a model: prompts as YAML, beside the code that reads and renders them."""
