"""What goes wrong between a step and the services that it calls, drawn from one seed.

An AWS call can be refused before it takes effect, or take effect and lose its answer, or be made twice by the
SDK's own retry; the worker can be killed right before or right after it. So can a call of a vendor. At any
of these points another worker may also get its turn: one process then stands still while a second one works.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ReadTimeoutError

from tests.support.faults import Killed
from tests.support.permissions import acting_as

REFUSALS = {
    "dynamodb": ("ProvisionedThroughputExceededException", "ThrottlingException", "InternalServerError"),
    "sqs": ("RequestThrottled", "ServiceUnavailable"),
    "events": ("ThrottlingException", "InternalException"),
    "secretsmanager": ("InternalServiceError",),
    "s3": ("SlowDown", "InternalError"),
}

FAULTS = ("refused", "answer lost", "sent twice", "killed before", "killed after", "overtaken")
"""`overtaken`: another worker gets its turn right before the call."""


@dataclass
class Chaos:
    """The faults of one run.

    Attributes:
        lots: where they are drawn from.
        rate: the share of calls that something happens to, from 0 to 1.
        kinds: what may happen.
        injected: what happened, and how often.
        overtake: gives another worker its turn.
    """

    lots: random.Random
    rate: float
    kinds: tuple[str, ...] = FAULTS
    injected: Counter[str] = field(default_factory=Counter)
    overtake: Callable[[], None] = lambda: None
    _active: bool = False
    _overtaken: bool = False

    @contextmanager
    def during(self) -> Iterator[None]:
        """Faults happen within this block, and outside it none: the test's own calls are not to fail."""
        before, self._active = self._active, True
        try:
            yield
        finally:
            self._active = before

    @contextmanager
    def quietly(self) -> Iterator[None]:
        """No faults within this block."""
        before, self._active = self._active, False
        try:
            with acting_as(""):
                yield
        finally:
            self._active = before

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Stand between the steps and AWS, and between them and the vendors."""
        make = BaseClient._make_api_call  # type: ignore[attr-defined]
        send = httpx.Client.send

        def call_aws(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
            return self._around(
                f"{client.meta.service_model.service_name}.{operation}",
                lambda: make(client, operation, arguments),
                lambda: self._refusal(client, operation),
            )

        def call_vendor(client: httpx.Client, request: httpx.Request, **options: Any) -> httpx.Response:
            # What a vendor does wrong is the sandbox's matter; here only workers die and wait.
            return self._around(f"http.{request.method}", lambda: send(client, request, **options), None)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(BaseClient, "_make_api_call", call_aws)
            patch.setattr(httpx.Client, "send", call_vendor)
            yield

    def _around[Result](
        self, point: str, call: Callable[[], Result], refusal: Callable[[], Exception] | None
    ) -> Result:
        if not self._active or self.lots.random() >= self.rate:
            return call()
        possible = [kind for kind in self.kinds if refusal or kind in FAULTS[3:]]
        if not possible:
            return call()
        fault = self.lots.choice(possible)
        if fault == "overtaken":
            self._let_another_work()
            return call()
        self.injected[fault] += 1
        match fault:
            case "refused":
                assert refusal is not None
                raise refusal()
            case "killed before":
                raise Killed(point)
            case "answer lost":
                call()
                raise ReadTimeoutError(endpoint_url=point)
            case "killed after":
                call()
                raise Killed(point)
            case _:
                self._first_of_two(call)
                return call()

    def _first_of_two[Result](self, call: Callable[[], Result]) -> None:
        """The SDK got no answer to the first try: what came of it, good or bad, is known to nobody."""
        try:
            call()
        except Exception:  # noqa: BLE001 - the same call is made again, and tells
            return

    def _let_another_work(self) -> None:
        if self._overtaken:  # two at once are enough, and end
            return
        self.injected["overtaken"] += 1
        self._overtaken = True
        try:
            self.overtake()
        finally:
            self._overtaken = False

    def _refusal(self, client: Any, operation: str) -> Exception:
        service = client.meta.service_model.service_name
        code = self.lots.choice(REFUSALS.get(service, ("ThrottlingException",)))
        kind = client.exceptions.from_code(code)
        answer = {"Error": {"Code": code, "Message": "busy"}, "ResponseMetadata": {}}
        refusal: Exception = kind(answer, operation)
        return refusal
