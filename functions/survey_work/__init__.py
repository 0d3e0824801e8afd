"""Surveys: rules on CRM events, invitations, responses, reminders."""
