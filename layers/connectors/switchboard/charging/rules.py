"""The rules of charging, without a call: which changes are legal, and whether an entity shows one."""

from collections.abc import Mapping

from switchboard.charging.operations import TRANSITIONS, Kind
from switchboard.connectors.ocsio import Record
from switchboard.errors import FieldError, SwitchboardError
from switchboard.settings.charging import ChargingSettings

_REFERENCES = frozenset({"customer", "account", "subscriber", "parent", "parentOfferSubscription"})


def check_transition(held: object, wanted: str) -> None:
    """Raises `conflict` when a state has no legal way to another; an unknown one is left to the OCS."""
    if isinstance(held, str) and held in TRANSITIONS and wanted not in TRANSITIONS[held]:
        raise illegal(held, wanted)


def illegal(held: str, wanted: str) -> SwitchboardError:
    """`conflict`, with the ways that there are."""
    legal = TRANSITIONS[held]
    ways = f"from there it can become {' or '.join(legal)}" if legal else "that is final"
    return SwitchboardError(
        "conflict",
        f"It is {held} and cannot become {wanted}: {ways}.",
        extra={"state": held, "legalStates": list(legal)},
    )


def identity(found: Record) -> set[tuple[str, str]]:
    """An entity's own ids, each with its kind."""
    return {(name, found[name]) for name in ("externalId", "refId") if isinstance(found.get(name), str)}


def reference_of(held: object) -> Mapping[str, str] | None:
    """The parent as the OCS shows it: an object with its ids, or an external id alone."""
    if isinstance(held, str) and held:
        return {"externalId": held}
    if isinstance(held, dict):
        for name in ("externalId", "refId"):
            if isinstance(held.get(name), str):
                return {name: held[name]}
    return None


def agrees(body: Record, found: Record, *, strictly: bool) -> bool:
    """Whether the entity has what was sent.

    A new entity need not show every member; what an update has changed (`strictly`) must be seen, or it is
    sent again, which with its requestId does no harm.
    """
    for name, sent in body.items():
        held = found.get(name)
        if name == "state":
            sent = sent["state"]
        elif name in _REFERENCES:
            held, sent = reference_of(held), reference_of(sent)
        if held != sent and (strictly or (held is not None and name not in _REFERENCES)):
            return False
    return True


def has_resource(subscriber: Record, kind: str, resource: str | None) -> bool:
    """Whether a subscriber has a resource of this type."""
    held = [
        (one.get("resourceType"), one.get("resource"))
        for one in subscriber.get("resources") or []
        if isinstance(one, dict)
    ]
    primary = (subscriber.get("primaryResourceType"), subscriber.get("primaryResource"))
    return (kind, resource) in (held if held else [primary])


def missing_keys(settings: ChargingSettings, kind: Kind, attributes: Mapping[str, str]) -> None:
    """Raises `invalid` when a set of custom attributes lacks mandatory ones."""
    mandatory: list[str] = getattr(settings.mandatory_attributes, f"{kind}s")
    missing = [key for key in mandatory if key not in attributes]
    if missing:
        fields = tuple(FieldError(f"/customAttributes/{key}", "this key is mandatory") for key in missing)
        detail = f"Mandatory attributes are missing: {', '.join(missing)}."
        raise SwitchboardError("invalid", detail, fields=fields)
