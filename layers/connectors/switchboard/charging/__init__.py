"""Charging (source 002): the 44 use cases of the OCS from one table of operations.

    operations   the table: route, request model, OCS call, what has to hold before, how success shows
    models       the request bodies, with the rules that the OCS would refuse by
    execution    one operation done: look, check, call, resolve a lost answer

Code, OpenAPI document, docs page (`docs/charging-operations.md`) and tests are all made from the table.
"""
