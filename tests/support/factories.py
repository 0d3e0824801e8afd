"""Factories: each makes one plausible value, and takes what a test cares about."""

import itertools
from typing import Any

from switchboard.crm import NewCase, NewLead, SocialProfile

_numbers = itertools.count(1)


def profile(**fields: Any) -> SocialProfile:
    """A social profile that nobody else has."""
    number = next(_numbers)
    given = {
        "community": "twitter",
        "author_id": f"author-{number}",
        "author_name": f"jane_{number}",
    } | fields
    return SocialProfile(**given)


def new_case(**fields: Any) -> NewCase:
    """A case to open, in a conversation of its own."""
    number = next(_numbers)
    given = {
        "subject": f"No signal since yesterday ({number})",
        "description": "My phone shows no signal since yesterday. Please help!",
        "channel": "twitter",
        "conversation": f"twitter:{number}",
        "assigned_to": "team-network",
    } | fields
    return NewCase(**given)


def new_lead(**fields: Any) -> NewLead:
    """A lead to create, of a person whom nobody knows."""
    number = next(_numbers)
    given = {"last_name": "Miller", "email": f"new.lead.{number}@example.com"} | fields
    return NewLead(**given)


def post(**fields: Any) -> dict[str, Any]:
    """The body of a POST /social/posts; a field given as None is left out."""
    number = next(_numbers)
    unique_id = f"post-{number}"
    given = {
        "uniqueId": unique_id,
        "community": "twitter",
        "authorId": f"author-{number}",
        "authorName": f"jane_{number}",
        "postLink": f"https://twitter.example/jane/status/{unique_id}",
        "body": "My phone shows no signal since yesterday. Please help!",
        "postedAt": "2026-03-01T09:30:00Z",
        "language": "en",
        "sentiment": "negative",
        "topics": ["network"],
    } | fields
    return {name: value for name, value in given.items() if value is not None}


def member(**fields: Any) -> dict[str, Any]:
    """The body of a PUT /members/{n}; a field given as None is left out."""
    number = next(_numbers)
    given = {
        "firstName": "Jane",
        "lastName": "Miller",
        "email": f"jane.{number}@example.com",
        "phone": "+4930123456",
        "postalCode": "10115",
        "dateOfBirth": "1980-12-04",
        "country": "DE",
        "emailOptIn": True,
        "attributes": {"tariff": "gold"},
        "version": 1,
    } | fields
    return {name: value for name, value in given.items() if value is not None}


def customer(**fields: Any) -> dict[str, Any]:
    """The body of a POST /crm/customers; a field given as None is left out."""
    number = next(_numbers)
    given = {
        "firstName": "Jane",
        "lastName": "Miller",
        "email": f"jane.{number}@example.com",
        "phone": f"+4930{number:08d}",
        "country": "DE",
    } | fields
    return {name: value for name, value in given.items() if value is not None}


def key(kind: str = "work") -> str:
    """A key of a piece of work that nobody else has."""
    return f"{kind}-{next(_numbers)}"


def lead(**fields: Any) -> dict[str, Any]:
    """The body of a POST /leads; a field given as None is left out."""
    number = next(_numbers)
    given = {"firstName": "Jane", "lastName": "Miller", "email": f"lead.{number}@example.com"} | fields
    return {name: value for name, value in given.items() if value is not None}


def invitation(**fields: Any) -> dict[str, Any]:
    """The body of a POST /surveys/{id}/invitations; a field given as None is left out."""
    number = next(_numbers)
    given = {
        "email": f"guest.{number}@example.com",
        "firstName": "Jane",
        "lastName": "Miller",
        "transactionId": f"case-{number}",
        "parameters": {"employeeId": "E7", "campaignId": "C9"},
    } | fields
    return {name: value for name, value in given.items() if value is not None}
