"""An agent's answers go out through the engagement platform here (source 000)."""
