"""The CRM API: customers, cases, followups and tasks (source 004)."""
