"""Amazon SES: one mail to one person (API v2, `SendEmail`).

Source: docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html. It knows no idempotency token, so
a request is sent once and never repeated here:

    refused for what is in it (address, content)          mail-refused
    identity not verified, account paused or suspended    mail-not-allowed
    too many a second, or in 24 hours                     remote-rate
    not sent, or 503                                      remote-unavailable
    sent, and no answer, or 500, 502, 504                 AnswerLost
"""

from dataclasses import dataclass
from email.utils import formataddr
from typing import TYPE_CHECKING

from switchboard import calls
from switchboard.aws import sesv2
from switchboard.breaker import Gate
from switchboard.errors import AnswerLost, VendorError

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from mypy_boto3_sesv2.type_defs import BodyTypeDef

NAME = "ses"

_NOT_ALLOWED = frozenset(
    {
        "AccountSuspendedException",
        "SendingPausedException",
        "MailFromDomainNotVerifiedException",
        "NotFoundException",
        "AccessDeniedException",
        "AccessDenied",
        "UnrecognizedClientException",
        "InvalidClientTokenId",
    }
)
_TOO_MANY = frozenset({"TooManyRequestsException", "LimitExceededException", "ThrottlingException"})
_DAY_IS_FULL = "daily"
_AN_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Message:
    """One mail. `headers`: beside those that SES writes itself."""

    sender: str
    recipient: str
    subject: str
    text: str
    html: str | None = None
    sender_name: str | None = None
    reply_to: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


class Ses:
    """The deployment's SES."""

    def __init__(self) -> None:
        self._gate = Gate(NAME)

    def send(self, message: Message) -> str:
        """Send it, once; returns SES's message id. Raises VendorError; it may be sent after AnswerLost."""
        with self._gate():
            return _send(message)


def _send(message: Message) -> str:
    from botocore.exceptions import (
        ClientError,
        ConnectTimeoutError,
        EndpointConnectionError,
        HTTPClientError,
        ParamValidationError,
    )

    body: BodyTypeDef = {"Text": {"Data": message.text, "Charset": "UTF-8"}}
    if message.html is not None:
        body["Html"] = {"Data": message.html, "Charset": "UTF-8"}
    try:
        answer = sesv2().send_email(
            FromEmailAddress=formataddr((message.sender_name or "", message.sender)),
            Destination={"ToAddresses": [message.recipient]},
            ReplyToAddresses=[message.reply_to] if message.reply_to else [],
            Content={
                "Simple": {
                    "Subject": {"Data": message.subject, "Charset": "UTF-8"},
                    "Body": body,
                    "Headers": [{"Name": name, "Value": value} for name, value in message.headers],
                }
            },
        )
    except ClientError as error:
        _note(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode"))
        raise _failure(error) from None
    except ParamValidationError:
        raise VendorError("mail-refused", "The mail cannot be put to SES.") from None
    except (EndpointConnectionError, ConnectTimeoutError) as error:
        raise VendorError("remote-unavailable", f"SES cannot be reached ({type(error).__name__}).") from None
    except HTTPClientError as error:
        _note(None)
        raise AnswerLost(f"SES gave no answer ({type(error).__name__}).") from None
    _note(200)
    return answer["MessageId"]


def _note(status: int | None) -> None:
    calls.note(NAME, "POST", "/SendEmail", status)


def _failure(error: "ClientError") -> VendorError:
    code = error.response.get("Error", {}).get("Code", "")
    # SES repeats the address in its words.
    words = f"SES refused it: {code}."
    said = error.response.get("Error", {}).get("Message", "").lower()
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _TOO_MANY or status == 429:
        wait = _AN_HOUR if _DAY_IS_FULL in said else None
        return VendorError("remote-rate", words, retry_after=wait)
    if code in _NOT_ALLOWED or "not verified" in said:
        return VendorError("mail-not-allowed", words)
    if status in (500, 502, 504):
        return AnswerLost(words)
    if status >= 500:
        return VendorError("remote-unavailable", words)
    return VendorError("mail-refused", words)
