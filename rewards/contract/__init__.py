"""The signature of a reward function, the checks around a call, how a name becomes an object."""
