"""Every way in which Switchboard can fail, once.

    SwitchboardError            one code of the registry, raised anywhere
    ├── VendorError             a vendor refused, or did not answer
    │   ├── AnswerLost          sent, and no answer came: the effect is unknown
    │   └── HeldBack            not sent: the vendor is known to be away, or the minute's calls are spent

A code belongs to a class (whose fault it is), says whether a repeat may help, which HTTP status a
synchronous caller gets, and what the operator does about it. `docs/errors.md` is made from this table
and the sentences of `tools/error_words.py`.
"""

from dataclasses import dataclass
from typing import Literal

ErrorClass = Literal["data", "auth", "rate", "remote", "technical", "conflict"]


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One row of the registry.

    Attributes:
        code: kebab-case name, stable: partners and alarms match on it.
        error_class: whose fault it is, and with it which ledger state a failure ends in.
        status: HTTP status of a synchronous answer.
        title: one line for people.
        action: what the operator (or the caller) does about it.
        retryable: whether the same work may succeed later without a change.
    """

    code: str
    error_class: ErrorClass
    status: int
    title: str
    action: str
    retryable: bool = False


_REGISTRY: dict[str, ErrorCode] = {}


def _register(*rows: ErrorCode) -> None:
    for row in rows:
        if row.code in _REGISTRY:
            raise ValueError(f"error code registered twice: {row.code}")
        _REGISTRY[row.code] = row


_register(
    # The caller's request.
    ErrorCode("bad-request", "data", 400, "The request cannot be read", "Send a well-formed request."),
    ErrorCode("not-json", "data", 400, "The body is not JSON", "Send a JSON document."),
    ErrorCode("not-utf8", "data", 400, "The body is not UTF-8", "Encode the body as UTF-8."),
    ErrorCode("unauthorized", "auth", 401, "No valid API key", "Send a valid key in x-api-key."),
    ErrorCode("forbidden", "auth", 403, "The key lacks the scope", "Ask an administrator for the scope."),
    ErrorCode("not-found", "data", 404, "Not found", "Check the id and the path."),
    ErrorCode("method-not-allowed", "data", 405, "Method not allowed", "Use a method of the Allow header."),
    ErrorCode("conflict", "conflict", 409, "Conflict", "Read the present state, then decide."),
    ErrorCode("in-progress", "conflict", 409, "Still in progress", "Repeat the request later.", True),
    ErrorCode(
        "precondition-failed", "conflict", 412, "The record has changed", "Read it again, then repeat."
    ),
    ErrorCode("too-large", "data", 413, "The body is too large", "Send at most 256 KiB."),
    ErrorCode("unsupported-media-type", "data", 415, "Unsupported media type", "Send application/json."),
    ErrorCode("invalid", "data", 422, "The request breaks a rule", "Correct the fields that errors names."),
    ErrorCode(
        "idempotency-key-reused",
        "data",
        422,
        "The Idempotency-Key was used for another request",
        "Use a new key for a new request.",
    ),
    ErrorCode("rate-limited", "rate", 429, "Too many requests", "Wait for Retry-After.", True),
    # The vendors.
    ErrorCode(
        "remote-refused",
        "data",
        502,
        "The vendor refused the data",
        "Read the vendor's words, correct the data, then resubmit.",
    ),
    ErrorCode(
        "remote-auth",
        "auth",
        502,
        "The vendor refused our credentials",
        "Renew the connector's secret, call POST /settings/reload, then resubmit.",
        True,
    ),
    ErrorCode(
        "remote-rate",
        "rate",
        503,
        "The vendor asks us to slow down",
        "Nothing: the work is repeated by itself. Raise the vendor's limit if it stays.",
        True,
    ),
    ErrorCode(
        "remote-unavailable",
        "remote",
        503,
        "The vendor is away",
        "Nothing: the work is repeated by itself. Look at the vendor's status if it stays.",
        True,
    ),
    ErrorCode(
        "remote-timeout",
        "remote",
        503,
        "The vendor gave no answer",
        "Nothing: the record is looked up before anything is sent again.",
        True,
    ),
    ErrorCode(
        "outcome-unknown",
        "remote",
        503,
        "Whether the vendor acted cannot be told",
        "Repeat the call with its Idempotency-Key, or resubmit: it is then the same request for the vendor. "
        "If the vendor does not honour request ids, compare by hand first.",
    ),
    ErrorCode(
        "not-done",
        "remote",
        503,
        "The vendor's answer was lost, and it had not acted",
        "Repeat the call with its Idempotency-Key, or resubmit.",
    ),
    ErrorCode(
        "circuit-open",
        "remote",
        503,
        "The vendor is away, so it was not called",
        "Nothing: one probe an interval looks whether it is back, then the work is sent by itself.",
        True,
    ),
    ErrorCode(
        "budget-spent",
        "rate",
        503,
        "The calls of this minute are used up",
        "Nothing: the work is repeated by itself. Raise the budget in the settings if it stays.",
        True,
    ),
    ErrorCode(
        "already-taken",
        "data",
        409,
        "The value belongs to another member",
        "Correct it in the CRM, or give another value there: the update is then sent by itself.",
    ),
    ErrorCode(
        "remote-unexpected",
        "remote",
        502,
        "The vendor answered what nobody expected",
        "Read the vendor's words in the ledger, then resubmit or report it.",
    ),
    # Triggers.
    ErrorCode(
        "delivery-failed",
        "remote",
        502,
        "A trigger's URL took no call in ten attempts",
        "Ask the partner to mend the URL, then resubmit, or recover the whole range.",
    ),
    ErrorCode(
        "remote-quota",
        "rate",
        503,
        "The vendor's quota is used up",
        "Raise the quota at the vendor, or wait for its next period, then resubmit.",
    ),
    # Surveys.
    ErrorCode(
        "opted-out",
        "conflict",
        409,
        "The person has opted out of surveys",
        "Nothing: this person gets no invitation.",
    ),
    ErrorCode(
        "dump-running",
        "conflict",
        409,
        "A dump of this survey is running",
        "Wait until it is done, then ask again.",
        True,
    ),
    ErrorCode(
        "waits-for-customer",
        "conflict",
        409,
        "No customer matches the response yet",
        "Nothing: it is matched by itself once the customer is in the CRM.",
        True,
    ),
    ErrorCode(
        "quiet-hours",
        "conflict",
        409,
        "The invitation waits for the end of the quiet hours",
        "Nothing: it is sent by itself.",
        True,
    ),
    ErrorCode(
        "mail-refused",
        "data",
        502,
        "Amazon SES refused the mail",
        "Correct the person's e-mail address in the CRM, then invite again, or discard the entry.",
    ),
    ErrorCode(
        "mail-not-allowed",
        "auth",
        502,
        "Amazon SES does not let this deployment send",
        "Verify the identity of MailFrom in SES, leave the SES sandbox or end the pause, then resubmit.",
    ),
    ErrorCode(
        "mail-not-configured",
        "technical",
        503,
        "No mail can be sent",
        "Set the parameter MailFrom and the survey's mail in settings/surveys, then resubmit.",
    ),
    ErrorCode(
        "mail-unconfirmed",
        "remote",
        503,
        "Whether the mail went out cannot be told",
        "Nothing as a rule: a reminder goes out in its time. Resubmit to send it, perhaps a second time.",
    ),
    # The CRM.
    ErrorCode(
        "crm-elsewhere",
        "data",
        409,
        "This CRM's records are changed and searched in the CRM itself",
        "Use the CRM; here its records are only read, by their ids.",
    ),
    ErrorCode(
        "ambiguous-customer",
        "data",
        409,
        "More than one customer matches",
        "Settle in the CRM which customer it is, then resubmit to link the case.",
    ),
    ErrorCode(
        "waits-for-earlier",
        "conflict",
        409,
        "An earlier piece of the same work is unfinished",
        "Nothing: it is repeated by itself. Look at the earlier entry if it stays.",
        True,
    ),
    ErrorCode(
        "customer-vanished",
        "conflict",
        409,
        "The customer was deleted meanwhile",
        "Nothing: the customer is looked up again by itself.",
        True,
    ),
    ErrorCode(
        "duplicate-lead",
        "data",
        409,
        "The lead is in the CRM already",
        "Nothing: work with the lead that leadId names.",
    ),
    ErrorCode(
        "ambiguous-lead",
        "data",
        409,
        "More than one customer matches the lead",
        "Settle in the CRM which customer it is, then send the lead again or resubmit its entry.",
    ),
    ErrorCode("record-deleted", "data", 404, "The record was deleted in the CRM", "Discard the entry."),
    # People, and what is kept of them.
    ErrorCode(
        "payload-pruned",
        "conflict",
        409,
        "What the work was about is no longer kept",
        "Send the work again from its source: its data was removed when its time was over.",
    ),
    ErrorCode(
        "erased",
        "conflict",
        409,
        "The person was erased",
        "Delete the person in the system that sent this. Who comes back gets a new number there.",
    ),
    # Ourselves.
    ErrorCode(
        "not-configured",
        "technical",
        503,
        "The connector is not configured",
        "Put the vendor's credentials into the connector's secret, then resubmit.",
        True,
    ),
    ErrorCode(
        "worker-lost",
        "technical",
        500,
        "The worker died again and again",
        "Read the step's log by the correlation id, then resubmit.",
    ),
    ErrorCode(
        "internal",
        "technical",
        500,
        "Something broke on our side",
        "Read the step's log by the correlation id, then resubmit.",
        True,
    ),
)


def lookup(code: str) -> ErrorCode:
    """The registry's row for `code`; a KeyError is a programming error."""
    return _REGISTRY[code]


