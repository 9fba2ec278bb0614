"""Places of a text where an answer stands without a marker around it: an object, the end, before a run-on."""
