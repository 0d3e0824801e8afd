"""What a request says: its caller, headers and body, read from the gateway's event, or the 4xx it earns."""

import base64
import binascii
import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.alias_generators import to_camel

from switchboard import clock, ids
from switchboard.api.routes import JSON
from switchboard.errors import FieldError, SwitchboardError
from switchboard.partners import Caller

MAX_BODY = 256 * 1024

_NO_NUMBER = re.compile(rb"NaN|Infinity|[eE]\+?\d{3}|\d{300}")
"""What may stand for a number that pydantic takes and no table does; a body with it is looked at again."""

_CORRELATION_ID = re.compile(r"[\x21-\x7e]{1,128}")
_NOBODY = Caller("", frozenset())


def problem_fields(error: ValidationError, *, prefix: str = "") -> tuple[FieldError, ...]:
    """Pydantic's complaints as JSON pointers, without what was sent."""
    return tuple(
        FieldError(
            prefix + "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in _place(one)),
            one["msg"],
        )
        for one in error.errors(include_url=False, include_context=False, include_input=False)
    )


def _place(error: Mapping[str, Any]) -> tuple[int | str, ...]:
    """Where it is, under the API's names: pydantic calls a field that was left out by its Python name."""
    place: tuple[int | str, ...] = error["loc"]
    if error["type"] == "value_error" and len(place) == 1:
        return (to_camel(str(place[0])),)
    return place


def parse_body[T: BaseModel](model: type[T], raw_body: bytes, headers: Mapping[str, str]) -> T:
    """The JSON body as its model; raises the 4xx that says what is wrong with it."""
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != JSON and not (media_type.startswith("application/") and media_type.endswith("+json")):
        raise SwitchboardError("unsupported-media-type")
    try:
        found = model.model_validate_json(raw_body)
    except ValidationError as error:
        fields = problem_fields(error)
        if error.errors(include_input=False)[0]["type"] == "json_invalid":
            raise SwitchboardError("not-json", fields[0].detail) from None
        raise SwitchboardError("invalid", fields=fields) from None
    if _NO_NUMBER.search(raw_body):
        json.loads(raw_body, parse_constant=_refuse_constant, parse_float=_refuse_infinity)
    return found


def _refuse_constant(name: str) -> None:
    raise SwitchboardError("not-json", f"{name} is no JSON (RFC 8259).")


def _refuse_infinity(number: str) -> None:
    if math.isinf(float(number)):
        raise SwitchboardError("invalid", fields=(FieldError("", "a number is out of range"),))


def parse_query[T: BaseModel](model: type[T], event: Mapping[str, Any]) -> T:
    """The query string as its model; raises the 4xx that says what is wrong with it."""
    given = event.get("queryStringParameters") or {}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise SwitchboardError("invalid", fields=problem_fields(error, prefix="/query")) from None


def raw_body_of(event: Mapping[str, Any]) -> bytes:
    """The body's bytes; raises the 4xx for one that is too large, not UTF-8, or broken base64."""
    body = event.get("body") or ""
    if event.get("isBase64Encoded"):
        try:
            raw = base64.b64decode(body, validate=True)
        except binascii.Error:
            raise SwitchboardError("bad-request", "The body's base64 is broken.") from None
        if len(raw) > MAX_BODY:
            raise SwitchboardError("too-large")
        _check_utf8(raw)
        return raw
    # A gateway that hands text over has put U+FFFD where the bytes were not UTF-8.
    if "\ufffd" in body:
        raise SwitchboardError("not-utf8")
    raw = body.encode("utf-8", errors="surrogatepass")
    if len(raw) > MAX_BODY:
        raise SwitchboardError("too-large")
    return raw


def _check_utf8(raw: bytes) -> None:
    try:
        raw.decode()
    except UnicodeDecodeError:
        raise SwitchboardError("not-utf8") from None


def headers_of(event: Mapping[str, Any]) -> dict[str, str]:
    """The headers by their names in lower case."""
    return {name.lower(): value for name, value in (event.get("headers") or {}).items() if value is not None}


def correlation_id_of(event: Mapping[str, Any]) -> str:
    """The caller's x-correlation-id, or a fresh one when it gave none that is fit for a log."""
    given = headers_of(event).get("x-correlation-id", "")
    return given if _CORRELATION_ID.fullmatch(given) else ids.fresh("cor")


def arrival_of(event: Mapping[str, Any]) -> str:
    """When the gateway got the request, RFC 3339; now, where it does not say."""
    epoch_milliseconds = (event.get("requestContext") or {}).get("requestTimeEpoch")
    if not isinstance(epoch_milliseconds, int):
        return clock.timestamp()
    return clock.rfc3339(datetime.fromtimestamp(epoch_milliseconds / 1000, UTC))


def caller_of(event: Mapping[str, Any]) -> Caller:
    """Who calls, as the authorizer found out."""
    authorizer = (event.get("requestContext") or {}).get("authorizer") or {}
    if not authorizer.get("partnerId"):
        return _NOBODY
    return Caller(authorizer["partnerId"], frozenset(authorizer.get("scopes", "").split()))


def authorize_any(caller: Caller) -> None:
    """Raises `unauthorized` when nobody is known to call."""
    if not caller.partner_id:
        raise SwitchboardError("unauthorized")


def authorize(caller: Caller, scope: str) -> None:
    """Raises `forbidden` for a caller without the scope (one of several: `a|b`)."""
    authorize_any(caller)
    if not any(caller.may(one) for one in scope.split("|")):
        raise SwitchboardError("forbidden", f"This needs the scope {scope.replace('|', ' or ')}.")
