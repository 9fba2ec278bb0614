"""Where problems come from: a folder a task."""
