"""Proofs: what the whole is held against, beyond the tests of its parts."""
