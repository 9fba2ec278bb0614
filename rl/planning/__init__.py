"""How long a step would take on machines that are not here: pure functions of numbers, without torch."""
