"""Forms of an answer that have an exact meaning of their own: polynomials, chains, intervals, lists, times."""
