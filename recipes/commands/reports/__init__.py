"""When a report is written: on demand, while a run trains, and after an evaluation."""
