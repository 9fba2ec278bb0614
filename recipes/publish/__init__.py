"""What leaves the machine: a run's adapter, or its merged checkpoint, with a card that says what it is."""
