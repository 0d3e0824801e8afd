"""Accepting a member, whichever door it came by: `PUT /members/{n}`, or a CRM event about it.

Accepting is one conditional write: it takes a newer version only, so an older one changes nothing, and
nothing of a member whose person was erased.
"""

from switchboard import partners, queues, work
from switchboard.errors import SwitchboardError
from switchboard.ledger import Accepted
from switchboard.members import FLOW, Member
from switchboard.versions import Version


def accept(
    number: str,
    member: Member,
    version: Version,
    *,
    partner_id: str,
    correlation_id: str,
    for_owner: bool,
) -> Accepted:
    """Accept a version of a member, and put it on its queue when it is news.

    Args:
        number: the member number.
        member: the member as the CRM has it.
        version: how new that is.
        partner_id: whose it becomes, when nobody's it is yet; an heir when its owner is gone.
        correlation_id: of the call or event.
        for_owner: whether it is accepted in another owner's name. Otherwise that is `not-found`.

    Raises:
        SwitchboardError: `not-found`; `erased` for a member whose person was erased.
    """

    def enter(owner: str, heir_of: str | None = None) -> Accepted:
        return work.ledger().accept(
            partner_id=owner,
            flow=FLOW,
            entity=number,
            payload=member.model_dump(mode="json", by_alias=True, exclude_none=True),
            group=number,
            correlation_id=correlation_id,
            version=version,
            shared=True,
            heir_of=heir_of,
        )

    accepted = enter(partner_id)
    if accepted.entry.erased_at is not None:
        raise SwitchboardError("erased")
    owner = accepted.entry.partner_id
    if not accepted.is_new and owner != partner_id:
        if for_owner:
            accepted = enter(owner)
        elif partners.exists(owner):
            raise SwitchboardError("not-found", "There is no such member.")
        else:
            accepted = enter(partner_id, heir_of=owner)
    if accepted.is_new:
        queues.offer(accepted.entry)
    return accepted
