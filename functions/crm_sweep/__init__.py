"""What changed in the built-in CRM without the stream's telling is found here (source 004)."""
