"""A CRM event becomes one delivery for each trigger that wants it (source 004)."""
