"""The delivery simulator: every flow under seeded faults, and the check of what came of it."""
