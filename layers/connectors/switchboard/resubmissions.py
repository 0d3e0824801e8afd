"""Runs of resubmissions: many ledger entries done again, the first of them alone.

    pk                  sk         item
    RESUBMISSION#<id>   RUN        the run; `openKey` and `dueAt` while it is under way, for the sweeper
    RESUBMISSION#<id>   PART#<n>   up to `PART` of its entries, and what became of them

What was matched is written down when the run is accepted, so a run never grows. It is moved on by messages on
its queue, each a step: look at the canary, send a part, look what came of a part. A step ends with one
conditional write on the run's revision, so a message that comes twice takes no step twice. What it does to
an entry may be repeated: the entry's history names the run.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import batched
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError

from switchboard import clock, observability, work
from switchboard.aws import sqs
from switchboard.dynamo import ConditionFailed, Item, Table, Write, transact

type RunStatus = Literal["canary", "running", "complete", "stopped"]

PART = 100
"""Entries of one part: what is sent in one go."""

MOST = 10_000
"""Entries of one run; what is beyond is another run's."""

_LOST_AFTER = timedelta(minutes=2)
_KEPT = timedelta(days=90)
_OPEN = "resubmission"


@dataclass(frozen=True, slots=True)
class Run:
    """A run as it stands.

    Attributes:
        partner_id: who has asked for it.
        matched: the entries that it is about. `more`: beyond `MOST` there were others.
        canary: the entry that goes alone; None until one is chosen.
        position: the parts that are sent.
        watching: the parts that need no look any more: for a canary at first, then for what came of them.
        skipped: entries that were running, done, or moved on since the run was accepted.
        succeeded, failed: of the resubmitted.
        waits: looks in a row that found nothing new.
        moved_at: when it last got on, RFC 3339.
    """

    resubmission_id: str
    partner_id: str
    status: RunStatus
    matched: int
    parts: int
    created_at: str
    updated_at: str
    moved_at: str
    correlation_id: str
    more: bool = False
    canary: str | None = None
    position: int = 0
    watching: int = 0
    resubmitted: int = 0
    skipped: int = 0
    succeeded: int = 0
    failed: int = 0
    waits: int = 0
    revision: int = 0
    detail: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be done."""
        return self.status in ("complete", "stopped")


@dataclass(frozen=True, slots=True)
class Part:
    """Some of a run's entries. `waiting`: those that were sent and have come to no end yet."""

    ledger_ids: list[str]
    waiting: list[str]


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)


_FIELDS = {name: _camel(name) for name in Run.__dataclass_fields__}


def _from_item(item: Item) -> Run:
    return Run(**{name: item[held] for name, held in _FIELDS.items() if item.get(held) is not None})


def _pk(resubmission_id: str) -> str:
    return f"RESUBMISSION#{resubmission_id}"


def _part_sk(number: int) -> str:
    return f"PART#{number:05d}"


