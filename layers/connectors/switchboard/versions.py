"""How versions of one thing are ordered, whoever numbers them."""

from datetime import datetime
from decimal import Decimal

type Version = int | Decimal
"""What is compared to tell an older version; whole, but for changes between the versions of a source."""

_EARLIEST_TIME = 10**14
"""Versions from here on are times: microseconds since the epoch, from the year 1973 on."""

_CHANGE = Decimal("0.000001")


def order_of(moment: datetime) -> int:
    """A time as a version: microseconds since the epoch."""
    return int(moment.timestamp() * 1_000_000)


def order_after(version: Version, now: datetime) -> Version:
    """The version of a change that is made elsewhere than where the versions are numbered.

    It takes no number away from who numbers them: the changes after version 7 stand between 7 and 8. Where
    times are the versions, it is the time of the change.
    """
    if version >= _EARLIEST_TIME:
        return max(int(version) + 1, order_of(now))
    return version + _CHANGE
