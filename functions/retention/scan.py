"""Whole tables, page by page: an erasure is rare, and only a whole look says that nothing is left."""

from collections.abc import Iterator

from switchboard.aws import dynamodb
from switchboard.dynamo import Item, Page, item_from_wire, item_to_wire

_PAGE = 500
"""Items of one page: a worker that dies repeats at most so many."""


def pages(table: str, start: Item | None) -> Iterator[Page]:
    """The table's pages from behind the key `start`; strongly consistent."""
    while True:
        more = {"ExclusiveStartKey": item_to_wire(start)} if start else {}
        answer = dynamodb().scan(TableName=table, ConsistentRead=True, Limit=_PAGE, **more)  # type: ignore[arg-type]
        last = answer.get("LastEvaluatedKey")
        start = item_from_wire(last) if last else None
        yield Page([item_from_wire(item) for item in answer["Items"]], start)
        if start is None:
            return
