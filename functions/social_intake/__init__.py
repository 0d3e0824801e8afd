"""Posts pushed by the listening platform are accepted here (source 000)."""
