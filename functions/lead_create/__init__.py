"""A form's leads are created here, and Meta's accepted (source 000)."""
