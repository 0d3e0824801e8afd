"""Six faults that such code has had elsewhere, planted one at a time: the check has to catch each."""

import random
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from switchboard import ledger, queues, work
from switchboard.dynamo import Table
from switchboard.errors import AnswerLost
from switchboard.ledger import Accepted, Entry, Ledger
from switchboard.work import Outcome

type Plant = Callable[[pytest.MonkeyPatch], None]


def _everywhere(patch: pytest.MonkeyPatch, original: Any, changed: Any) -> None:
    """Put the changed function in the place of the original in every module that knows it."""
    name_of_it: str = original.__name__
    for name, module in list(sys.modules.items()):
        ours = name.partition(".")[0] in ("switchboard", "functions")
        if ours and getattr(module, name_of_it, None) is original:
            patch.setattr(module, name_of_it, changed)


def blind_write(patch: pytest.MonkeyPatch) -> None:
    """An update is taken whatever version stands there."""
    update = Table.update

    def blind(table: Table, pk: str, sk: str, expression: str, **options: Any) -> Any:
        if "#payload = " in expression:
            options["condition"] = None
            options["values"] = {
                name: value
                for name, value in options["values"].items()
                if name in expression or name in (":none", ":zero")
            }
            options["names"] = {name: value for name, value in options["names"].items() if name in expression}
        return update(table, pk, sk, expression, **options)

    patch.setattr(Table, "update", blind)


def acknowledged_before_saved(patch: pytest.MonkeyPatch) -> None:
    """The caller is promised the work even when it could not be written down."""
    accept = Ledger.accept

    def promise(book: Ledger, **work_: Any) -> Accepted:
        try:
            return accept(book, **work_)
        except (ClientError, BotoCoreError):
            ledger_id = ledger.entry_id(work_["partner_id"], work_["flow"], work_["entity"])
            now = "2026-01-01T00:00:00.000Z"
            entry = Entry(
                ledger_id=ledger_id,
                flow=work_["flow"],
                entity=work_["entity"],
                partner_id=work_["partner_id"],
                status="pending",
                version=1,
                revision=1,
                attempts=0,
                group=work_["group"],
                payload=work_["payload"],
                result={},
                correlation_id=work_["correlation_id"],
                created_at=now,
                updated_at=now,
            )
            return Accepted(entry, is_new=True)

    patch.setattr(Ledger, "accept", promise)


def no_partner_in_the_key(patch: pytest.MonkeyPatch) -> None:
    """Two partners' ids of the same spelling name one piece of work."""
    entry_id = ledger.entry_id
    _everywhere(patch, entry_id, lambda _, flow, entity: entry_id("", flow, entity))


def dropped_on_time_out(patch: pytest.MonkeyPatch) -> None:
    """An answer that never came is taken for the end of the matter."""
    failed = work.failed

    def drop(entry: Entry, error: Any) -> Any:
        over = isinstance(error, AnswerLost) or error.code in ("remote-timeout", "remote-unavailable")
        return (Outcome("synced"), None) if over else failed(entry, error)

    _everywhere(patch, failed, drop)


def batch_failure_swallowed(patch: pytest.MonkeyPatch) -> None:
    """What went wrong with a message is not told to the queue, which forgets it."""
    each_message = work.each_message

    def swallow(*arguments: Any) -> Any:
        each_message(*arguments)
        return {"batchItemFailures": []}

    _everywhere(patch, each_message, swallow)


def resubmit_without_lease(patch: pytest.MonkeyPatch) -> None:
    """Work that somebody is at is resubmitted, and started a second time beside him, in no queue's order."""
    update = Table.update

    def take(table: Table, pk: str, sk: str, expression: str, **options: Any) -> Any:
        condition = options.get("condition") or ""
        open_to_all = _LEASE.sub("", condition)
        if open_to_all != condition:
            options["condition"] = open_to_all
            options["values"] = {name: value for name, value in options["values"].items() if name != ":now"}
        return update(table, pk, sk, expression, **options)

    patch.setattr(Table, "update", take)
    impatient = ("in_progress", *ledger.RESUBMITTABLE)
    patch.setattr("functions.operations.ledger.RESUBMITTABLE", impatient)
    patch.setattr(Entry, "taken_up_at", "")
    patch.setattr(queues, "offer", lambda entry, **_: queues.send(entry, alone=True))


_LEASE = re.compile(r" AND \(attribute_not_exists\(#leaseUntil\)[^()]*\)")


MUTANTS: tuple[Plant, ...] = (
    blind_write,
    acknowledged_before_saved,
    no_partner_in_the_key,
    dropped_on_time_out,
    batch_failure_swallowed,
    resubmit_without_lease,
)


@contextmanager
def planted(mutant: Plant) -> Iterator[None]:
    """The code with this fault in it."""
    random.seed(0)
    with pytest.MonkeyPatch.context() as patch:
        mutant(patch)
        yield
