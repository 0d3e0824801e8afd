"""CRM events from CRMs outside, and the URL that 8x8 calls (source 004)."""
