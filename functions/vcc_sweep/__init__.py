"""What 8x8 changed without telling anybody is found here (source 004)."""
