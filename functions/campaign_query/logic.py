"""How a campaign's dates are written."""

from datetime import date, datetime
from typing import Annotated

from pydantic import BeforeValidator


def _day(value: object) -> object:
    """The day of a date or of an RFC 3339 time; anything else goes on as it is, to be refused."""
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value).date()
        except ValueError:
            return value
    return value


type CampaignDate = Annotated[date, BeforeValidator(_day)]
"""`2026-03-01`; a time is taken for its day."""
