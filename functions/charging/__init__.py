"""The OCS's use cases as routes, done at once or accepted for later (source 002)."""
