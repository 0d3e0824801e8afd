"""Triggers: partners' URLs that are called on CRM events (source 004).

`store.py` keeps the triggers, `deliveries.py` each call that is owed to one, `messages.py` what waits in the
queue. A delivery's id follows from its trigger and its event, so an event that comes twice is called once.
"""
