"""Who is calling: an API key becomes a partner and its scopes."""
