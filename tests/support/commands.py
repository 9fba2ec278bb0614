"""What the command line prints, for tests."""


def errors(err):
    """The lines that name a mistake of the user."""
    return [line for line in err.splitlines() if line.startswith("error:")]
