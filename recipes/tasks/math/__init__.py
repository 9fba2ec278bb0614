"""Questions with answers: from files of JSON lines, or from a dataset on the hub."""
