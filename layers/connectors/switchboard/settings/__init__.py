"""What an administrator can change without a deployment: one pydantic model for each area.

`store.py` keeps versions of them in the Config table, `areas.py` lists the areas.
"""
