"""The table of operations: the 44 use cases of source 002, and the merge of custom attributes.

Everything else reads it: the routes, the OpenAPI document, the docs page, the calls to the OCS, the tests.

The OCS's operation names are those of its guide. Their paths follow the one pattern that its read pages
show (`/{plural}/{verb}`, `/subscribers/resources/read`): UNVERIFIED, and each can be changed in
`settings/charging` under `paths`.
"""

from dataclasses import dataclass
from typing import Literal

from switchboard.charging import models
from switchboard.models import ApiModel

type Kind = Literal["customer", "account", "subscriber", "subscription"]
type Action = Literal[
    "create",
    "subscribe",
    "offer",
    "update",
    "external-id",
    "custom-name",
    "custom-attributes",
    "merge-attributes",
    "segment",
    "state",
    "bill-cycle",
    "tax-exemption",
    "add-resource",
    "swap-resource",
    "balance",
    "balances",
]

KINDS: tuple[Kind, ...] = ("customer", "account", "subscriber", "subscription")


@dataclass(frozen=True, slots=True)
class Operation:
    """One row.

    Attributes:
        name: `customer.create`; names the operation in the ledger and in settings.
        use_case: the sentence of source 002.
        method, path: our route.
        body: the model of its body.
        call: the OCS's name of the operation.
        ocs_path: where it is called, below the secret's `baseUrl`; always POST.
        kind: what the path's `{id}` names, and the member of the OCS's body that refers to it.
        action: what is checked before, and how its effect shows.
        makes: what a create makes.
        counted: whether it is one of the 44 use cases.
    """

    name: str
    use_case: str
    method: Literal["POST", "PUT", "PATCH"]
    path: str
    body: type[ApiModel]
    call: str
    ocs_path: str
    kind: Kind
    action: Action
    makes: Kind | None = None
    counted: bool = True

    @property
    def status(self) -> int:
        """The HTTP status of success."""
        return 201 if self.method == "POST" else 200

    @property
    def subject(self) -> Kind:
        """What the answer shows."""
        return self.makes or self.kind

    @property
    def handler_name(self) -> str:
        """A name for code and OpenAPI: `customer_create`."""
        return self.name.replace(".", "_").replace("-", "_")


_CREATES: dict[Kind, type[ApiModel]] = {
    "customer": models.NewCustomer,
    "account": models.NewAccount,
    "subscriber": models.NewSubscriber,
}
_CHANGES: dict[Kind, type[ApiModel]] = {
    "customer": models.CustomerChanges,
    "account": models.AccountChanges,
    "subscriber": models.SubscriberChanges,
    "subscription": models.SubscriptionChanges,
}
_SEGMENTS: dict[Kind, type[ApiModel]] = {
    "customer": models.CustomerSegment,
    "account": models.AccountSegment,
    "subscriber": models.SubscriberSegment,
}
_TITLES: dict[Kind, str] = {
    "customer": "a Customer",
    "account": "an Account",
    "subscriber": "a Subscriber",
    "subscription": "an Offer Subscription",
}


def _create(kind: Kind) -> Operation:
    return Operation(
        f"{kind}.create",
        f"Create {_TITLES[kind]} in the OCS.",
        "POST",
        f"/charging/{kind}s",
        _CREATES[kind],
        f"Create{kind.title()}",
        f"{kind}s/create",
        kind,
        "create",
        makes=kind,
    )


def _update(kind: Kind, action: Action, what: str, body: type[ApiModel], call: str) -> Operation:
    """PUT of one aspect of an entity."""
    return Operation(
        f"{kind}.{action}",
        f"Update {_TITLES[kind]}'s {what} in the OCS.",
        "PUT",
        f"/charging/{kind}s/{{id}}/{action}",
        body,
        f"Update{kind.title()}{call}",
        f"{kind}s/update-{action}",
        kind,
        action,
    )


def _subscribe(kind: Kind) -> Operation:
    return Operation(
        f"{kind}.subscribe",
        f"Create an instance of the Offer Subscription on {kind.title()} level in the OCS.",
        "POST",
        f"/charging/{kind}s/{{id}}/subscriptions",
        models.NewSubscription,
        f"CreateSubscriptionOn{kind.title()}",
        f"subscriptions/create-on-{kind}",
        kind,
        "subscribe",
        makes="subscription",
    )


def _common(kind: Kind) -> list[Operation]:
    """What can be updated on each kind of entity."""
    rows = [
        Operation(
            f"{kind}.update",
            f"Update {_TITLES[kind]} in the OCS.",
            "PATCH",
            f"/charging/{kind}s/{{id}}",
            _CHANGES[kind],
            f"Update{kind.title()}",
            f"{kind}s/update",
            kind,
            "update",
        ),
        _update(kind, "external-id", "External ID", models.NewExternalId, "ExternalId"),
        _update(kind, "custom-name", "Custom Name", models.NewCustomName, "CustomName"),
        _update(
            kind,
            "custom-attributes",
            "Custom Attributes, the whole set,",
            models.NewAttributes,
            "CustomAttributes",
        ),
    ]
    if kind in _SEGMENTS:
        rows.append(_update(kind, "segment", "Segment", _SEGMENTS[kind], "Segment"))
    return [*rows, _update(kind, "state", "State", models.NewState, "State")]


