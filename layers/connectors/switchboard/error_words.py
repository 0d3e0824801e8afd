"""The error codes in words, for the page docs/errors.md: what each means, whose fault it is, what to do.

Beside `errors.py` and not in it, because every function imports that one and none needs these sentences.
What to do is the registry's action, then the steps of the code's kind: whoever adds a code adds what it
means here, and the rest follows.
"""

from switchboard.errors import ErrorCode

MEANS: dict[str, str] = {
    "bad-request": "The request is malformed before anything of it could be read: its base64, a header.",
    "not-json": "The body says it is JSON and is not; `detail` says where it breaks off.",
    "not-utf8": "The body has bytes that are not UTF-8, as a rule Latin-1 from an old system.",
    "unauthorized": "There is no `x-api-key`, or none that anybody has.",
    "forbidden": "The key is good, but lacks the scope of this route; `detail` names it.",
    "not-found": "There is no such path or object, or it belongs to another partner, which looks the same.",
    "method-not-allowed": "The path exists, with other methods: those of the `Allow` header.",
    "conflict": "The present state does not allow it; `detail` says what stands in the way.",
    "in-progress": "The same request, or work on the same object, is running at this moment.",
    "precondition-failed": "`If-Match` names a revision that is not the present one: somebody was faster.",
    "too-large": "The body has more than 256 KiB.",
    "unsupported-media-type": "`Content-Type` is missing or is not JSON.",
    "invalid": "The body is JSON, but breaks a rule; `errors` has a pointer to each field at fault.",
    "idempotency-key-reused": "The `Idempotency-Key` came before with another body, so it names other work.",
    "rate-limited": "More requests came in than the API takes in a second (`ThrottleRate`, `ThrottleBurst`).",
    "remote-refused": "The vendor has read the data and does not take it; `detail` has its words, redacted.",
    "remote-auth": "The vendor answered 401, or 403 where a right is missing. The record is not at fault.",
    "remote-rate": "The vendor answered 429: too many calls for now. Its `Retry-After` is waited for.",
    "remote-unavailable": "The vendor could not be reached, or answered 5xx.",
    "remote-timeout": "The request was sent and no whole answer came, so it may have taken effect.",
    "outcome-unknown": "The answer was lost, and what the vendor shows does not tell whether it acted.",
    "not-done": "The answer was lost; the vendor was asked, and it had not acted.",
    "circuit-open": "The vendor failed several times in a row, so it is spared: nothing was sent.",
    "budget-spent": "This minute's calls to the vendor, which the settings allow, are used up.",
    "already-taken": "Another member at the vendor has this e-mail address, phone number or name.",
    "remote-unexpected": "The vendor's answer fits no documented form: a new version, a proxy, a wrong URL.",
    "delivery-failed": "Ten calls of a trigger's URL in 75 hours failed; its deliveries have each attempt.",
    "remote-quota": "The vendor's quota is used up for a long period; waiting a minute is no help.",
    "opted-out": "The person is on the list of those who want no surveys.",
    "dump-running": "A dump of this survey runs already; there is one at a time.",
    "waits-for-customer": "A survey response names a person who is not in the CRM (yet).",
    "quiet-hours": "A survey rule applies in its quiet hours.",
    "crm-elsewhere": "The CRM is an outside one: its records are read here, not searched or changed.",
    "ambiguous-customer": "Two or more customers of the CRM have this social profile.",
    "waits-for-earlier": "It is done in order, and the piece before it is unfinished.",
    "customer-vanished": "The customer was deleted or merged between the look-up and the write.",
    "duplicate-lead": "A lead with this id, e-mail address or phone number is there; `matchedOn` says which.",
    "ambiguous-lead": "The lead's phone number or authors lead to several customers; nothing was written.",
    "record-deleted": "What the work is about was deleted in the CRM.",
    "payload-pruned": "The entry is older than `settings/retention` keeps data; only its hash is left.",
    "erased": "The work is about a person who was erased; it must not bring the person back.",
    "mail-refused": "Amazon SES refused the mail to this address, or the address itself.",
    "mail-not-allowed": "SES does not let this account or identity send: sandbox, unverified sender, paused.",
    "mail-not-configured": "A survey is to be mailed here, and the sender or the template is missing.",
    "mail-unconfirmed": "The worker died between asking SES and writing it down: the mail may be out.",
    "not-configured": "The connector's secret is empty, or lacks something; `detail` says what.",
    "worker-lost": "Workers took the work up and died without a word, five times: time-outs, memory.",
    "internal": "Our code broke. The stack is in the step's log, under the correlation id.",
}
"""What each code means."""

WHOSE: dict[str, str] = {
    "data": "The data's: whoever sent it, or the record in the CRM.",
    "conflict": "Nobody's: the state of things stands in the way.",
    "auth": "Ours, or the caller's: the credentials.",
    "rate": "Whoever calls too often, or a limit that is too low.",
    "remote": "The vendor's.",
    "technical": "Ours.",
}
"""Whose fault a class of failures is."""

_CALLERS = frozenset(
    {
        *("bad-request", "not-json", "not-utf8", "unauthorized", "forbidden", "not-found", "in-progress"),
        *("method-not-allowed", "precondition-failed", "too-large", "unsupported-media-type", "invalid"),
        *("idempotency-key-reused", "rate-limited", "conflict", "crm-elsewhere"),
    }
)
"""Codes that answer a request, and as a rule leave no work behind."""

_FIND = (
    "Find the entries: `GET /ledger?code={code}`; `GET /ledger/{{ledgerId}}` has one in full, with the "
    "vendor's words in `detail` and each attempt in `history`."
)
_ASK = "Find the request by the caller's `x-correlation-id` in the step's log, if he cannot say what he sent."
_WAIT = (
    "Wait: it is repeated with growing waits for about three days, or sent as soon as the breaker closes; "
    "`dueAt` says when next."
)
_NOT_RESUBMITTED = ("Nothing", "Discard", "Delete", "Send the work again")
_ONE = "Resubmit one entry (`POST /ledger/{ledgerId}/resubmit`), and the others when it has gone through."


def whose_fault(row: ErrorCode) -> str:
    """Whose fault it is, as a sentence."""
    return "The caller's." if row.code in _CALLERS else WHOSE[row.error_class]


def steps(row: ErrorCode) -> list[str]:
    """What the operator does, step by step."""
    if row.code in _CALLERS:
        return [f"Tell the caller: {row.action}", _ASK]
    found = [_FIND.format(code=row.code), row.action]
    if row.retryable:
        found.append(_WAIT)
    if row.error_class == "technical":
        found.append("Look into the step's log group for `correlation_id` of the entry.")
    if not row.action.startswith(_NOT_RESUBMITTED):
        found.append(_ONE)
    return found


def gone(row: ErrorCode) -> str:
    """How to see that it is over."""
    if row.code in _CALLERS:
        return "The caller's repeat is answered 2xx."
    if row.action.startswith(_NOT_RESUBMITTED) and not row.retryable:
        return "It stays as it is: the entry is a record of what was decided, and may be discarded."
    return "The entry is `synced` or `unchanged`, and `GET /ledger/summary` has the code no more."
