"""Members enrolled or updated in the CRM, and CrowdTwist's data push, are accepted here (source 003)."""
