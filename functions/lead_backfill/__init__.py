"""Leads that Meta's webhook has missed are found here (source 000)."""
