"""Triggers are configured, tested, rotated and recovered here (source 004)."""
