"""What 8x8 told us about is pulled from there into our CRM (source 004)."""
