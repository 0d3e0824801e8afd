"""What changes in the built-in CRM becomes CRM events (source 004)."""
