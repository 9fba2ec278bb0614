"""What tests share: fakes, tiny models, references and oracles, each once."""
