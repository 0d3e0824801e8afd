"""Faults on demand: what can be made to go wrong, for which calls, how often."""

import random
import re
from collections.abc import Iterator
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator
from pydantic.alias_generators import to_camel

Kind = Literal["down", "status", "slow", "drip", "errorRate", "answerLost", "hang"]


class Fault(BaseModel):
    """One fault, as posted to the control plane.

    =============  ===================================================================================
    kind           effect
    =============  ===================================================================================
    ``down``       the connection is reset before the body is read
    ``status``     ``status``, ``headers`` and ``body`` are answered, the vendor does no work
    ``slow``       the vendor works and answers after ``seconds``
    ``drip``       the vendor works at once, its answer comes a byte each ``seconds``
    ``errorRate``  like ``status``, for a share ``rate`` (0 to 1) of the calls, drawn from ``seed``
    ``answerLost`` the vendor does the work, then the connection is reset before the answer
    ``hang``       no answer, no work, until the caller hangs up or ``seconds`` have passed
    =============  ===================================================================================

    ``count`` limits a fault to the next so many calls it applies to. ``path`` is a regular expression
    searched for in the path below the vendor's prefix, ``method`` an HTTP method.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")

    kind: Kind
    count: int | None = Field(default=None, ge=1)
    path: str | None = None
    method: str | None = None
    status: int = Field(default=503, ge=200, le=599)
    headers: dict[str, str] = {}
    body: str = ""
    seconds: float | None = Field(default=None, ge=0, le=3600)
    rate: float | None = Field(default=None, ge=0, le=1)
    seed: int = 0

    _random: random.Random = PrivateAttr()

    @field_validator("path")
    @classmethod
    def _is_regular_expression(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                re.compile(value)
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from error
        return value

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.kind == "errorRate" and self.rate is None:
            raise ValueError("errorRate needs a rate")
        if self.seconds is None:
            self.seconds = 300.0 if self.kind == "hang" else 1.0
        self._random = random.Random(self.seed)
        return self

    def applies_to(self, method: str, path: str) -> bool:
        """Whether the call is one of those meant; for ``errorRate`` this also draws the lot."""
        if self.method is not None and self.method.upper() != method:
            return False
        if self.path is not None and re.search(self.path, path) is None:
            return False
        return self.rate is None or self._random.random() < self.rate


class FaultBook:
    """The faults in force for one vendor; the first that applies wins."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def __iter__(self) -> Iterator[Fault]:
        return iter(self._faults)

    def add(self, fault: Fault) -> None:
        """Put a fault behind those already in force."""
        self._faults.append(fault)

    def clear(self) -> None:
        """End all faults."""
        self._faults.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """The fault for this call, if any, with its ``count`` used up by one."""
        for fault in self._faults:
            if not fault.applies_to(method, path):
                continue
            if fault.count is not None:
                fault.count -= 1
                if fault.count == 0:
                    self._faults.remove(fault)
            return fault
        return None
