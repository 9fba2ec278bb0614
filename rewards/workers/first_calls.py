"""How long the first call of a function in a fresh worker may take: it may import what it needs."""

FIRST_CALL_MARGIN = 3.0
"""How much slower than the slowest so far another first call of a function may be."""


class FirstCalls:
    """How long the first call of a function in a fresh worker may take beyond its limit.

    All of `seconds` while nothing is known of the function; then some times what its slowest first call took, so that a
    worker that replaces another may import the same again; nothing once a first call has used all of it in vain.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._known: float | None = None

    def allowance(self) -> float:
        """Seconds beyond the limit."""
        return self._seconds if self._known is None else self._known

    def answered(self, seconds: float) -> None:
        """A first call has come to its end in this time."""
        self._known = max(self._known or 0.0, min(self._seconds, FIRST_CALL_MARGIN * seconds))

    def timed_out(self) -> None:
        """A first call has not."""
        self._known = self._known or 0.0
