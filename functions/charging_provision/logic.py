"""What a new customer of the CRM becomes in the OCS."""

from collections.abc import Mapping, Sequence
from typing import Any

from switchboard.charging.jobs import Job
from switchboard.charging.operations import BY_NAME
from switchboard.conditions import holds
from switchboard.settings.charging import ProvisioningRule


def rule_for(rules: Sequence[ProvisioningRule], record: Mapping[str, Any]) -> ProvisioningRule | None:
    """The first rule that fits the customer's record."""
    return next((rule for rule in rules if holds(rule.where, record)), None)


def custom_name(record: Mapping[str, Any]) -> str | None:
    """The customer's name as the CRM has it."""
    parts = [record.get("firstName"), record.get("lastName")]
    return " ".join(part for part in parts if part) or None


def jobs(account_id: str, rule: ProvisioningRule, record: Mapping[str, Any]) -> list[Job]:
    """Customer, account and subscriber, as far as the rule asks for them, in the order of their creation."""
    name = custom_name(record)
    common: dict[str, Any] = {"externalId": account_id}
    if name:
        common["customName"] = name
    customer = common | {"customerProfile": rule.customer_profile}
    if rule.custom_attributes:
        customer |= {"customAttributes": dict(rule.custom_attributes)}
    made = [Job(BY_NAME["customer.create"], {}, None, customer, later=True)]
    owner = {"externalId": account_id}
    if rule.account_profile:
        account = common | {"accountProfile": rule.account_profile, "customer": owner}
        made.append(Job(BY_NAME["account.create"], {}, None, account, later=True))
    if rule.subscriber_profile:
        subscriber = common | {"subscriberProfile": rule.subscriber_profile}
        if rule.account_profile:
            subscriber |= {"account": owner}
        made.append(Job(BY_NAME["subscriber.create"], {}, None, subscriber, later=True))
    return made
