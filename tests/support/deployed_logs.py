"""What the functions of the deployed stack have logged, as CloudWatch keeps it: one log group for each.

The emulator's own log has the lines of the queue steps only; here are those of the API functions too, and
what a function wrote without its logger (a traceback, a warning).
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import boto3

from tests.support import canaries
from tools.stack import Stack


def lines(stack: Stack, since: datetime | None = None) -> Iterator[tuple[str, str]]:
    """Each line with its log group, of all functions, `since` then (of all the stack's time without)."""
    where: dict[str, Any] = {
        "endpoint_url": stack.aws_endpoint,
        "region_name": stack.region,
        "aws_access_key_id": "test",
        "aws_secret_access_key": "test",
    }
    logs = boto3.client("logs", **where)
    begin: dict[str, Any] = {"startTime": int(since.timestamp() * 1000)} if since else {}
    for page in logs.get_paginator("describe_log_groups").paginate():
        for group in page["logGroups"]:
            name = group["logGroupName"]
            for found in logs.get_paginator("filter_log_events").paginate(logGroupName=name, **begin):
                for event in found["events"]:
                    yield name, event["message"]


def look(stack: Stack, since: datetime | None = None) -> tuple[int, list[str]]:
    """How many lines there are, and those that should not be, each with what is wrong and its log group."""
    number, breaches = 0, []
    for group, line in lines(stack, since):
        number += 1
        told = [*canaries.found_in(canaries.as_read(line))]
        if stack.admin_key in line:
            told.append("the administrator's key")
        if "not authorized to perform" in line:  # where roles hold (`tools/roles.py`)
            told.append("an action that the role does not grant")
        breaches += [f"{what} in {group.rpartition('/')[2]}: {line[:600]}" for what in told]
    return number, breaches