def find(code: str) -> ErrorCode | None:
    """The registry's row for `code`, None for one that it no longer has."""
    return _REGISTRY.get(code)


def registry() -> tuple[ErrorCode, ...]:
    """All rows, in the order of the table."""
    return tuple(_REGISTRY.values())


@dataclass(frozen=True, slots=True)
class FieldError:
    """One offending field: a JSON pointer and a sentence, never the value."""

    pointer: str
    detail: str


class SwitchboardError(Exception):
    """A failure with a code of the registry.

    Args:
        code: a code of the registry.
        detail: a sentence for people, free of personal data and secrets.
        fields: the fields at fault.
        retry_after: seconds after which a repeat makes sense.
        extra: further members of the problem document (ids, never input).
    """

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        fields: tuple[FieldError, ...] = (),
        retry_after: float | None = None,
        extra: dict[str, object] | None = None,
    ) -> None:
        self.error = lookup(code)
        self.detail = detail or self.error.action
        self.fields = fields
        self.retry_after = retry_after
        self.extra = extra or {}
        super().__init__(f"{code}: {self.detail}")

    @property
    def code(self) -> str:
        """The registry's code."""
        return self.error.code


class VendorError(SwitchboardError):
    """A vendor refused the work, or could not be reached; `detail` holds its words, redacted.

    `waits_for` names the connector whose breaker is open by now: a repeat waits until it closes.
    """

    waits_for: str | None = None


class AnswerLost(VendorError):
    """The request was sent and no answer came: whether it took effect is unknown.

    Whoever catches this looks the record up before anything is sent again.
    """

    def __init__(self, detail: str = "") -> None:
        super().__init__("remote-timeout", detail)


class HeldBack(VendorError):
    """The request was not sent: the breaker is open, or the rate budget is spent. No attempt counts.

    Args:
        connector: whose vendor was not called.
        code: `circuit-open` or `budget-spent`.
        retry_after: seconds until it may be.
    """

    def __init__(self, connector: str, code: str, detail: str, *, retry_after: float) -> None:
        super().__init__(code, detail, retry_after=retry_after)
        if code == "circuit-open":
            self.waits_for = connector
