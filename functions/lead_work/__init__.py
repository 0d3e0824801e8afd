"""Leads that wait: Meta's, and those that the CRM could not take at once (source 000)."""
