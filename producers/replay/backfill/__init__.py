"""Many sessions computed again, a task each, on this machine or on a Ray cluster: the same bytes either way."""
