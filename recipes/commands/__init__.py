"""What the command line does, a module a command; Python calls the same functions."""
