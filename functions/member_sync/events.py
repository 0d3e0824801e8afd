"""CRM events about members: what the CRM has of the member now is accepted, as if it had been sent to us.

The events of a member share one ledger entry, so one worker at a time reads the member and the order in which
events arrive does not matter: the latest to be read is the newest.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from functions.member_sync import logic
from switchboard import clock, member_intake, partners, work
from switchboard.connectors import crm
from switchboard.crm import MemberSync
from switchboard.crm_events import CrmEvent
from switchboard.errors import FieldError, SwitchboardError
from switchboard.ledger import Accepted, Entry
from switchboard.members import EVENT_FLOW, Member, data_faults, member_ledger_id
from switchboard.versions import Version, order_after, order_of
from switchboard.work import Outcome

_ORIGIN_OF_PARTNER = "partner:"


def enter(body: dict[str, Any]) -> str:
    """Enter an event from the bus into the ledger; returns the ledger id."""
    event = CrmEvent.model_validate(body["detail"])
    accepted = _enter(event, order_of(clock.now()))
    if not accepted.is_new:
        # Another worker's clock is ahead. What this event tells may be later than what that one has read.
        accepted = _enter(event, accepted.entry.version + 1)
    return accepted.entry.ledger_id


def _enter(event: CrmEvent, version: Version) -> Accepted:
    number = event.member_number or ""
    return work.ledger().accept(
        partner_id=partners.ADMIN,  # whoever tells it: the member is the CRM's
        flow=EVENT_FLOW,
        entity=number,
        payload=event.model_dump(mode="json", by_alias=True, exclude_none=True),
        group=number,
        correlation_id=event.event_id,
        version=version,
    )


def do(entry: Entry) -> Outcome:
    """Read the member from the CRM, and accept it when that is news."""
    number = entry.entity
    # Before the CRM is read: what is accepted while it is read must not be taken for older.
    known = work.ledger().get(member_ledger_id(number))
    held = crm().get_member(number)
    if held is None:
        raise SwitchboardError("not-found", "The CRM has no member with this number.")
    version = held.get("version") or order_after(known.version if known else 0, clock.now())
    member = _member(number, held, version)
    if not logic.is_news(known, member):
        if known is not None and logic.stands_wrongly(known, held):
            crm().write_member_sync(number, logic.standing(known), profile=None)
        return Outcome("unchanged")
    accepted = member_intake.accept(
        number,
        member,
        version,
        partner_id=_owner(entry, held),
        correlation_id=entry.correlation_id,
        for_owner=True,
    )
    if accepted.is_new:
        return Outcome("synced")
    if "version" not in held:
        raise SwitchboardError("in-progress", "Another version came in while the CRM was read.")
    return Outcome("unchanged", detail="A newer version was accepted before.")


def _member(number: str, held: Mapping[str, Any], version: Version) -> Member:
    """The CRM's record as a member; one that CrowdTwist could never take has that written on it.

    Raises:
        SwitchboardError: `invalid`.
    """
    try:
        member = logic.member_of(held)
        wrong = data_faults(member)
    except ValidationError as error:
        wrong = tuple(FieldError(f"/{one['loc'][0]}", one["msg"]) for one in error.errors())
    if not wrong:
        return member
    words = "; ".join(f"{field.pointer.removeprefix('/')}: {field.detail}" for field in wrong)
    crm().write_member_sync(number, MemberSync("Data Error", words, version), profile=None)
    raise SwitchboardError("invalid", words)


def _owner(entry: Entry, held: Mapping[str, Any]) -> str:
    """Whose a new member is: who enrolled it in the CRM, or told of it."""
    origin: str = entry.payload["origin"]
    teller = origin.removeprefix(_ORIGIN_OF_PARTNER) if origin.startswith(_ORIGIN_OF_PARTNER) else None
    owner: str = held.get("partnerId") or teller or partners.ADMIN
    return owner
