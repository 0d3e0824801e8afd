"""What is left of an item of the State table whose person is erased: ids, states, times, hashes."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from switchboard import clock
from switchboard.dynamo import Item
from switchboard.ledger import FAILED, UNFINISHED

ERASED = "erased"
"""Stands where a text was that may have named the person."""

_ENTITY_IS_AN_ID = frozenset({"member", "crm_api", "trigger_delivery", "record_sync", "survey_trigger"})
_OWN_CORRELATION = re.compile(r"(?:cor|evt)_\w{26}")
_SKELETON = (
    *("pk", "sk", "ledgerId", "flow", "partnerId", "status", "version", "attempts", "unrecorded"),
    *("createdAt", "acceptedAt", "updatedAt", "code", "customerId", "recentKey", "everyoneKey", "recentAt"),
    *("payloadHash", "erasedAt", "barredAt"),
)
_RESULTS = (
    *("customerId", "customerCreated", "caseId", "caseCreated", "leadId", "matchedOn", "candidates"),
    *("invitationId", "surveyId", "triggerId", "deliveryId", "eventId", "object", "change"),
    *("accountId", "followupId", "taskId", "criterion"),
)
_MOVES = ("at", "status", "version", "attempt", "code", "retryAt", "heldBy", "superseded", "reason")
_REASONS = frozenset({"resubmitted", "erased"})


def payload_hash(item: Mapping[str, Any]) -> str | None:
    """SHA-256 of the payload as it is stored, in hex; the one that is kept already when there is none."""
    if "payloadHash" in item:
        return str(item["payloadHash"])
    text = item.get("payload")
    return hashlib.sha256(str(text).encode()).hexdigest() if text else None


def entry(item: Mapping[str, Any], customer_id: str) -> Item:
    """A ledger entry. What was unfinished, or had failed, is discarded: nothing is left to do it with."""
    left: Item = {name: item[name] for name in _SKELETON if name in item}
    if left.get("customerId") != customer_id:
        left.pop("customerId", None)  # the OCS's own id of a customer may be an e-mail address
    ends = item["status"] in (*UNFINISHED, *FAILED)
    moves = history(item.get("history", []))
    if ends:
        left["status"] = "discarded"
        moves.append({"at": clock.timestamp(), "status": "discarded", "reason": ERASED})
    if (digest := payload_hash(item)) is not None:
        left["payloadHash"] = digest
    return left | {
        "entity": item["entity"] if item["flow"] in _ENTITY_IS_AN_ID else ERASED,
        "group": ERASED,
        "correlationId": _correlation(item["correlationId"]),
        "revision": item["revision"] + 1,
        "history": moves,
        "result": {name: item["result"][name] for name in _RESULTS if name in item.get("result", {})},
        "updatedAt": clock.timestamp(),
        "erasedAt": clock.timestamp(),
    }


def history(moves: list[Item]) -> list[Item]:
    """The moves without anybody's words."""
    return [_move(move) for move in moves]


def _move(move: Item) -> Item:
    left = {name: move[name] for name in _MOVES if name in move}
    if left.get("reason") not in (None, *_REASONS):
        left["reason"] = ERASED
    return left | {"correlationId": _correlation(str(move.get("correlationId", "")))}


def _correlation(given: str) -> str:
    """Callers make these up as they like; ours name nobody."""
    return given if _OWN_CORRELATION.fullmatch(given) else ERASED
