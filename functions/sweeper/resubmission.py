"""A step of a run of resubmissions: look at the canary, send a part, or look what came of one."""

from datetime import timedelta
from math import ceil
from typing import Literal

from switchboard import clock, queues, work
from switchboard.dynamo import ConditionFailed, TransactionCancelled
from switchboard.ledger import DONE, FAILED, RESUBMITTABLE, Entry, only_waits
from switchboard.resubmissions import Part, Run, offer, runs
from switchboard.triggers.deliveries import Deliveries

PER_SECOND = 20
"""Entries that a run sends; their flows' own budgets may be smaller."""

PATIENCE = timedelta(minutes=30)
"""So long a run waits for entries that come to no end: their vendor is away, or others are ahead of them."""

_LONGEST_WAIT = 60
_PARTS_OF_A_STEP = 10

type Taken = Literal["ours", "another's", "skipped"]
type Result = Literal["succeeded", "failed"]


def step(resubmission_id: str, revision: int | None = None) -> None:
    """Take a run's next step, unless it was taken since the message was sent."""
    run = runs().get(resubmission_id)
    if run is None or run.is_over or (revision is not None and revision != run.revision):
        return
    try:
        if run.status == "canary":
            _choose(run) if run.canary is None else _watch_canary(run, run.canary)
        elif run.position < run.parts:
            _send_part(run)
        else:
            _watch_part(run)
    except TransactionCancelled:
        return  # somebody else has taken this step


def _go_on(moved: Run | None, *, delay: int = 0) -> None:
    if moved is not None and not moved.is_over:
        offer(moved, delay=delay)


# the canary ---------------------------------------------------------------------------------------------


def _choose(run: Run) -> None:
    """Send the first entry that is still to be done. Another run's canary of the same is ours too."""
    until = min(run.watching + _PARTS_OF_A_STEP, run.parts)
    for number in range(run.watching, until):
        for ledger_id in runs().part(run, number).ledger_ids:
            taken = take(ledger_id, run)
            if taken != "skipped":
                ours = int(taken == "ours")
                now = clock.timestamp()
                moved = runs().move(run, canary=ledger_id, resubmitted=ours, watching=0, moved_at=now)
                _go_on(moved, delay=1)
                return
    if until < run.parts:
        _go_on(runs().move(run, watching=until))
    else:
        runs().move(run, status="complete", skipped=run.matched, detail="Nothing of it was still to be done.")


def _watch_canary(run: Run, canary: str) -> None:
    entry = work.ledger().get(canary)
    came = result(entry)
    if came == "succeeded":
        _go_on(runs().move(run, status="running", waits=0, moved_at=clock.timestamp()))
        return
    if came == "failed":
        said = "" if entry is None else f" {entry.status}, {entry.code}: {entry.detail or entry.action or ''}"
        _stop(run, f"The first entry, {canary}, failed again:{said}".rstrip(": "))
    elif _out_of_patience(run):
        _stop(run, f"The first entry, {canary}, came to no end.")
    else:
        _look_again(run)


def _stop(run: Run, detail: str) -> None:
    # What another run had sent is not counted here.
    runs().move(run, status="stopped", failed=run.resubmitted, detail=detail[:1000])


# the rest -----------------------------------------------------------------------------------------------


def _send_part(run: Run) -> None:
    part = runs().part(run, run.position)
    taken = {ledger_id: take(ledger_id, run) for ledger_id in part.ledger_ids}
    ours = [ledger_id for ledger_id, what in taken.items() if what == "ours"]
    # The canary is counted already, when it is ours.
    counted = len(ours) - int(run.canary in ours)
    moved = runs().move(
        run,
        part=(run.position, Part(part.ledger_ids, ours)),
        position=run.position + 1,
        resubmitted=run.resubmitted + counted,
        skipped=run.skipped + len(taken) - len(ours),
        moved_at=clock.timestamp(),
    )
    _go_on(moved, delay=ceil(counted / PER_SECOND))


def _watch_part(run: Run) -> None:
    """Look what came of a part; then of the next, and after the last the run is complete."""
    if run.watching == run.parts:
        runs().move(run, status="complete")
        return
    part = runs().part(run, run.watching)
    came = {ledger_id: result(work.ledger().get(ledger_id)) for ledger_id in part.waiting}
    waiting = [ledger_id for ledger_id, what in came.items() if what is None]
    if len(waiting) == len(part.waiting) and waiting and not _out_of_patience(run):
        _look_again(run)
        return
    given_up = bool(waiting) and _out_of_patience(run)
    detail = f"{len(waiting)} entries still wait." if given_up else run.detail
    moved = runs().move(
        run,
        part=(run.watching, Part(part.ledger_ids, waiting)),
        watching=run.watching + int(not waiting or given_up),
        succeeded=run.succeeded + sum(what == "succeeded" for what in came.values()),
        failed=run.failed + sum(what == "failed" for what in came.values()),
        waits=0,
        moved_at=run.moved_at if given_up else clock.timestamp(),
        detail=detail,
    )
    _go_on(moved, delay=1 if waiting and not given_up else 0)


def _look_again(run: Run) -> None:
    delay = min(1 << min(run.waits // 3, 6), _LONGEST_WAIT)
    _go_on(runs().move(run, waits=run.waits + 1, delay=delay), delay=delay)


def _out_of_patience(run: Run) -> bool:
    return clock.parse(run.moved_at) + PATIENCE < clock.now()


# one entry ----------------------------------------------------------------------------------------------


def take(ledger_id: str, run: Run) -> Taken:
    """Make an entry pending again and send it, unless it is not to be done, or moved on since the run began.

    May be repeated: an entry that this run has reopened is known by its history.
    """
    for _ in range(2):
        entry = work.ledger().get(ledger_id)
        if entry is None:
            return "skipped"
        if any(move.get("resubmissionId") == run.resubmission_id for move in entry.history):
            return "ours"
        if entry.updated_at > run.created_at or entry.status not in RESUBMITTABLE:
            return "another's" if _under_way_for_another(entry, run) else "skipped"
        try:
            again = work.ledger().reopen(
                entry,
                correlation_id=run.correlation_id,
                reason="resubmitted",
                by=run.partner_id,
                resubmissionId=run.resubmission_id,
            )
        except ConditionFailed:
            continue
        queues.offer(again)
        return "ours"
    return "skipped"


def _under_way_for_another(entry: Entry, run: Run) -> bool:
    """Whether another run that was accepted at about the same time has sent it."""
    return any("resubmissionId" in move and move["at"] >= run.created_at for move in entry.history)


def result(entry: Entry | None) -> Result | None:
    """What came of a resubmitted entry; None while that is open.

    An attempt that failed and will be repeated by itself has failed. One that was not made, because the
    vendor's breaker is open, says nothing yet.
    """
    if entry is None or entry.status in (*FAILED, "discarded"):
        return "failed"
    if entry.status in DONE:
        return _delivered(entry) if entry.flow == "trigger_delivery" else "succeeded"
    failing = entry.status in ("retrying", "unknown") and not only_waits(entry.code)
    return "failed" if failing and entry.code != "circuit-open" else None


def _delivered(entry: Entry) -> Result | None:
    """A delivery's entry is done when the delivery is back at work; what counts is the call."""
    found = Deliveries(work.ledger().table).get(entry.payload["deliveryId"])
    if found is None or found.status == "delivered":
        return "succeeded"
    return None if found.status == "pending" else "failed"
