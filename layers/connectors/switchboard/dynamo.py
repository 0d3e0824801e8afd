"""A DynamoDB table in Python values: what boto3's resource does, without its import time.

Conditions are the guard of every write here, so a condition that fails is an ordinary answer
(`ConditionFailed`, with the item that stood in the way), not a client error to be picked apart.
"""

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from switchboard.aws import dynamodb

type Item = dict[str, Any]
"""Python values as DynamoDB can hold them: str, int, Decimal, bool, None, bytes, list, dict."""


class ConditionFailed(Exception):
    """A conditional write found the item in another state; `item` is what it found, None for nothing."""

    def __init__(self, item: Item | None) -> None:
        super().__init__("the condition of a write did not hold")
        self.item = item

    def taken(self, name: str, token: str) -> Item | None:
        """The item, when it holds the very token that this write would have put under `name`.

        Then the write took effect and its answer got lost: what failed is the SDK's own repeat of it.
        """
        return self.item if self.item is not None and self.item.get(name) == token else None


class TransactionCancelled(Exception):
    """A transaction wrote nothing; `failed` maps the index of each failed condition to the item found."""

    def __init__(self, failed: Mapping[int, Item | None]) -> None:
        super().__init__(f"a transaction's conditions did not hold: {sorted(failed)}")
        self.failed = failed


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a query; `next_key` continues it, None at the end."""

    items: list[Item]
    next_key: Item | None


def to_wire(value: Any) -> dict[str, Any]:
    """A Python value as an AttributeValue; raises TypeError for what DynamoDB cannot hold (floats too)."""
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case str():
            return {"S": value}
        case int() | Decimal():
            return {"N": str(value)}
        case bytes():
            return {"B": value}
        case dict():
            return {"M": {key: to_wire(member) for key, member in value.items()}}
        case list() | tuple():
            return {"L": [to_wire(member) for member in value]}
        case _:
            raise TypeError(f"DynamoDB cannot hold a {type(value).__name__}")


def from_wire(value: Mapping[str, Any]) -> Any:
    """An AttributeValue as a Python value; whole numbers are int."""
    [(kind, held)] = value.items()
    match kind:
        case "S" | "BOOL" | "B":
            return held
        case "N":
            number = Decimal(held)
            return int(number) if number == number.to_integral_value() else number
        case "M":
            return {key: from_wire(member) for key, member in held.items()}
        case "L":
            return [from_wire(member) for member in held]
        case "NULL":
            return None
        case _:
            raise TypeError(f"attribute type {kind} is not in use here")


def item_to_wire(item: Mapping[str, Any]) -> dict[str, Any]:
    """A whole item as AttributeValues."""
    return {key: to_wire(value) for key, value in item.items()}


def item_from_wire(item: Mapping[str, Any]) -> Item:
    """A whole item as Python values."""
    return {key: from_wire(value) for key, value in item.items()}


@dataclass(frozen=True, slots=True)
class Table:
    """One table by its name. All tables here have the string keys `pk` and `sk`."""

    name: str

    def get(self, pk: str, sk: str, *, consistent: bool = True) -> Item | None:
        """The item, or None."""
        answer = dynamodb().get_item(
            TableName=self.name, Key={"pk": {"S": pk}, "sk": {"S": sk}}, ConsistentRead=consistent
        )
        return item_from_wire(answer["Item"]) if "Item" in answer else None

    def get_many(self, keys: Sequence[tuple[str, str]]) -> list[Item]:
        """The items of these keys that are there, in no order; strongly consistent, a request for 100."""
        found: list[Item] = []
        for start in range(0, len(keys), _KEYS_A_CALL):
            left: Any = [item_to_wire({"pk": pk, "sk": sk}) for pk, sk in keys[start : start + _KEYS_A_CALL]]
            attempt = 0
            while left:
                answer = dynamodb().batch_get_item(
                    RequestItems={self.name: {"Keys": left, "ConsistentRead": True}}
                )
                found += [item_from_wire(item) for item in answer["Responses"].get(self.name, [])]
                unprocessed: Any = answer.get("UnprocessedKeys", {})
                left = unprocessed.get(self.name, {}).get("Keys")
                if left:
                    attempt += 1
                    _wait_out_contention(min(attempt, _CONTENTION_ATTEMPTS))
        return found

    def put(
        self,
        item: Item,
        *,
        condition: str | None = None,
        names: Mapping[str, str] | None = None,
        values: Item | None = None,
    ) -> None:
        """Write the whole item; raises ConditionFailed."""
        self._guarded("put_item", {"Item": item_to_wire(item)}, condition, names, values)

    def update(
        self,
        pk: str,
        sk: str,
        expression: str,
        *,
        condition: str | None = None,
        names: Mapping[str, str] | None = None,
        values: Item | None = None,
    ) -> Item:
        """Apply an update expression and return the whole new item; raises ConditionFailed."""
        request = {
            "Key": {"pk": {"S": pk}, "sk": {"S": sk}},
            "UpdateExpression": expression,
            "ReturnValues": "ALL_NEW",
        }
        answer = self._guarded("update_item", request, condition, names, values)
        return item_from_wire(answer["Attributes"])

    def delete(
        self, pk: str, sk: str, *, condition: str | None = None, values: Item | None = None
    ) -> Item | None:
        """Delete the item and return what it was; raises ConditionFailed."""
        request = {"Key": {"pk": {"S": pk}, "sk": {"S": sk}}, "ReturnValues": "ALL_OLD"}
        answer = self._guarded("delete_item", request, condition, None, values)
        return item_from_wire(answer["Attributes"]) if answer.get("Attributes") else None

    def query(
        self,
        condition: str,
        values: Item,
        *,
        index: str | None = None,
        names: Mapping[str, str] | None = None,
        filter_expression: str | None = None,
        forward: bool = True,
        limit: int | None = None,
        start: Item | None = None,
        consistent: bool = False,
    ) -> Page:
        """One page of a key condition. `limit` counts items before the filter, as DynamoDB does."""
        request: dict[str, Any] = {
            "TableName": self.name,
            "KeyConditionExpression": condition,
            "ExpressionAttributeValues": item_to_wire(values),
            "ScanIndexForward": forward,
            "ConsistentRead": consistent,
        }
        if index:
            request["IndexName"] = index
        if names:
            request["ExpressionAttributeNames"] = dict(names)
        if filter_expression:
            request["FilterExpression"] = filter_expression
        if limit:
            request["Limit"] = limit
        if start:
            request["ExclusiveStartKey"] = item_to_wire(start)
        answer = dynamodb().query(**request)
        next_key = answer.get("LastEvaluatedKey")
        return Page(
            [item_from_wire(item) for item in answer["Items"]],
            item_from_wire(next_key) if next_key else None,
        )

    def query_all(self, condition: str, values: Item, **options: Any) -> Iterator[Item]:
        """Every item of a key condition, page by page."""
        start: Item | None = None
        while True:
            page = self.query(condition, values, start=start, **options)
            yield from page.items
            start = page.next_key
            if start is None:
                return

    def _guarded(
        self,
        operation: str,
        request: dict[str, Any],
        condition: str | None,
        names: Mapping[str, str] | None,
        values: Item | None,
    ) -> dict[str, Any]:
        request["TableName"] = self.name
        if condition:
            request["ConditionExpression"] = condition
            request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        if names:
            request["ExpressionAttributeNames"] = dict(names)
        if values:
            request["ExpressionAttributeValues"] = item_to_wire(values)
        client = dynamodb()
        attempt = 0
        while True:
            try:
                answer: dict[str, Any] = getattr(client, operation)(**request)
            except client.exceptions.ConditionalCheckFailedException as error:
                found: Any = error.response.get("Item")
                raise ConditionFailed(item_from_wire(found) if found else None) from None
            except client.exceptions.TransactionConflictException:
                # A transaction is under way on this item; botocore does not count that as worth a repeat.
                attempt += 1
                if attempt == _CONTENTION_ATTEMPTS:
                    raise
                _wait_out_contention(attempt)
            else:
                return answer


@dataclass(frozen=True, slots=True)
class Write:
    """One write of a transaction: `put` an item, or `update`/`delete`/`check` the item of a key."""

    table: Table
    put: Item | None = None
    key: tuple[str, str] | None = None
    update: str | None = None
    delete: bool = False
    condition: str | None = None
    names: Mapping[str, str] | None = None
    values: Item | None = None

    def to_wire(self) -> dict[str, Any]:
        """The member of TransactItems."""
        body: dict[str, Any] = {"TableName": self.table.name}
        if self.condition:
            body["ConditionExpression"] = self.condition
            body["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        if self.names:
            body["ExpressionAttributeNames"] = dict(self.names)
        if self.values:
            body["ExpressionAttributeValues"] = item_to_wire(self.values)
        if self.put is not None:
            return {"Put": body | {"Item": item_to_wire(self.put)}}
        if self.key is None:
            raise ValueError("a write without an item needs a key")
        body["Key"] = {"pk": {"S": self.key[0]}, "sk": {"S": self.key[1]}}
        if self.update is not None:
            return {"Update": body | {"UpdateExpression": self.update}}
        return {"Delete": body} if self.delete else {"ConditionCheck": body}


_KEYS_A_CALL = 100
_CONTENTION_ATTEMPTS = 6
_CONTENTION = frozenset({"TransactionConflict", "ProvisionedThroughputExceeded", "ThrottlingError"})


def _wait_out_contention(attempt: int) -> None:
    time.sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311 - jitter, not a secret


def transact(writes: Sequence[Write]) -> None:
    """Write all or nothing; raises TransactionCancelled when a condition does not hold.

    A transaction that merely met another one, or a throttle, is repeated: that is contention, not an answer.
    """
    client = dynamodb()
    items = [write.to_wire() for write in writes]
    attempt = 0
    while True:
        try:
            client.transact_write_items(TransactItems=items)  # type: ignore[arg-type]
            return
        except client.exceptions.TransactionCanceledException as error:
            reasons = error.response.get("CancellationReasons", [])
            failed = {
                index: item_from_wire(reason["Item"]) if reason.get("Item") else None
                for index, reason in enumerate(reasons)
                if reason.get("Code") == "ConditionalCheckFailed"
            }
            if failed:
                raise TransactionCancelled(failed) from None
            attempt += 1
            contended = any(reason.get("Code") in _CONTENTION for reason in reasons)
            if not contended or attempt == _CONTENTION_ATTEMPTS:
                raise
        _wait_out_contention(attempt)
