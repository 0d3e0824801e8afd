"""The port to whoever collects the answers: what a transport of it offers, and what crosses it.

`connectors/questionpro` speaks REST, `connectors/survey_rpc` the older XML-RPC and SOAP.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

PATIENCE = 13.0
"""Seconds that a call waits for its turn in the shared budget: two of its slices, and less than a partner."""

CALL_SECONDS = 20.0
"""What one call may take, that wait included; API Gateway waits 29."""

_USED_UP = re.compile(r"contact|quota|free[ -](api|call)|upgrade", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Contact:
    """Whom a personal URL is for. `custom`: `custom1` … as the responses carry them back."""

    email: str
    first_name: str | None = None
    last_name: str | None = None
    mobile: str | None = None
    language: str | None = None
    custom: Mapping[str, str] | None = None
    transaction_date: str | None = None
    """`dd/mm/yyyy`, as the vendor's example has it."""
    segment_code: str | None = None


@dataclass(frozen=True, slots=True)
class ResponsePage:
    """One page of a survey's responses.

    `items` are (parsed, raw): the raw text is the vendor's own, but for line breaks between its tokens.
    `total` counts the responses of the whole query, partial ones too; None when the vendor does not say.
    """

    number: int
    items: list[tuple[dict[str, Any], str]]
    total: int | None
    last: bool


class SurveyVendor(Protocol):
    """The verbs of surveys. Each raises `errors.VendorError`."""

    def survey_url(self, survey_id: str, contact: Contact) -> str:
        """The personal URL of one contact; may be repeated."""

    def survey_urls(self, survey_id: str, contacts: Sequence[Contact]) -> list[str | None]:
        """The URLs of at most 100 contacts, in their order; None for one that has to be asked for alone."""

    def responses(
        self, survey_id: str, *, page: int, per_page: int, since: str | None = None
    ) -> ResponsePage:
        """One page of responses, from 1; `since` is `YYYY-MM-DDTHH:MM:SS` in UTC."""


def says_used_up(words: str) -> bool:
    """Whether a refusal for too many calls means the quota, which waiting does not bring back."""
    return _USED_UP.search(words) is not None


def whole_url(text: object) -> str | None:
    """A personal URL as it can be given away; None for anything else."""
    if not isinstance(text, str):
        return None
    try:
        parts = urlsplit(text)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return None
    return text if whole and text.isprintable() and " " not in text else None
