"""Objects in other processes, on this machine or on others: one protocol, two ways there."""
