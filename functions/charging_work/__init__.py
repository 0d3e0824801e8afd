"""Charging operations that were accepted for later are done here, in order (source 002)."""
