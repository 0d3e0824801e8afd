"""Stand-ins for the vendors that Switchboard talks to, served on loopback.

Each vendor answers in its documented wire format from memory. A control plane under ``/_control``
injects faults, shows the calls that arrived and puts everything back to its first state.
Start it with ``python -m sandbox --port 8600``.
"""
