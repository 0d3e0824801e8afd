"""A worker that dies at a chosen request to DynamoDB, and a DynamoDB that is busy."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError, ReadTimeoutError

from switchboard.aws import dynamodb, s3


class Killed(BaseException):
    """The worker is gone; nothing in the code under test may catch this."""


@contextmanager
def killed_at(request: int, *, after: bool) -> Iterator[None]:
    """Raise Killed at the given request, counted from 0: before it is sent, or `after` it took effect."""
    seen = 0

    def count(**_: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == request + 1:
            raise Killed

    event = f"{'after' if after else 'before'}-call.dynamodb"
    events = dynamodb().meta.events
    events.register(event, count)
    try:
        yield
    finally:
        events.unregister(event, count)


_WRITES = ("PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "PutObject", "UploadPart")


@contextmanager
def killed_behind_write(number: int) -> Iterator[list[str]]:
    """Raise Killed behind the given write to DynamoDB or S3, counted from 0; yields the one that it was."""
    seen = 0
    died: list[str] = []

    def count(model: Any, **_: Any) -> None:
        nonlocal seen
        seen += model.name in _WRITES
        if seen == number + 1 and not died and model.name in _WRITES:
            died.append(model.name)
            raise Killed

    clients: list[Any] = [dynamodb(), s3()]
    for client in clients:
        client.meta.events.register("after-call", count)
    try:
        yield died
    finally:
        for client in clients:
            client.meta.events.unregister("after-call", count)


@contextmanager
def answer_lost(operation: str, *, call: int = 0) -> Iterator[None]:
    """One call of `operation`, counted from 0, takes effect, and its answer does not come."""
    seen = 0

    def lose(**_: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == call + 1:
            raise ReadTimeoutError(endpoint_url="dynamodb")

    event = f"after-call.dynamodb.{operation}"
    events = dynamodb().meta.events
    events.register(event, lose)
    try:
        yield
    finally:
        events.unregister(event, lose)


@contextmanager
def sent_twice(*operations: str) -> Iterator[None]:
    """Each call of these operations takes effect and loses its answer, and the SDK makes it again."""
    make = BaseClient._make_api_call  # type: ignore[attr-defined]

    def call(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
        if operation in operations:
            with suppress(ClientError):
                make(client, operation, arguments)
        return make(client, operation, arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", call)
        yield


@contextmanager
def counted() -> Iterator[list[str]]:
    """The operations that were sent to DynamoDB, in order."""
    operations: list[str] = []

    def count(model: Any, **_: Any) -> None:
        operations.append(model.name)

    events = dynamodb().meta.events
    events.register("before-call.dynamodb", count)
    try:
        yield operations
    finally:
        events.unregister("before-call.dynamodb", count)


@contextmanager
def contended(operation: str, *, times: int) -> Iterator[None]:
    """The next `times` calls of `operation` meet somebody else's transaction."""
    left = times
    cancelled = operation == "TransactWriteItems"
    code = "TransactionCanceledException" if cancelled else "TransactionConflictException"
    answer: dict[str, Any] = {"Error": {"Code": code, "Message": "busy"}, "ResponseMetadata": {}}
    if cancelled:
        answer["CancellationReasons"] = [{"Code": "None"}, {"Code": "TransactionConflict"}]

    def refuse(**_: Any) -> tuple[SimpleNamespace, dict[str, Any]] | None:
        nonlocal left
        left -= 1
        return (SimpleNamespace(status_code=400), answer) if left >= 0 else None

    events: Any = dynamodb().meta.events  # the stubs know no handler that answers in the service's place
    event = f"before-call.dynamodb.{operation}"
    events.register(event, refuse)
    try:
        yield
    finally:
        events.unregister(event, refuse)
