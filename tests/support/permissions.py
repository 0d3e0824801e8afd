"""Who may do what in AWS: each step, in a mocked account, with its own role's actions and no others.

moto lets everybody do everything. Here the calls of a step are held against the role that the template gives
to its function, so a grant that is missing fails the test that needs it, and not the first deployment. What
was used is written down (`SWITCHBOARD_ACTIONS_USED`, a file of JSON Lines), so that a grant which no test
needs can be found after a whole run (`python -m tools.prove`).
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
from botocore.client import BaseClient

from tests.support import template as policy

type Grant = tuple[str, str]
"""An IAM action, and the logical id of what it is done to; empty where the resource is no one's."""

USED_FILE = "SWITCHBOARD_ACTIONS_USED"
STRICT = "SWITCHBOARD_STRICT"

_TRANSACTED = {
    "Put": "dynamodb:PutItem",
    "Update": "dynamodb:UpdateItem",
    "Delete": "dynamodb:DeleteItem",
    "ConditionCheck": "dynamodb:ConditionCheckItem",
}
_SAME_AS = {
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    "s3:HeadObject": "s3:GetObject",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:CreateMultipartUpload": "s3:PutObject",
    "s3:UploadPart": "s3:PutObject",
    "s3:CompleteMultipartUpload": "s3:PutObject",
}
_HANDED_OVER = frozenset({"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"})
"""What Lambda does with a function's role on its own, to feed it."""

NOT_SEEN_HERE = _HANDED_OVER | {
    *("logs:CreateLogStream", "logs:PutLogEvents", "xray:PutTraceSegments", "xray:PutTelemetryRecords"),
    *("dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams"),
    *("kms:Decrypt", "kms:GenerateDataKey"),
}
"""Actions that the service itself does for a function, so no test can see them."""


class NotAllowed(Exception):
    """A step used an action that its role does not grant."""


_acting: list[str] = []
_used: set[tuple[str, str]] = set()


@contextmanager
def acting_as(step: str) -> Iterator[None]:
    """Within this block AWS is called with the role of a step's function; with "", by the test itself."""
    _acting.append(step)
    try:
        yield
    finally:
        _acting.pop()


@contextmanager
def enforced() -> Iterator[None]:
    """Hold every AWS call of a step against its role, where `SWITCHBOARD_STRICT` is set (`make prove`)."""
    if STRICT not in os.environ:
        yield
        return
    make = BaseClient._make_api_call  # type: ignore[attr-defined]

    def call(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
        if _acting and _acting[-1]:
            service = client.meta.service_model.service_name
            for grant in asked_for(service, operation, arguments):
                _check(_acting[-1], grant)
        return make(client, operation, arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", call)
        yield


def asked_for(service: str, operation: str, arguments: dict[str, Any]) -> Iterator[Grant]:
    """The grants that a call needs."""
    if operation == "TransactWriteItems":
        for item in arguments["TransactItems"]:
            [(kind, body)] = item.items()
            yield _TRANSACTED[kind], body["TableName"]
        return
    prefix = "dynamodb" if service == "dynamodbstreams" else service
    action = _SAME_AS.get(f"{prefix}:{operation}", f"{prefix}:{operation}")
    match service:
        case "dynamodb":
            tables = arguments.get("RequestItems", {}).keys() or [arguments["TableName"]]
            for table in tables:
                yield action, table
        case "sqs":
            yield action, _queue(arguments["QueueUrl"])
        case _:
            yield action, ""


def _queue(url: str) -> str:
    """The queue of a mocked one, which is called as the variable that holds its URL: several may be one."""
    return _queues().get(url.rpartition("/")[2].removesuffix(".fifo").upper(), "")


@cache
def _queues() -> dict[str, str]:
    template = policy.expand()
    return {
        name: policy.target(value) or ""
        for function in policy.resources(template, "AWS::Lambda::Function").values()
        for name, value in function.get("Environment", {}).get("Variables", {}).items()
        if name.endswith("_QUEUE_URL")
    }


def _check(step: str, grant: Grant) -> None:
    action, resource = grant
    granted_here = granted().get(step)
    if granted_here is None:  # a step that the template does not name has no role to be held against
        return
    if (action, resource) not in granted_here and (action, "") not in granted_here:
        raise NotAllowed(f"{step} may not do {action} to {resource or 'this'}: its role does not grant it")
    if (step, action) not in _used:
        _used.add((step, action))
        if path := os.environ.get(USED_FILE):
            with open(path, "a") as file:
                file.write(json.dumps([step, action]) + "\n")


@cache
def granted() -> dict[str, frozenset[Grant]]:
    """What each step's role grants: the tables and queues by logical id, all else without a resource."""
    template = policy.expand()
    step_of = {}
    for logical_id, function in policy.resources(template, "AWS::Lambda::Function").items():
        role = policy.target(function["Role"])
        if role is not None:
            step_of[role] = _snake(logical_id.removesuffix("Function"))
    found: dict[str, set[Grant]] = {step: set() for step in step_of.values()}
    named = {
        *policy.resources(template, "AWS::DynamoDB::Table"),
        *policy.resources(template, "AWS::SQS::Queue"),
    }
    for role, statement in policy.role_statements(template):
        if role not in step_of or statement["Effect"] != "Allow":
            continue
        for action in _as_list(statement["Action"]):
            for resource in _as_list(statement["Resource"]):
                found[step_of[role]].add((action, _named_in(resource, named)))
    return {step: frozenset(grants) for step, grants in found.items()}


def _named_in(resource: Any, named: set[str]) -> str:
    text = json.dumps(resource)
    return next(
        (name for name in sorted(named, key=len, reverse=True) if f'"{name}' in text or f"${{{name}" in text),
        "",
    )


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")
