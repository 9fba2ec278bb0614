"""Pass@k, intervals and paired differences, as pure functions."""
