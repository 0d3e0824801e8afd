"""The bodies of the charging routes: CASM's own, without `requestId` and the entity's reference.

Field names and rules are those of the OCS.io integration guide (docs.ocs.io/-/integration-guide/casm/…).
The bodies of individual offers and of balances are on none of its pages: UNVERIFIED.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from switchboard.charging.currencies import CURRENCIES
from switchboard.models import ApiModel, QueryModel

type StateName = Literal["INACTIVE", "ACTIVE", "SUSPENDED", "DEACTIVATED"]

MAX_BALANCES = 50


def _external_id(text: str) -> str:
    if text != text.strip() or not text.isprintable() or "/" in text or text in (".", ".."):
        raise ValueError("an external id has no slash, no control characters and no blanks around it")
    return text


def _currency(code: str) -> str:
    if code not in CURRENCIES:
        raise ValueError("not a currency of ISO 4217")
    return code


type ExternalId = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_external_id)]
type Code = Annotated[str, Field(min_length=1, max_length=200)]
type Name = Annotated[str, Field(min_length=1, max_length=500)]
type Currency = Annotated[str, Field(pattern="^[A-Z]{3}$"), AfterValidator(_currency)]
type AttributeName = Annotated[str, Field(min_length=1, max_length=200)]
type Attributes = Annotated[
    dict[AttributeName, Annotated[str, Field(max_length=4000)]], Field(max_length=200)
]
type Day = Annotated[int, Field(ge=1, le=31)]
type Month = Annotated[int, Field(ge=1, le=12)]
type Year = Annotated[int, Field(ge=1970, le=9999)]


class IdQuery(QueryModel):
    """Which id stands in the path: the caller's own, or the OCS's."""

    id_type: Literal["externalId", "refId"] = "externalId"


class Reference(ApiModel):
    """An entity by the caller's id or by the OCS's own: exactly one of the two."""

    external_id: ExternalId | None = None
    ref_id: Code | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.external_id is None) == (self.ref_id is None):
            raise ValueError("exactly one of externalId and refId")
        # A null beside it says nothing, and is sent to nobody.
        self.model_fields_set.discard("external_id" if self.external_id is None else "ref_id")
        return self


class State(ApiModel):
    """A state with its reason and the moment from which it holds."""

    state: StateName
    state_reason: Code
    state_valid_from: AwareDatetime | None = None
    pending: bool | None = None


def _state_object(given: Any) -> Any:
    flat = ("state", "stateReason", "stateValidFrom", "pending")
    if not isinstance(given, dict) or not isinstance(given.get("state"), str):
        return given
    rest = {name: value for name, value in given.items() if name not in flat}
    return rest | {"state": {name: given[name] for name in flat if name in given}}


class _Create(ApiModel):
    """What creating any entity takes; `state` is CASM's object, or a name with `stateReason` beside it."""

    external_id: ExternalId | None = None
    custom_name: Name | None = None
    custom_attributes: Attributes | None = None
    state: State | None = None

    _state_object = model_validator(mode="before")(_state_object)


def _profile_or_state(profile: str | None, info: ValidationInfo) -> str | None:
    # When `state` itself is broken it is missing here, and named by its own error.
    if profile is None and info.data.get("state", "broken") is None:
        raise ValueError("a profile is required when there is no state")
    return profile


class NewCustomer(_Create):
    """CreateCustomer. Without a profile it needs a state with its reason."""

    customer_profile: Annotated[Code | None, Field(validate_default=True)] = None
    customer_segment: Code | None = None
    test_customer: bool | None = None

    _profile = field_validator("customer_profile")(_profile_or_state)


