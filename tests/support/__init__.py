"""What several tests need: mocked tables, factories, faults."""
