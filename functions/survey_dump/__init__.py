"""Surveys: the slices of a dump."""
