"""One folder for each integration step: app.py is transport, logic.py pure decisions."""
