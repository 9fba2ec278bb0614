"""Which bases there are: architectures of published models, and where the bundled ones lie."""
