"""New customers of the CRM are set up in the OCS by rule (source 002)."""
