"""Campaigns of the CRM, and the social campaigns linked to them (source 000)."""
