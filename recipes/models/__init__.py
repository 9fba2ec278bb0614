"""Which bases there are: architectures of published models, where the bundled ones lie, a dense one as a mixture."""
