"""Accepted posts become customers and cases here (source 000)."""
