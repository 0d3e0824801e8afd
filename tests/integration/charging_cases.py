"""One case for each operation of the table: a good body, what it shows, and bodies that are refused."""

from dataclasses import dataclass, field
from typing import Any

type Body = dict[str, Any]
type Invalid = tuple[str, Body]

UNKNOWN = {"unheardOf": True}
NO_OFFER = ("offer", {"externalId": "x"})


@dataclass(frozen=True)
class Case:
    """How an operation is called.

    Attributes:
        path: below `/charging`, with `{c}`, `{a}`, `{s}`, `{o}` for the ids of the entities that are there.
        good: a body that the OCS takes.
        shows: what the answer then has.
        invalid: the field that an error names, and the body (merged into the good one; None takes away).
        refused: what makes the OCS refuse it, merged into the good body; None when nothing but its being
            deactivated does.
    """

    path: str
    good: Body
    shows: Body = field(default_factory=dict)
    invalid: tuple[Invalid, ...] = ()
    refused: Body | None = None


def _creates(profile: str, **more: Any) -> tuple[Invalid, ...]:
    return (
        (profile, {profile: None}),
        (profile, {profile: ""}),
        ("stateReason", {profile: None, "state": {"state": "ACTIVE"}}),
        ("state", {"state": {"state": "ASLEEP", "stateReason": "r"}}),
        ("externalId", {"externalId": "a/b"}),
        ("externalId", {"externalId": ""}),
        ("customName", {"customName": 7}),
        ("customAttributes", {"customAttributes": {"key": 1}}),
        ("customAttributes", {"customAttributes": {"": "x"}}),
        ("unheardOf", UNKNOWN),
        *((name, {name: value}) for name, value in more.items()),
    )


def _offer() -> Case:
    return Case(
        "",
        {"subscriber": {"externalId": "{s}"}, "offer": "gold", "externalId": "{new}"},
        {"offer": "gold", "externalId": "{new}"},
        (
            ("offer", {"offer": None}),
            ("subscriber", {"subscriber": None}),
            ("subscriber", {"account": {"externalId": "{a}"}}),
            ("subscriber", {"subscriber": {}}),
            ("subscriber", {"subscriber": {"externalId": "x", "refId": "y"}}),
            ("priority", {"priority": -1}),
            ("offerAttributes", {"offerAttributes": []}),
            ("unheardOf", UNKNOWN),
        ),
        {"offer": "missing"},
    )


