"""/queues: what waits, what was given up, and putting that back to work. For administrators."""

from datetime import timedelta

from botocore.exceptions import BotoCoreError, ClientError

from switchboard import dead_letters
from switchboard.api import Answer, Api, Call
from switchboard.errors import SwitchboardError
from switchboard.models import ApiModel

api = Api("queues")

_RESERVE = timedelta(seconds=4)


class QueueState(ApiModel):
    """A queue: messages that wait, that workers have, and that were given up. Approximate, as SQS counts."""

    queue: str
    waiting: int
    in_flight: int
    dead_letters: int


class Queues(ApiModel):
    """All work queues."""

    items: list[QueueState]


class Redriven(ApiModel):
    """What came of a queue's dead letters.

    `moved`: back to work. `dropped`: their work is done, or in hands. `unreadable`: nobody knows what they
    are, so they stay. `left`: still there, the unreadable ones too.
    """

    queue: str
    moved: int
    dropped: int
    unreadable: int
    left: int


def _state(name: str) -> QueueState:
    found = dead_letters.depth(name)
    return QueueState(
        queue=name, waiting=found.waiting, in_flight=found.in_flight, dead_letters=found.dead_letters
    )


@api.get("/queues", scope="admin", answers={200: Queues})
def list_queues(call: Call) -> Answer:
    """Every work queue with its depth and its dead letters."""
    return Answer(200, Queues(items=[_state(name) for name in dead_letters.known()]))


@api.post("/queues/{queue}/redrive", scope="admin", answers={202: Redriven})
def redrive(call: Call, queue: str) -> Answer:
    """Put a queue's dead letters back to work, through the ledger; call it again while `left` says so."""

    def has_time() -> bool:
        return timedelta(milliseconds=call.context.get_remaining_time_in_millis()) > _RESERVE

    try:
        fates = dead_letters.redrive(queue, asked=True, has_time=has_time)
        left = _state(queue).dead_letters
    except (BotoCoreError, ClientError) as error:
        raise SwitchboardError("remote-unavailable", "SQS gave no answer; call again.") from error
    return Answer(
        202,
        Redriven(
            queue=queue,
            moved=fates["moved"],
            dropped=fates["dropped"],
            unreadable=fates["unreadable"],
            left=left,
        ),
    )