def _merge(kind: Kind) -> Operation:
    return Operation(
        f"{kind}.merge-attributes",
        f"Merge some of {_TITLES[kind]}'s Custom Attributes into the set that the OCS has.",
        "PATCH",
        f"/charging/{kind}s/{{id}}/custom-attributes",
        models.NewAttributes,
        f"Update{kind.title()}CustomAttributes",
        f"{kind}s/update-custom-attributes",
        kind,
        "merge-attributes",
        counted=False,
    )


def _offer(offer: str, title: str, call: str) -> Operation:
    return Operation(
        f"offer.{offer}",
        f"Create an instance of the {title} in the OCS.",
        "POST",
        f"/charging/offers/{offer}",
        models.NewOffer,
        call,
        f"subscriptions/create-{offer}",
        "subscription",
        "offer",
        makes="subscription",
    )


def _resource_row(
    action: Action, method: Literal["POST", "PUT"], path: str, use_case: str, call: str, verb: str
) -> Operation:
    return Operation(
        f"subscriber.{action}",
        use_case,
        method,
        f"/charging/subscribers/{{id}}/{path}",
        models.Resource,
        call,
        f"subscribers/resources/{verb}",
        "subscriber",
        action,
    )


def _balance(action: Action, path: str, use_case: str, body: type[ApiModel], call: str) -> Operation:
    return Operation(
        f"subscription.{action}",
        use_case,
        "PATCH",
        f"/charging/subscriptions/{{id}}/{path}",
        body,
        call,
        f"subscriptions/update-{action}",
        "subscription",
        action,
    )


OPERATIONS: tuple[Operation, ...] = (
    # Customer management: 8
    _create("customer"),
    *_common("customer"),
    _subscribe("customer"),
    # Account management: 10
    _create("account"),
    *_common("account"),
    _subscribe("account"),
    _update("account", "bill-cycle", "Bill Cycle", models.BillCycle, "BillCycle"),
    _update("account", "tax-exemption", "Tax Exemption flag", models.TaxExemption, "TaxExemption"),
    # Subscriber management: 10
    _create("subscriber"),
    *_common("subscriber"),
    _subscribe("subscriber"),
    _resource_row(
        "add-resource",
        "POST",
        "resources",
        "Create an instance of the Resource on Subscriber level in the OCS.",
        "CreateSubscriberResource",
        "create",
    ),
    _resource_row(
        "swap-resource",
        "PUT",
        "resources/{resource}",
        "Update a Resource on the Subscriber in the OCS: swap it for another.",
        "SwapSubscriberResource",
        "swap",
    ),
    # Subscription management: 5
    *_common("subscription"),
    # Individual offer management: 9
    _offer("individual", "Individual Offer Subscription", "CreateIndividualOfferSubscription"),
    _offer("balance", "Balance Subscription", "CreateBalanceSubscription"),
    _offer("monetary-balance", "Monetary Balance Offer Subscription", "CreateMonetaryBalanceSubscription"),
    _offer("one-time-fee", "One-Time Fee Offer Subscription", "CreateOneTimeFeeSubscription"),
    _offer("recurrent-fee", "Recurrent Fee Offer Subscription", "CreateRecurrentFeeSubscription"),
    _offer("absolute-discount", "Absolute Discount Offer Subscription", "CreateAbsoluteDiscountSubscription"),
    _offer(
        "percentage-discount",
        "Percentage Discount Offer Subscription",
        "CreatePercentageDiscountSubscription",
    ),
    _offer(
        "absolute-billing-discount",
        "Absolute Billing Discount Offer Subscription",
        "CreateAbsoluteBillingDiscountSubscription",
    ),
    _offer(
        "percentage-billing-discount",
        "Percentage Billing Discount Offer Subscription",
        "CreatePercentageBillingDiscountSubscription",
    ),
    # Balance management: 2
    _balance(
        "balance",
        "balances/{balanceId}",
        "Update a Balance on the Offer Subscription in the OCS: add to it or subtract from it.",
        models.BalanceChange,
        "UpdateSubscriptionBalance",
    ),
    _balance(
        "balances",
        "balances",
        "Update multiple Balances on the Offer Subscription in the OCS, all or none.",
        models.BalanceChanges,
        "UpdateSubscriptionBalances",
    ),
    # Beyond the use cases
    *(_merge(kind) for kind in KINDS),
)

BY_NAME: dict[str, Operation] = {operation.name: operation for operation in OPERATIONS}

TRANSITIONS: dict[str, tuple[str, ...]] = {
    "INACTIVE": ("ACTIVE", "DEACTIVATED"),
    "ACTIVE": ("SUSPENDED", "DEACTIVATED"),
    "SUSPENDED": ("ACTIVE", "DEACTIVATED"),
    "DEACTIVATED": (),
}
"""The legal changes of state; DEACTIVATED is terminal."""
