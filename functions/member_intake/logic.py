"""What of a member or of a data push can be taken, and how its ledger entry is named."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from switchboard.versions import order_of


@dataclass(frozen=True, slots=True)
class Push:
    """A data push as the ledger takes it: one entry for each member's profile, and one for each segment."""

    number: str
    entity: str
    order: int
    payload: dict[str, Any]


def push(body: Mapping[str, Any], received: datetime) -> Push | None:
    """The push, None when it is about nobody whom we know by a number, or brings nothing for the member.

    Oracle CrowdTwist Developer Help, "Live Push User Segmentation" (`third_party_id`, `event` "entered" or
    "exited", `date_occurred`) and "Live Push User Profile" (`thirdPartyId`; no time of the change, so the
    time of receipt orders the profiles).
    """
    number = body.get("third_party_id", body.get("thirdPartyId"))
    if not isinstance(number, str | int) or isinstance(number, bool) or str(number) == "":
        return None
    number = str(number)
    prefix = f"{len(number)}:{number}:"
    if "event" in body and isinstance(body.get("name"), str):
        at = _moment(body.get("date_occurred")) or received
        payload = {"segment": body["name"], "entered": body["event"] == "entered", "at": at.isoformat()}
        return Push(
            number, f"{prefix}segment:{body['name']}", order_of(at), payload | {"memberNumber": number}
        )
    if "activityId" in body or "userActivityId" in body or "orderId" in body:
        return None
    payload = {"profile": dict(body), "at": received.isoformat(), "memberNumber": number}
    return Push(number, f"{prefix}profile", order_of(received), payload)


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return moment if moment and moment.tzinfo else None
