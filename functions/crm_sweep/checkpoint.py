"""How far the sweep of the built-in CRM has come, and who is at it: one item of the State table."""

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from switchboard import clock
from switchboard.dynamo import ConditionFailed, Table

_KEY = ("PUBLISHED", "SWEPT")


@dataclass(slots=True)
class Checkpoint:
    """The sweep that this run alone may do; `through` is the latest change that has been looked at."""

    table: Table
    token: str
    through: str

    @classmethod
    def take(cls, table: Table, *, lease: timedelta) -> Self | None:
        """Be the one who sweeps; None while another run is at it. The Scheduler may call twice."""
        token = secrets.token_hex(8)
        try:
            item = table.update(
                *_KEY,
                "SET holder = :token, #until = :until",
                condition="attribute_not_exists(#until) OR #until < :now",
                names={"#until": "until"},
                values={":token": token, ":until": clock.timestamp(lease), ":now": clock.timestamp()},
            )
        except ConditionFailed:
            return None
        return cls(table, token, item.get("through", ""))

    def move_on(self, through: str) -> None:
        """Remember that all up to then has been looked at; raises ConditionFailed when the lease is lost."""
        self.through = through
        self.table.update(
            *_KEY,
            "SET through = :through",
            condition="holder = :token",
            values={":through": through, ":token": self.token},
        )

    def leave(self) -> None:
        """Let the next run begin."""
        try:
            self.table.update(
                *_KEY,
                "REMOVE #until",
                condition="holder = :token",
                names={"#until": "until"},
                values={":token": self.token},
            )
        except ConditionFailed:
            return
