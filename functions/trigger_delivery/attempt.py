"""One call of a partner's URL: what goes out, and what is kept of the answer."""

import socket
import ssl
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from functions.trigger_delivery import logic
from switchboard import clock, egress, observability, transport, webhooks
from switchboard.errors import SwitchboardError
from switchboard.triggers.deliveries import Attempt, Delivery
from switchboard.triggers.store import Trigger
from switchboard.vendor_failures import retry_after_seconds

if TYPE_CHECKING:
    import httpx

CALL_SECONDS = 10.0
"""Look-up, connect, TLS, request and whole answer together."""

_KEPT_ANSWER = 2048
_MAX_ANSWER = 64 * 1024


def call(trigger: Trigger, delivery: Delivery) -> Attempt:
    """Call the URL once. Never raises for what the other side does."""
    at = clock.timestamp()
    watch = observability.Stopwatch()
    try:
        with transport.call_limits(CALL_SECONDS, max_bytes=_MAX_ANSWER):
            response = egress.client().request(**_request(trigger, delivery))
    except SwitchboardError:
        return Attempt(at, watch.milliseconds, error_class="blocked")
    except transport.UnreadableAnswer as answer:
        # Its status counts; nobody has to read what came with it.
        return Attempt(at, watch.milliseconds, answer.status, logic.error_class(answer.status))
    except Exception as error:
        found = _failure(error)
        if found is None:
            raise
        return Attempt(at, watch.milliseconds, error_class=found)
    return _answered(at, watch.milliseconds, response)


def _request(trigger: Trigger, delivery: Delivery) -> dict[str, Any]:
    egress.check_url(trigger.url)
    if trigger.format == "query":
        url = logic.query_url(trigger.url, delivery.event)
        return {"method": trigger.method, "url": url, "timeout": CALL_SECONDS}
    body = logic.webhook_body(delivery.event)
    signed = webhooks.headers(delivery.delivery_id, int(clock.now().timestamp()), body, trigger.keys())
    return {
        "method": "POST",
        "url": trigger.url,
        "content": body,
        "headers": signed | {"Content-Type": "application/json"},
        "timeout": CALL_SECONDS,
    }


def _answered(at: str, duration_ms: int, response: "httpx.Response") -> Attempt:
    failed = logic.error_class(response.status_code)
    return Attempt(
        at=at,
        duration_ms=duration_ms,
        status_code=response.status_code,
        error_class=failed,
        answer=response.content[:_KEPT_ANSWER].decode(errors="replace") or None,
        retry_after=retry_after_seconds(response.headers.get("retry-after"), clock.now().timestamp())
        if failed
        else None,
    )


def _failure(error: Exception) -> str | None:
    """The class of a failure of the network; None for what is none, and so a fault of our own."""
    import httpx

    causes = list(_causes(error))
    if any(isinstance(cause, egress.Refused) for cause in causes):
        return "blocked"
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return "tls"
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return "dns"
    match error:
        case httpx.ConnectError():
            return "connect"
        case httpx.TimeoutException():
            return "timeout"
        case httpx.RequestError():
            return "broken-answer"
        case httpx.InvalidURL():
            return "blocked"
        case _:
            return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__