CASES: dict[str, Case] = {
    "customer.create": Case(
        "customers",
        {"externalId": "{new}", "customerProfile": "b2b", "customName": "Demo Customer"},
        {"externalId": "{new}", "customName": "Demo Customer"},
        _creates("customerProfile", customerSegment=5, testCustomer="yes"),
        {"customerProfile": "missing"},
    ),
    "account.create": Case(
        "accounts",
        {
            "externalId": "{new}",
            "accountProfile": "postpaid",
            "customer": {"externalId": "{c}"},
            "currency": "EUR",
            "parent": {"externalId": "{a}"},
        },
        {"externalId": "{new}", "currency": "EUR"},
        _creates(
            "accountProfile",
            currency="XYZ",
            billingDay=32,
            billingMonth=0,
            billingYear=1,
            parent={"externalId": "{new}"},
            customer={},
            taxExemption=1,
        ),
        {"accountProfile": "missing"},
    ),
    "subscriber.create": Case(
        "subscribers",
        {"externalId": "{new}", "subscriberProfile": "prepaid", "account": {"externalId": "{a}"}},
        {"externalId": "{new}"},
        _creates("subscriberProfile", primaryResourceType="ipV4", account={"refId": ""}),
        {"subscriberProfile": "missing"},
    ),
    "account.bill-cycle": Case(
        "accounts/{a}/bill-cycle",
        {"billCycle": "monthly"},
        {"billCycle": "monthly"},
        (
            ("billCycle", {"billCycle": None}),
            ("billingDay", {"billingDay": 0}),
            ("validFrom", {"validFrom": "2024-05-01T00:00:00"}),
            ("unheardOf", UNKNOWN),
        ),
    ),
    "account.tax-exemption": Case(
        "accounts/{a}/tax-exemption",
        {"taxExemption": True, "taxResidence": "DE"},
        {"taxExemption": True, "taxResidence": "DE"},
        (
            ("taxExemption", {"taxExemption": "true"}),
            ("taxExemption", {"taxExemption": None}),
            ("taxResidence", {"taxResidence": ""}),
            ("unheardOf", UNKNOWN),
        ),
    ),
    "subscriber.add-resource": Case(
        "subscribers/{s}/resources",
        {"resourceType": "ipV4", "resource": "10.0.{new}"},
        {
            "resources": [
                {"resourceType": "msisdn", "resource": "{r}"},
                {"resourceType": "ipV4", "resource": "10.0.{new}"},
            ]
        },
        (("resource", {"resource": None}), ("resourceType", {"resourceType": ""}), ("unheardOf", UNKNOWN)),
        {"resourceType": "msisdn"},
    ),
    "subscriber.swap-resource": Case(
        "subscribers/{s}/resources/{r}",
        {"resourceType": "msisdn", "resource": "m-{new}"},
        {"resources": [{"resourceType": "msisdn", "resource": "m-{new}"}]},
        (("resource", {"resource": None}), ("resourceType", {"resourceType": None}), ("unheardOf", UNKNOWN)),
        {"resource": "taken"},
    ),
    "subscription.balance": Case(
        "subscriptions/{o}/balances/main",
        {"operation": "add", "amount": 12.5, "units": "EUR", "reason": "top-up"},
        {"balances": [{"balanceId": "main", "amount": 12.5, "units": "EUR"}]},
        (
            ("operation", {"operation": "set"}),
            ("operation", {"operation": None}),
            ("amount", {"amount": 0}),
            ("amount", {"amount": -1}),
            ("amount", {"amount": "10"}),
            ("amount", {"amount": True}),
            ("amount", {"amount": 1e300}),
            ("units", {"units": 1}),
            ("unheardOf", UNKNOWN),
        ),
    ),
    "subscription.balances": Case(
        "subscriptions/{o}/balances",
        {
            "balances": [
                {"balanceId": "main", "operation": "add", "amount": 3},
                {"balanceId": "data", "operation": "subtract", "amount": 1.5, "units": "GB"},
            ]
        },
        {
            "items": [
                {"balanceId": "main", "status": "done", "error": None},
                {"balanceId": "data", "status": "done", "error": None},
            ]
        },
        (
            ("balances", {"balances": []}),
            ("balances", {"balances": [{"balanceId": "a", "operation": "add", "amount": 1}] * 2}),
            ("balanceId", {"balances": [{"operation": "add", "amount": 1}]}),
            ("operation", {"balances": [{"balanceId": "a", "operation": "set", "amount": 1}]}),
            ("amount", {"balances": [{"balanceId": "a", "operation": "add", "amount": None}]}),
            ("unheardOf", UNKNOWN),
        ),
    ),
}
for _kind, _id in {"customer": "{c}", "account": "{a}", "subscriber": "{s}", "subscription": "{o}"}.items():
    CASES[f"{_kind}.update"] = Case(
        f"{_kind}s/{_id}",
        {"customName": "Renamed"},
        {"customName": "Renamed"},
        (
            ("customName", {"customName": None, "_null": "customName"}),
            ("customName", {"customName": 5}),
            ("externalId", {"externalId": " x"}),
            ("state", {"state": {"state": "ACTIVE"}}),
            ("unheardOf", UNKNOWN),
        ),
    )
    CASES[f"{_kind}.external-id"] = Case(
        f"{_kind}s/{_id}/external-id",
        {"externalId": "{new}"},
        {"externalId": "{new}"},
        (("externalId", {"externalId": None}), ("externalId", {"externalId": "a/b"}), ("unheardOf", UNKNOWN)),
        {"externalId": "taken"},
    )
    CASES[f"{_kind}.custom-name"] = Case(
        f"{_kind}s/{_id}/custom-name",
        {"customName": "Another name"},
        {"customName": "Another name"},
        (("customName", {"customName": None}), ("customName", {"customName": ""}), ("unheardOf", UNKNOWN)),
    )
    for _name in ("custom-attributes", "merge-attributes"):
        CASES[f"{_kind}.{_name}"] = Case(
            f"{_kind}s/{_id}/custom-attributes",
            {"customAttributes": {"colour": "blue"}},
            {"customAttributes": {"colour": "blue"}},
            (
                ("customAttributes", {"customAttributes": None}),
                ("customAttributes", {"customAttributes": {"colour": 1}}),
                ("unheardOf", UNKNOWN),
            ),
        )
    if _kind != "subscription":
        CASES[f"{_kind}.segment"] = Case(
            f"{_kind}s/{_id}/segment",
            {f"{_kind}Segment": "gold"},
            {f"{_kind}Segment": "gold"},
            (
                (f"{_kind}Segment", {f"{_kind}Segment": None}),
                (f"{_kind}Segment", {f"{_kind}Segment": 1}),
                ("unheardOf", UNKNOWN),
            ),
        )
        CASES[f"{_kind}.subscribe"] = Case(
            f"{_kind}s/{_id}/subscriptions",
            {"offer": "gold", "externalId": "{new}"},
            {"offer": "gold", "externalId": "{new}"},
            (
                ("offer", {"offer": None}),
                ("priority", {"priority": "high"}),
                ("parentOfferSubscription", {"parentOfferSubscription": {}}),
                ("unheardOf", UNKNOWN),
            ),
            {"offer": "missing"},
        )
    CASES[f"{_kind}.state"] = Case(
        f"{_kind}s/{_id}/state",
        {"state": "SUSPENDED", "stateReason": "dfltSuspended"},
        {"state": "SUSPENDED", "stateReason": "dfltSuspended"},
        (
            ("state", {"state": "ASLEEP"}),
            ("state", {"state": None}),
            ("stateValidFrom", {"stateValidFrom": "tomorrow"}),
            ("pending", {"pending": "yes"}),
            ("subordinateUpdated", {"subordinateUpdated": 1}),
            ("unheardOf", UNKNOWN),
        ),
        {"stateReason": "missing"},
    )
for _offer_kind in (
    *("individual", "balance", "monetary-balance", "one-time-fee", "recurrent-fee"),
    *("absolute-discount", "percentage-discount"),
    *("absolute-billing-discount", "percentage-billing-discount"),
):
    CASES[f"offer.{_offer_kind}"] = Case(
        f"offers/{_offer_kind}",
        *(getattr(_offer(), name) for name in ("good", "shows", "invalid", "refused")),
    )


def filled(value: Any, ids: dict[str, str]) -> Any:
    """The value with its `{…}` replaced."""
    if isinstance(value, str):
        for name, held in ids.items():
            value = value.replace(f"{{{name}}}", held)
        return value
    if isinstance(value, dict):
        return {name: filled(held, ids) for name, held in value.items()}
    return [filled(held, ids) for held in value] if isinstance(value, list) else value


def merged(good: Body, changes: Body) -> Body:
    """The good body with changes; None takes a member away, and `_null` names one to be sent as null."""
    body = {name: value for name, value in (good | changes).items() if value is not None and name != "_null"}
    return body | ({changes["_null"]: None} if "_null" in changes else {})
