"""Surveys: what comes round by the clock."""
