"""What happened in a run, and the rules that it has to keep.

The witnesses are the ledger, the CRM's table, the vendors' stand-ins with their call logs, and the answers
that the callers got. The check knows nothing of how the steps work.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

FINAL = frozenset(
    {
        *("synced", "unchanged", "filtered", "discarded"),
        *("data_error", "remote_failure", "integration_failure"),
    }
)
DONE = frozenset({"synced", "unchanged", "filtered"})

type Source = tuple[str, str, str]
"""Flow, partner, and the sender's own id of the piece of work."""


@dataclass(frozen=True)
class Sent:
    """One call of a source: `accepted` when the answer promised that the work is taken."""

    source: Source
    version: int
    accepted: bool


@dataclass(frozen=True)
class Effect:
    """One trace that a piece of work left at a witness; `kind` where a flow has several kinds."""

    source: Source
    version: int
    kind: str


@dataclass(frozen=True)
class Ended:
    """One entry of the ledger: its state at the end, and the states of all its moves, oldest first.

    A move that only noted the outcome of an older version is `superseded` and no state of the entry. Of work
    that was `told`, a failure went to the caller who waited for it.
    """

    ledger_id: str
    flow: str
    status: str
    moves: tuple[str, ...]
    detail: str = ""
    told: bool = False


@dataclass(frozen=True)
class Seen:
    """An answer that a partner got."""

    reader: str
    text: str
    where: str


@dataclass
class History:
    """All that a run has to show for itself.

    Attributes:
        needed: the kinds of effect that each accepted piece of a flow must have had at the end.
        last: the version that each source's object shows in the end, by the witness.
        words: a word for each partner that stands in all of its data, and in nobody else's.
    """

    sent: list[Sent] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    entries: list[Ended] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    last: dict[Source, list[int]] = field(default_factory=dict)
    needed: dict[str, tuple[str, ...]] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)


def violations(history: History) -> list[str]:
    """Each breach of a rule, in words; an empty list is a clean history."""
    return [
        *unfinished(history),
        *several_ends(history),
        *failed_though_all_is_well(history),
        *lost(history),
        *done_twice(history),
        *stale(history),
        *told_to_others(history),
    ]


def unfinished(history: History) -> Iterator[str]:
    """Every entry ends in a final state."""
    for entry in history.entries:
        if entry.status not in FINAL:
            yield f"unfinished: {entry.flow} {entry.ledger_id} is {entry.status} ({entry.detail})"


def several_ends(history: History) -> Iterator[str]:
    """What has ended moves again only when it is taken up anew: by a newer version, or by a resubmission."""
    for entry in history.entries:
        ended = False
        for move in entry.moves:
            if move in FINAL and ended:
                yield f"ended twice: {entry.flow} {entry.ledger_id} went {' '.join(entry.moves)}"
                break
            ended = move in FINAL


def failed_though_all_is_well(history: History) -> Iterator[str]:
    """All faults of a run pass, and all that was sent is valid: so nothing may have been given up."""
    for entry in history.entries:
        if entry.status in FINAL - DONE and not entry.told:
            yield f"given up: {entry.flow} {entry.ledger_id} is {entry.status} ({entry.detail})"


def lost(history: History) -> Iterator[str]:
    """What was promised has happened."""
    had = {(effect.source, effect.kind) for effect in history.effects}
    promised = {sent.source for sent in history.sent if sent.accepted}
    for source in sorted(promised):
        for kind in history.needed.get(source[0], ()):
            if (source, kind) not in had:
                yield f"lost: {' '.join(source)} left no {kind}"


def done_twice(history: History) -> Iterator[str]:
    """One effect of a kind for each partner, source id and version."""
    counts = Counter((effect.source, effect.version, effect.kind) for effect in history.effects)
    for (source, version, kind), number in sorted(counts.items()):
        if number > 1:
            yield f"done twice: {' '.join(source)} version {version} has {number} of {kind}"


def stale(history: History) -> Iterator[str]:
    """Where a source has versions, its object shows the newest that was accepted; not two, not an older."""
    accepted: dict[Source, list[int]] = defaultdict(list)
    for sent in history.sent:
        accepted[sent.source] += [sent.version] if sent.accepted else []
    for source, shown in sorted(history.last.items()):
        # A version whose caller got no answer may have been taken all the same.
        tried = {sent.version for sent in history.sent if sent.source == source}
        newest = max(accepted[source], default=0)
        if newest and (len(shown) != 1 or shown[0] < newest or shown[0] not in tried):
            yield f"stale: {' '.join(source)} shows {shown}, {newest} was accepted"


def told_to_others(history: History) -> Iterator[str]:
    """No answer to one partner holds a word of another."""
    for seen in history.seen:
        for partner, word in history.words.items():
            if partner != seen.reader and word in seen.text:
                yield f"told to others: {seen.reader} read {partner}'s data at {seen.where}"
