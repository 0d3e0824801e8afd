"""Deliveries: the calls of partners' URLs (source 004)."""
