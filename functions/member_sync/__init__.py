"""Accepted members are brought into step with CrowdTwist here (source 003)."""