class NewAccount(_Create):
    """CreateAccount, of a customer, or beneath a parent account. Without a profile it needs a state."""

    account_profile: Annotated[Code | None, Field(validate_default=True)] = None
    account_type: Code | None = None
    parent: Reference | None = None
    customer: Annotated[Reference | None, Field(validate_default=True)] = None
    account_segment: Code | None = None
    bill_cycle: Code | None = None
    billing_day: Day | None = None
    billing_month: Month | None = None
    billing_year: Year | None = None
    currency: Currency | None = None
    payment_responsible: bool | None = None
    test_account: bool | None = None
    tax_exemption: bool | None = None
    tax_residence: Code | None = None

    _profile = field_validator("account_profile")(_profile_or_state)

    @field_validator("customer")
    @classmethod
    def _has_an_owner(cls, customer: Reference | None, info: ValidationInfo) -> Reference | None:
        if customer is None and info.data.get("parent", "broken") is None:
            raise ValueError("an account belongs to a customer, or to a parent account")
        return customer

    @field_validator("parent")
    @classmethod
    def _is_not_its_own_parent(cls, parent: Reference | None, info: ValidationInfo) -> Reference | None:
        if parent and parent.external_id and parent.external_id == info.data.get("external_id"):
            raise ValueError("an account is not its own parent")
        return parent


class NewSubscriber(_Create):
    """CreateSubscriber. Without an account it needs a profile; without a profile, a state."""

    account: Reference | None = None
    subscriber_profile: Annotated[Code | None, Field(validate_default=True)] = None
    primary_resource: Code | None = None
    primary_resource_type: Annotated[Code | None, Field(validate_default=True)] = None
    subscriber_segment: Code | None = None

    _profile = field_validator("subscriber_profile")(_profile_or_state)

    @field_validator("subscriber_profile")
    @classmethod
    def _has_profile_or_account(cls, profile: str | None, info: ValidationInfo) -> str | None:
        if profile is None and info.data.get("account", "broken") is None:
            raise ValueError("a profile is required when there is no account")
        return profile

    @field_validator("primary_resource_type")
    @classmethod
    def _has_type_and_resource(cls, kind: str | None, info: ValidationInfo) -> str | None:
        if (kind is None) != (info.data.get("primary_resource") is None) and "primary_resource" in info.data:
            raise ValueError("primaryResourceType and primaryResource come together")
        return kind


class NewSubscription(_Create):
    """CreateSubscriptionOnCustomer, …OnAccount, …OnSubscriber: an instance of a configured offer."""

    offer: Code
    priority: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    parent_offer_subscription: Reference | None = None


class NewOffer(NewSubscription):
    """An individual offer on one customer, account or subscriber.

    UNVERIFIED beyond `offer`, `externalId` and the level entity; `offerAttributes` is how we pass on what
    the guide calls mandatory Offer Attributes.
    """

    offer_attributes: Attributes | None = None
    customer: Reference | None = None
    account: Reference | None = None
    subscriber: Annotated[Reference | None, Field(validate_default=True)] = None

    @field_validator("subscriber")
    @classmethod
    def _is_on_one_level(cls, subscriber: Reference | None, info: ValidationInfo) -> Reference | None:
        if not {"customer", "account"} <= info.data.keys():
            return subscriber
        if [info.data["customer"], info.data["account"], subscriber].count(None) != 2:
            raise ValueError("exactly one of customer, account and subscriber")
        return subscriber


class _Changes(ApiModel):
    """Some of an entity's fields; what is left out stays as it is."""

    external_id: ExternalId | None = None
    custom_name: Name | None = None
    custom_attributes: Attributes | None = None
    state: State | None = None

    _state_object = model_validator(mode="before")(_state_object)

    @field_validator("*")
    @classmethod
    def _is_not_null(cls, value: object, info: ValidationInfo) -> object:
        if value is None and info.field_name not in _NULLABLE:
            raise ValueError("leave it out, or give a value")
        return value

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("at least one field to change")
        return self


_NULLABLE = frozenset({"parent", "billing_day", "billing_month", "billing_year"})


class CustomerChanges(_Changes):
    """UpdateCustomer."""

    customer_profile: Code | None = None
    customer_segment: Code | None = None
    test_customer: bool | None = None


class AccountChanges(_Changes):
    """UpdateAccount. `parent: null` takes the account out of its hierarchy."""

    account_profile: Code | None = None
    account_type: Code | None = None
    account_segment: Code | None = None
    customer: Reference | None = None
    parent: Reference | None = None
    bill_cycle: Code | None = None
    billing_day: Day | None = None
    billing_month: Month | None = None
    billing_year: Year | None = None
    currency: Currency | None = None
    payment_responsible: bool | None = None
    test_account: bool | None = None
    tax_exemption: bool | None = None
    tax_residence: Code | None = None


