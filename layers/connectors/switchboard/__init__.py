"""Switchboard's shared layer: what every step stands on. It never imports a function."""
