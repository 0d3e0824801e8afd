"""The contract of a connector: what every vendor's module has to do right, whatever its verbs are.

A connector's own test module subclasses `ConnectorContract` and says how to make it, one verb that reads and
one that writes; docs/extend.md shows it. When all of these pass, and the verbs' own tests, it is done.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from switchboard import aws, breaker
from switchboard.errors import AnswerLost, HeldBack, VendorError
from tests.support.deployment import Deployment

type Handler = Callable[[httpx.Request], httpx.Response]

BASE = "https://vendor.example/base"


class Vendor:
    """A vendor as a transport: it remembers what it was asked, and answers as the test says."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return self.handler(request)


class ConnectorContract(ABC):
    """What a connector's test module fills in, and the tests that come with it."""

    name: str
    """As in its secret's variable, `<NAME>_SECRET_ARN`."""
    secret: dict[str, str]
    """The secret's credentials."""
    good: object
    """A body that both verbs take for a good answer."""
    refusal: tuple[int, object]
    """Status and body with which the vendor refuses data, with the words `is not valid: jane@example.com`."""

    @abstractmethod
    def connect(self, transport: httpx.BaseTransport) -> Any:
        """The connector, over a transport."""

    @abstractmethod
    def read(self, connector: Any) -> object:
        """Call a verb that reads."""

    @abstractmethod
    def write(self, connector: Any) -> object:
        """Call a verb that writes."""

    @pytest.fixture(autouse=True)
    def _connected(self, deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
        self._put_secret(monkeypatch, self.secret)

    def _put_secret(self, patch: pytest.MonkeyPatch, credentials: dict[str, str]) -> None:
        stored = json.dumps({"baseUrl": BASE} | credentials)
        made = aws.secretsmanager().create_secret(Name=self.name, SecretString=stored)
        patch.setenv(f"{self.name.upper()}_SECRET_ARN", made["ARN"])

    def _over(self, handler: Handler) -> tuple[Any, Vendor]:
        vendor = Vendor(handler)
        return self.connect(httpx.MockTransport(vendor)), vendor

    def _fails(self, verb: Callable[[Any], object], handler: Handler) -> tuple[VendorError, Vendor]:
        connector, vendor = self._over(handler)
        with pytest.raises(VendorError) as raised:
            verb(connector)
        return raised.value, vendor

    def test_both_verbs_go_to_the_secrets_address_with_its_credentials(self) -> None:
        connector, vendor = self._over(lambda request: httpx.Response(200, json=self.good))
        self.read(connector)
        self.write(connector)
        assert len(vendor.asked) == 2
        for request in vendor.asked:
            assert str(request.url).startswith(f"{BASE}/")
            sent = [*request.headers.values(), request.content.decode("latin-1")]
            assert any(value in text for value in self.secret.values() for text in sent)
            assert not any(value in str(request.url) for value in self.secret.values())

    def test_a_refused_key_is_ours_to_mend_and_no_credential_is_told(self) -> None:
        words = f"the key {next(iter(self.secret.values()))} is not known"
        error, vendor = self._fails(self.read, lambda request: httpx.Response(401, text=words))
        assert (error.code, error.error.error_class) == ("remote-auth", "auth")
        assert not any(value in f"{error} {error.detail}" for value in self.secret.values())
        assert len(vendor.asked) == 1  # the same key again would only bring a lock-out nearer

    def test_a_vendor_that_asks_for_a_pause_gets_it(self) -> None:
        error, _ = self._fails(
            self.write, lambda request: httpx.Response(429, headers={"Retry-After": "77"}, json={})
        )
        assert (error.code, error.retry_after) == ("remote-rate", 77.0)

    def test_a_vendor_that_is_away_is_worth_a_repeat(self) -> None:
        error, _ = self._fails(self.read, lambda request: httpx.Response(503, text="<html>away</html>"))
        assert (error.code, error.error.retryable) == ("remote-unavailable", True)

    def test_a_write_whose_answer_is_lost_is_sent_once_and_said_to_be_unknown(self) -> None:
        def lost(request: httpx.Request) -> httpx.Response:
            raise httpx.ReadTimeout("no answer came")

        error, vendor = self._fails(self.write, lost)
        assert isinstance(error, AnswerLost)
        assert len(vendor.asked) == 1

    def test_a_gateway_that_lost_a_writes_answer_leaves_it_unknown_too(self) -> None:
        error, vendor = self._fails(self.write, lambda request: httpx.Response(504, text="gateway"))
        assert isinstance(error, AnswerLost)
        assert len(vendor.asked) == 1

    def test_refused_data_is_the_datas_fault_in_the_vendors_words_without_anybodys_address(self) -> None:
        status, body = self.refusal
        error, _ = self._fails(self.write, lambda request: httpx.Response(status, json=body))
        assert (error.code, error.error.error_class, error.error.retryable) == (
            "remote-refused",
            "data",
            False,
        )
        assert "is not valid" in error.detail
        assert "jane@example.com" not in error.detail

    @pytest.mark.parametrize("text", ["", "null", "[]", "<html>login</html>", '{"unheard": "of"}'])
    def test_a_good_status_with_a_strange_body_is_a_vendors_failure_not_a_crash(self, text: str) -> None:
        error, _ = self._fails(self.write, lambda request: httpx.Response(200, text=text))
        assert error.code in ("remote-timeout", "remote-unexpected", "remote-refused")

    def test_while_the_breaker_is_open_nothing_is_sent(self) -> None:
        breaker.Breaker(self.name, threshold=1).failed(VendorError("remote-unavailable"), probe=False)
        for verb in (self.read, self.write):
            error, vendor = self._fails(verb, lambda request: httpx.Response(200, json=self.good))
            assert isinstance(error, HeldBack)
            assert error.waits_for == self.name
            assert vendor.asked == []