class SubscriberChanges(_Changes):
    """UpdateSubscriber. Resources are changed by a swap."""

    subscriber_profile: Code | None = None
    subscriber_segment: Code | None = None
    account: Reference | None = None


class SubscriptionChanges(_Changes):
    """Update of an offer subscription."""

    priority: Annotated[int, Field(ge=0, lt=2**31)] | None = None


class NewExternalId(ApiModel):
    """Update…ExternalId. The old id can no longer be used."""

    external_id: ExternalId


class NewCustomName(ApiModel):
    """Update…CustomName."""

    custom_name: Name


class NewAttributes(ApiModel):
    """Update…CustomAttributes: the whole set on PUT, what changes on PATCH."""

    custom_attributes: Attributes


class CustomerSegment(ApiModel):
    """UpdateCustomerSegment."""

    customer_segment: Code


class AccountSegment(ApiModel):
    """UpdateAccountSegment."""

    account_segment: Code


class SubscriberSegment(ApiModel):
    """UpdateSubscriberSegment."""

    subscriber_segment: Code


class NewState(ApiModel):
    """Update…State. Without `stateReason` the one of `settings/charging` is sent (`dfltActive` …).

    `pending`: the state waits for `stateValidFrom`. `subordinateUpdated`: it holds for accounts, subscribers
    and subscriptions beneath as well.
    """

    state: StateName
    state_reason: Code | None = None
    state_valid_from: AwareDatetime | None = None
    pending: bool | None = None
    subordinate_updated: bool | None = None


class BillCycle(ApiModel):
    """UpdateAccountBillCycle. Without `validFrom` it holds at once."""

    bill_cycle: Code
    billing_day: Day | None = None
    billing_month: Month | None = None
    billing_year: Year | None = None
    valid_from: AwareDatetime | None = None


class TaxExemption(ApiModel):
    """UpdateAccountTaxExemption."""

    tax_exemption: bool
    tax_residence: Code | None = None


class Resource(ApiModel):
    """CreateSubscriberResource; on a swap, the resource that replaces the one in the path."""

    resource_type: Code
    resource: Code


type Amount = Annotated[int | float, Field(gt=0, lt=1e12, allow_inf_nan=False)]


class BalanceChange(ApiModel):
    """UpdateSubscriptionBalance. There is no `set`: what is set after a read loses money. UNVERIFIED."""

    operation: Literal["add", "subtract"]
    amount: Amount
    units: Code | None = None
    reason: Annotated[str, Field(min_length=1, max_length=500)] | None = None


class OneOfSeveral(BalanceChange):
    """The change of one balance among several."""

    balance_id: ExternalId


class BalanceChanges(ApiModel):
    """UpdateSubscriptionBalances: several balances of one subscription, each once. UNVERIFIED."""

    balances: Annotated[list[OneOfSeveral], Field(min_length=1, max_length=MAX_BALANCES)]

    @field_validator("balances")
    @classmethod
    def _names_each_once(cls, balances: list[OneOfSeveral]) -> list[OneOfSeveral]:
        if len({one.balance_id for one in balances}) != len(balances):
            raise ValueError("each balanceId once")
        return balances


# answers ----------------------------------------------------------------------------------------------------


class Entity(BaseModel):
    """An entity as the OCS has it now; members that are not named here are the OCS's own.

    `state` is flat: its name, with `stateReason`, `stateValidFrom` and `pending` beside it.
    """

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="allow", defer_build=True
    )

    external_id: str | None = None
    ref_id: str | None = None


class BalanceItem(ApiModel):
    """What became of one balance: `done`, `refused` in the OCS's words, or `not_done` because of another."""

    balance_id: str
    status: Literal["done", "refused", "not_done"]
    error: str | None = None


class BalanceItems(ApiModel):
    """What became of each balance, in the order of the request."""

    items: list[BalanceItem]


class Accepted(ApiModel):
    """The operation is done later; follow it at `Location`."""

    operation_id: str
    status: str


class OperationState(ApiModel):
    """Where an operation stands. `status` is one of the ledger's states."""

    operation_id: str
    operation: str
    status: str
    external_id: str | None = None
    ref_id: str | None = None
    items: list[BalanceItem] | None = None
    code: str | None = None
    error: str | None = None
    action: str | None = None
    attempts: int
    created_at: str
    updated_at: str
