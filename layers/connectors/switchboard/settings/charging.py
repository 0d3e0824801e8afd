"""`settings/charging`: what the OCS asks for beyond its guide, its wire as far as no source shows it, and
which new customers of the CRM are set up in the OCS (source 002)."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from switchboard.conditions import Where
from switchboard.models import ApiModel

type Key = Annotated[str, Field(min_length=1, max_length=200)]
type Keys = Annotated[list[Key], Field(max_length=100)]
type Value = Annotated[str, Field(max_length=4000)]
type Member = Annotated[str, Field(pattern="^[A-Za-z][A-Za-z0-9_]{0,63}$")]
type Path = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*(/[A-Za-z0-9_-]+){0,7}$")]


def _known_operations(paths: dict[str, str]) -> dict[str, str]:
    from switchboard.charging.operations import BY_NAME

    for name in paths:
        if name not in BY_NAME and name not in READS:
            raise ValueError(f"{name!r} is no operation; docs/charging-operations.md lists them")
    return paths


READS = {
    "customer.read": "customers/read",
    "account.read": "accounts/read",
    "subscriber.read": "subscribers/read",
    "subscription.read": "subscriptions/read",
    "subscription.read-balances": "subscriptions/balances/read",
}
"""The OCS's reads; all but the last are in its guide."""


class MandatoryAttributes(ApiModel):
    """The custom attributes that a set must have, by kind of entity."""

    customers: Keys = []
    accounts: Keys = []
    subscribers: Keys = []
    subscriptions: Keys = []


class StateReasons(ApiModel):
    """The reason that is sent with a state when the caller gives none; the OCS asks for one."""

    inactive: Annotated[Key, Field(alias="INACTIVE")] = "dfltInactive"
    active: Annotated[Key, Field(alias="ACTIVE")] = "dfltActive"
    suspended: Annotated[Key, Field(alias="SUSPENDED")] = "dfltSuspended"
    deactivated: Annotated[Key, Field(alias="DEACTIVATED")] = "dfltDeactivated"


class BalanceFields(ApiModel):
    """How the OCS calls the members of a balance update; on no page of its guide, so UNVERIFIED."""

    balance_id: Member = "balanceId"
    operation: Member = "operation"
    amount: Member = "amount"
    units: Member = "units"
    reason: Member = "reason"
    balances: Member = "balances"
    add: Key = "add"
    subtract: Key = "subtract"


class ProvisioningRule(ApiModel):
    """A new customer of the CRM that fulfils `where` becomes a customer in the OCS, under its `accountId`.

    With `accountProfile` it gets an account, with `subscriberProfile` a subscriber, under the same id.
    """

    object: Literal["customer"]
    event: Literal["create"]
    where: Where = {}
    customer_profile: Key
    account_profile: Key | None = None
    subscriber_profile: Key | None = None
    custom_attributes: Annotated[
        dict[Key, Annotated[str, Field(max_length=4000)]], Field(max_length=200)
    ] = {}


class ChargingSettings(ApiModel):
    """The area `charging`."""

    mandatory_attributes: MandatoryAttributes = MandatoryAttributes()
    provisioning: Annotated[
        list[ProvisioningRule], Field(max_length=100, description="The first rule that fits wins.")
    ] = []
    paths: Annotated[
        dict[str, Path],
        AfterValidator(_known_operations),
        Field(description="By operation: the OCS's path below baseUrl, where it is not the default."),
    ] = {}
    state_reasons: StateReasons = StateReasons()
    balance_fields: BalanceFields = BalanceFields()
    request_id_deduplicates: Annotated[
        bool,
        Field(
            description="Whether the OCS takes a requestId that it has seen for the same request. When not, "
            "a balance whose answer was lost is left to a person, never sent again."
        ),
    ] = True
