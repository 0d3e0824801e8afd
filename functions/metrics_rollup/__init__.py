"""Each minute: what was done and what waits, as counters for the API and as metrics."""
