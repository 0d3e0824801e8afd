"""CRM events from outside, once each: what has been told before is told again as it was the first time.

One conditional write remembers the event. Whoever tells it again gets the first one back and publishes that:
its deliveries have the same ids, so nothing is called twice, and a worker that died before it published
loses nothing.
"""

from dataclasses import dataclass
from datetime import timedelta

from switchboard import clock, ids
from switchboard.crm_events import CrmEvent
from switchboard.dynamo import ConditionFailed, Table

KEPT = timedelta(days=30)
"""As long as an Idempotency-Key."""


@dataclass(frozen=True, slots=True)
class Told:
    """The events that have been told, in the State table."""

    table: Table

    def first(self, event: CrmEvent, *parts: str, window: timedelta = KEPT) -> CrmEvent:
        """The event under the name `parts` that was told first within `window`."""
        now = clock.now()
        text = event.model_dump_json(by_alias=True, exclude_none=True)
        try:
            self.table.put(
                {
                    "pk": f"TOLD#{ids.derived('tld', *parts)}",
                    "sk": "EVENT",
                    "event": text,
                    "until": clock.rfc3339(now + window),
                    "expiresAt": int((now + KEPT).timestamp()),
                },
                condition="attribute_not_exists(pk) OR #until < :now",
                names={"#until": "until"},
                values={":now": clock.rfc3339(now)},
            )
        except ConditionFailed as earlier:
            return CrmEvent.model_validate_json((earlier.item or {"event": text})["event"])
        return event