@dataclass(frozen=True, slots=True)
class Runs:
    """The runs in the State table."""

    table: Table

    def create(
        self,
        resubmission_id: str,
        ledger_ids: Sequence[str],
        *,
        partner_id: str,
        at: str,
        correlation_id: str,
        more: bool = False,
    ) -> Run:
        """Write a run down, and send its first message; when it is there already, that one.

        `at`: RFC 3339, from before the entries were matched: one that moved since is not done again.
        """
        known = self.get(resubmission_id)
        if known is not None:
            return known
        parts = [list(ids) for ids in batched(ledger_ids, PART, strict=False)]
        for number, ids in enumerate(parts):
            self.table.put(self._part_item(resubmission_id, number, Part(ids, [])))
        status: RunStatus = "canary" if parts else "complete"
        facts = (at, clock.timestamp(), clock.timestamp(), correlation_id, more)
        run = Run(resubmission_id, partner_id, status, len(ledger_ids), len(parts), *facts)
        item = {_FIELDS[name]: getattr(run, name) for name in _FIELDS if getattr(run, name) is not None}
        item |= {"pk": _pk(resubmission_id), "sk": "RUN", "expiresAt": _expiry()}
        if not run.is_over:
            item |= {"openKey": _OPEN, "dueAt": clock.timestamp(_LOST_AFTER)}
        self.table.put(item)
        if not run.is_over:
            offer(run)
        return run

    def get(self, resubmission_id: str) -> Run | None:
        """The run, or None."""
        item = self.table.get(_pk(resubmission_id), "RUN")
        return _from_item(item) if item else None

    def part(self, run: Run, number: int) -> Part:
        """One of the run's parts."""
        item = self.table.get(_pk(run.resubmission_id), _part_sk(number))
        return Part(item["ledgerIds"], item["waiting"]) if item else Part([], [])

    def move(
        self, run: Run, *, part: tuple[int, Part] | None = None, delay: int = 0, **changes: Any
    ) -> Run | None:
        """Take one step of the run, with what became of a part; None when somebody else has taken it.

        `delay`: seconds until the next step.
        """
        facts: Item = {_FIELDS[name]: value for name, value in changes.items()}
        facts |= {"updatedAt": clock.timestamp(), "revision": run.revision + 1}
        removed = ""
        if changes.get("status") in ("complete", "stopped"):
            removed = " REMOVE openKey, dueAt"
        else:
            facts |= {"openKey": _OPEN, "dueAt": clock.timestamp(_LOST_AFTER + timedelta(seconds=delay))}
        step = Write(
            self.table,
            key=(_pk(run.resubmission_id), "RUN"),
            update="SET " + ", ".join(f"#{name} = :{name}" for name in facts) + removed,
            condition="#revision = :seen",
            names={f"#{name}": name for name in facts},
            values={f":{name}": value for name, value in facts.items()} | {":seen": run.revision},
        )
        if part is None:
            return self._alone(step)
        transact([step, Write(self.table, put=self._part_item(run.resubmission_id, *part))])
        return self.get(run.resubmission_id)

    def _alone(self, step: Write) -> Run | None:
        assert step.key is not None  # noqa: S101 - `move` gives it
        assert step.update is not None  # noqa: S101
        try:
            item = self.table.update(
                *step.key,
                step.update,
                condition=step.condition,
                names=step.names,
                values=dict(step.values or {}),
            )
        except ConditionFailed:
            return None
        return _from_item(item)

    def due(self) -> list[Run]:
        """Runs whose next message was lost."""
        page = self.table.query(
            "openKey = :key AND dueAt <= :now",
            {":key": _OPEN, ":now": clock.timestamp()},
            index="Open",
            limit=PART,
        )
        found = [self.get(item["pk"].partition("#")[2]) for item in page.items]
        return [run for run in found if run is not None and not run.is_over]

    def _part_item(self, resubmission_id: str, number: int, part: Part) -> Item:
        return {
            "pk": _pk(resubmission_id),
            "sk": _part_sk(number),
            "ledgerIds": part.ledger_ids,
            "waiting": part.waiting,
            "expiresAt": _expiry(),
        }


def _expiry() -> int:
    return int((clock.now() + _KEPT).timestamp())


def runs() -> Runs:
    """The runs of this deployment."""
    return Runs(work.ledger().table)


def offer(run: Run, *, delay: int = 0) -> None:
    """Send the message for the run's next step; when SQS does not take it, the sweeper sends it."""
    body = json.dumps({"resubmissionId": run.resubmission_id, "revision": run.revision})
    try:
        sqs().send_message(
            QueueUrl=os.environ["RESUBMISSION_QUEUE_URL"], MessageBody=body, DelaySeconds=delay
        )
    except (BotoCoreError, ClientError):
        observability.logger.warning(
            "left to the sweeper", resubmission_id=run.resubmission_id, exc_info=True
        )
