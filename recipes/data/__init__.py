"""Which data sets there are: where they lie, their fields, and what is known of their faults."""
