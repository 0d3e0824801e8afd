"""Edit and resubmit: corrections of the data that an entry keeps, by the rules under which it was accepted.

Corrections are merged as a JSON merge patch (RFC 7396): what they name is replaced, `null` takes it away, the
rest stays. What came out of it has to pass the model of the flow's own call.

    social_post, social_reply, lead, member, survey_invitation, charging     can be corrected
    a lead of Meta, survey_response, trigger_delivery, record_sync …         cannot: theirs is kept elsewhere
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from switchboard.errors import FieldError, SwitchboardError
from switchboard.ledger import Entry
from switchboard.models import ApiModel

type Data = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Editable:
    """How a flow's data is corrected.

    Attributes:
        data: what of the payload may be corrected.
        model: what it has to pass; pydantic's ValidationError is the caller's to translate.
        fixed: fields that name the work, or order it, and so stay.
        check: what concerns several fields; raises SwitchboardError `invalid`, pointers from the data's root.
        payload: the payload with corrected data.
        keeps_null: whether a null among the data is a value.
    """

    data: Data
    model: type[ApiModel]
    fixed: tuple[str, ...] = ()
    check: Callable[[Any], None] = lambda _: None
    payload: Callable[[Data], Data] = lambda data: data
    keeps_null: bool = False


def editable(entry: Entry) -> Editable | None:
    """How this entry can be corrected; None when its data is not ours to correct, or not kept any more."""
    by_flow: dict[str, Callable[[Entry], Editable | None]] = {
        "social_post": _post,
        "social_reply": _reply,
        "lead": _lead,
        "member": _member,
        "survey_invitation": _invitation,
        "charging": _operation,
    }
    if not entry.payload or entry.flow not in by_flow:
        return None
    return by_flow[entry.flow](entry)


def corrected(entry: Entry, corrections: Mapping[str, Any]) -> Data:
    """The entry's payload with corrections.

    Raises:
        SwitchboardError: `conflict` when it cannot be corrected, or may have been done already; `invalid`.
        pydantic.ValidationError: what came out breaks the model.
    """
    how = editable(entry)
    if how is None:
        raise SwitchboardError(
            "conflict",
            f"The data of {entry.flow} is kept where it came from: correct it there, then resubmit.",
        )
    if _may_have_been_done(entry):
        raise SwitchboardError(
            "conflict",
            "It may have been done with the data as it stands: resubmit it without corrections first.",
        )
    merged = merge(how.data, corrections)
    changed = [name for name in how.fixed if merged.get(name) != how.data.get(name)]
    if changed:
        detail = "it names or orders the work, and stays as it is"
        raise SwitchboardError("invalid", fields=tuple(FieldError(f"/{name}", detail) for name in changed))
    valid = how.model.model_validate_json(json.dumps(merged))
    how.check(valid)
    content = valid.model_dump(
        mode="json", by_alias=True, exclude_unset=True, exclude_none=not how.keeps_null
    )
    return how.payload(content)


def merge(held: Mapping[str, Any], changes: Mapping[str, Any]) -> Data:
    """RFC 7396."""
    merged = dict(held)
    for name, value in changes.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, Mapping):
            below = merged.get(name)
            merged[name] = merge(below if isinstance(below, Mapping) else {}, value)
        else:
            merged[name] = value
    return merged


def _may_have_been_done(entry: Entry) -> bool:
    """Whether an answer was lost since it was last accepted, and what became of it is still not known."""
    if entry.status == "data_error":
        return False
    for move in reversed(entry.history):
        if move["status"] == "pending":
            break
        if move["status"] == "unknown":
            return True
    return entry.code == "outcome-unknown"


def _post(entry: Entry) -> Editable:
    from switchboard.social import Post

    return Editable(entry.payload, Post, ("uniqueId", "community", "authorId"))


def _reply(entry: Entry) -> Editable | None:
    from switchboard.replies import Reply

    if "sentAt" in entry.result:
        return None  # it is on the network
    post_id = {"postId": entry.payload["postId"]}
    data = {name: held for name, held in entry.payload.items() if name != "postId"}
    return Editable(data, Reply, payload=lambda valid: valid | post_id)


def _lead(entry: Entry) -> Editable | None:
    from switchboard import leads

    if "meta" in entry.payload:
        return None

    def check(request: leads.LeadRequest) -> None:
        leads.check(request)
        leads.authors(entry.partner_id, request.posts)

    return Editable(entry.payload, leads.LeadRequest, check=check)


def _member(entry: Entry) -> Editable:
    from switchboard.members import Member, faults

    def check(member: Member) -> None:
        if found := faults(member):
            raise SwitchboardError("invalid", fields=found)

    return Editable(entry.payload, Member, ("version", "modifiedAt"), check)


def _invitation(entry: Entry) -> Editable:
    from switchboard.surveys.invitations import NewInvitation

    ours = {name: held for name, held in entry.payload.items() if name in ("surveyId", "onRecord")}
    data = {name: held for name, held in entry.payload.items() if name not in ours}
    return Editable(data, NewInvitation, ("transactionId",), payload=lambda valid: valid | ours)


def _operation(entry: Entry) -> Editable:
    from switchboard.charging.jobs import Job
    from switchboard.charging.owners import Owners

    job = Job.of(entry.payload)

    def payload(body: Data) -> Data:
        from switchboard import work

        again = entry.payload | {"body": body}
        Owners(work.ledger().table).note(Job.of(again), entry.group)
        return again

    return Editable(
        job.body, job.operation.body, payload=payload, keeps_null=job.operation.action == "update"
    )
