"""What goes out with an invitation and comes back with its response: the custom variables."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

_CUSTOM = re.compile(r"custom[1-9]\d{0,2}")
_INVITATION = re.compile(r"led_[0-9abcdefghjkmnpqrstvwxyz]{26}")
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]+(?:\.[^@\s.]+)+")


def custom_variables(
    invitation_id: str, parameters: Mapping[str, str], variables: Mapping[str, str]
) -> dict[str, str]:
    """`custom1` … with the invitation's id and the extra parameters.

    A parameter goes where `variables` puts it, one that is named `customN` under its own name, any other
    into the next free one by its name's order; the invitation's id comes first of those.
    """
    placed: dict[str, str] = {}
    unplaced = []
    for name in sorted(parameters):
        slot = variables.get(name) or (name if _CUSTOM.fullmatch(name) else None)
        if slot is None or slot in placed:
            unplaced.append(parameters[name])
        else:
            placed[slot] = parameters[name]
    reserved = placed.keys() | set(variables.values())
    free = (f"custom{number}" for number in range(1, 1000) if f"custom{number}" not in reserved)
    for value in (invitation_id, *unplaced):
        placed[next(free)] = value
    return placed


def with_variables(url: str, custom: Mapping[str, str]) -> str:
    """The URL with the variables in its query; what is there stays."""
    parts = urlsplit(url)
    ordered = {name: custom[name] for name in sorted(custom, key=_number)}
    query = urlencode(ordered, quote_via=quote)
    return parts._replace(query=f"{parts.query}&{query}" if parts.query else query).geturl()


def _number(variable: str) -> int:
    return int(variable.removeprefix("custom"))


def _values(item: Mapping[str, Any]) -> Iterator[str]:
    """Everything in a response that may name whose it is."""
    for name in ("externalReference", "emailAddress", "email"):
        if isinstance(held := item.get(name), str):
            yield held.strip()
    for group in (item.get("customVariables"), item.get("highCustomVariables"), item.get("urlVariables")):
        if isinstance(group, Mapping):
            yield from (held.strip() for held in group.values() if isinstance(held, str))
    yield from (
        held.strip() for name, held in item.items() if _CUSTOM.fullmatch(name) and isinstance(held, str)
    )


def invitation_in(item: Mapping[str, Any]) -> str | None:
    """The invitation's id that came back with a response."""
    return next((value for value in _values(item) if _INVITATION.fullmatch(value)), None)


def emails_in(item: Mapping[str, Any]) -> list[str]:
    """The e-mail addresses that came back with a response, each once."""
    found = (value.casefold() for value in _values(item) if _EMAIL.fullmatch(value) and len(value) <= 254)
    return list(dict.fromkeys(found))


def reference_in(item: Mapping[str, Any]) -> str | None:
    """The external reference, when it may be a customer's id."""
    held = item.get("externalReference")
    if not isinstance(held, str) or not held.strip() or len(held) > 200 or "@" in held:
        return None
    return None if _INVITATION.fullmatch(held.strip()) else held.strip()
