"""What an erasure cannot reach: other systems' copies, and what people have to do about them."""

from typing import Any

from functions.retention.person import Person
from switchboard.connectors import crm
from switchboard.connectors.builtin_crm import BuiltinCrm

_MOST = 200

_SYSTEMS = (
    ("CrowdTwist", ("member", "member_push"), "Delete the members of these numbers (third party ids)."),
    (
        "QuestionPro",
        ("survey_invitation", "survey_response"),
        "Delete these responses (survey:response), and the person from the surveys' contact lists.",
    ),
    ("OCS.io", ("charging",), "Delete or rename the customer of this external id, and what belongs to it."),
    ("8x8", ("record_sync",), "Delete the customer of this AccountID."),
    (
        "listening and engagement platform",
        ("social_post", "social_reply"),
        "Delete the person's posts, and our answers to them.",
    ),
    ("Meta", ("lead",), "Delete the person's leads in Meta's Leads Centre, when they came from there."),
    (
        "partners with triggers",
        ("trigger_delivery",),
        "They were sent this customer's ids; the deletion is told to them as a CRM event.",
    ),
)


def left(person: Person, flows: set[str]) -> list[dict[str, Any]]:
    """The systems that the person's work has touched, each with what to do there and its ids."""
    known = {"CrowdTwist": sorted(person.members), "QuestionPro": sorted(person.responses)}
    found = [
        {"system": system, "what": what, "ids": known.get(system, [person.customer_id])[:_MOST]}
        for system, touched_by, what in _SYSTEMS
        if flows & set(touched_by)
    ]
    if not isinstance(crm(), BuiltinCrm):
        found.insert(0, {"system": "CRM", "what": "Delete the contact.", "ids": [person.customer_id]})
    backups = "Nothing: point-in-time recovery forgets after 35 days. Erase again after a restore."
    return [*found, {"system": "backups", "what": backups, "ids": []}]
