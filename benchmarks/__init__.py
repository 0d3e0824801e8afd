"""Measurements: ratios within one run, because machines differ and are noisy. `make bench` runs them."""
