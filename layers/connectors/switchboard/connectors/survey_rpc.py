"""The survey platform's older transports, XML-RPC and SOAP 1.1 (source 001, steps 2 and 5).

The source names both transports and what they give: the survey URL for an e-mail address, a dump of the
data. No page tells their methods' or members' names, so all names are settings (`vendor.rpc`), UNVERIFIED;
the defaults are those of the JSON API that followed. Wire formats: xmlrpc.com/spec.md (with `nil` and `i8`),
w3.org/TR/2000/NOTE-SOAP-20000508.

    a fault whose words speak of too many calls      remote-quota, remote-rate
    a fault whose words speak of the key             remote-auth
    a SOAP fault of the server                       remote-unavailable
    any other fault                                  remote-refused
    no document, or one that is not to be trusted    remote-unexpected

XML is read by `safe_xml`: no DTD, no entities, bounded. References of SOAP's encoding (`href`) are not read.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape, quoteattr

from switchboard import safe_xml
from switchboard.breaker import Gate
from switchboard.errors import VendorError
from switchboard.http import ConnectorClient
from switchboard.safe_xml import local_name, named
from switchboard.secrets import connector_secret
from switchboard.survey_vendor import CALL_SECONDS, PATIENCE, Contact, ResponsePage, says_used_up, whole_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from xml.etree.ElementTree import Element

    import httpx
    from httpx import BaseTransport

    from switchboard.settings.survey_vendor import Rpc, VendorSettings

NAME = "questionpro"
MAX_ANSWER = 16 * 1024 * 1024

_PAGE_DEADLINE = 60.0
_SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
_XSI_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
_TOO_MANY = re.compile(r"limit exceeded|too many|rate limit|quota", re.IGNORECASE)
_CREDENTIALS = re.compile(r"api[ -]?key|access[ -]?key|credential|authenticat|unauthori[sz]ed", re.IGNORECASE)
_UNSAFE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_NUMBERS = ("responseID", "surveyID", "utctimestamp")
_WHOLE = re.compile(r"-?\d{1,18}")


class SurveyRpc:
    """The verbs of surveys over XML-RPC or SOAP.

    Args:
        settings: the vendor's settings in force, asked before each call.
        transport: replaces the network (tests: `httpx.MockTransport`).
    """

    def __init__(
        self, settings: Callable[[], VendorSettings], *, transport: BaseTransport | None = None
    ) -> None:
        self._settings = settings
        self._client = ConnectorClient(
            NAME,
            lambda secret: None,  # the key is an argument of the call
            classify=classify,
            max_bytes=MAX_ANSWER,
            gate=Gate(NAME, calls_per_minute=lambda: settings().calls_per_minute, patience=PATIENCE),
            deadline=CALL_SECONDS,
            transport=transport,
        )

    def survey_url(self, survey_id: str, contact: Contact) -> str:
        """The personal URL of one contact. Raises VendorError."""
        rpc = self._settings().rpc
        fields = rpc.fields
        told = {
            fields.survey_id: survey_id,
            fields.email: contact.email,
            fields.first_name: contact.first_name,
            fields.last_name: contact.last_name,
            fields.mobile: contact.mobile,
            fields.language: contact.language,
            fields.transaction_date: contact.transaction_date,
            fields.segment_code: contact.segment_code,
        }
        if fields.custom is not None:
            told |= {
                fields.custom + name.removeprefix("custom"): held
                for name, held in (contact.custom or {}).items()
            }
        url = whole_url(_found(self._call(rpc.survey_url_method, told), fields.survey_url))
        if url is None:
            raise VendorError("remote-unexpected", f"{NAME} answered no survey URL.")
        return url

    def survey_urls(self, survey_id: str, contacts: Sequence[Contact]) -> list[str | None]:
        """None for each: the source knows no call for many, so they are asked for one by one."""
        return [None] * len(contacts)

    def responses(
        self, survey_id: str, *, page: int, per_page: int, since: str | None = None
    ) -> ResponsePage:
        """One page of responses. Its size is the setting `responsesPerCall`, not `per_page`."""
        rpc = self._settings().rpc
        fields = rpc.fields
        told: dict[str | None, Any] = {
            fields.survey_id: survey_id,
            fields.offset: (page - 1) * rpc.responses_per_call,
            fields.page: page,
            fields.page_size: rpc.responses_per_call,
            fields.since: None if since is None else f"{since}+00:00",
        }
        answer = self._call(rpc.responses_method, told, deadline=_PAGE_DEADLINE)
        listed = _listed(answer, fields.responses)
        if not all(isinstance(each, dict) for each in listed):
            raise VendorError("remote-unexpected", f"{NAME}'s page {page} is no list of responses.")
        items = [_item(each, rpc.item_fields) for each in listed]
        total = _whole(_found(answer, fields.total)) if fields.total else None
        last = len(items) < rpc.responses_per_call
        if isinstance(total, int):
            last = page * rpc.responses_per_call >= total
        return ResponsePage(
            page,
            [(item, json.dumps(item, ensure_ascii=False, separators=(",", ":"))) for item in items],
            total if isinstance(total, int) else None,
            last or not items,
        )

    def _call(self, method: str, told: Mapping[str | None, Any], *, deadline: float = CALL_SECONDS) -> Any:
        settings = self._settings()
        rpc = settings.rpc
        arguments = {rpc.fields.api_key: connector_secret(NAME)["apiKey"], **told}
        sent = {name: held for name, held in arguments.items() if name is not None and held is not None}
        if any(isinstance(held, str) and _UNSAFE.search(held) for held in sent.values()):
            raise VendorError("invalid", "A value has characters that XML cannot hold.")
        is_soap = settings.transport == "soap"
        content, headers = (_soap_call if is_soap else _xmlrpc_call)(method, sent, rpc)
        answer = self._client.post(
            rpc.path, content=content, headers=headers, idempotent=True, deadline=deadline
        )
        return (_soap_result if is_soap else _xmlrpc_result)(_root(answer.content))


def classify(response: httpx.Response) -> VendorError | None:
    """A fault behind an error status, as SOAP has it; a fault in a 200 is read with the answer."""
    if response.status_code < 400:
        return None
    root = safe_xml.parse(response.content)
    fault = _soap_fault(root) if root is not None else None
    return fault or (VendorError("remote-quota", response.text[:500]) if _is_quota(response) else None)


def _is_quota(response: httpx.Response) -> bool:
    return response.status_code == 429 and says_used_up(response.text[:500])


def _root(content: bytes) -> Element:
    root = safe_xml.parse(content)
    if root is None:
        raise VendorError("remote-unexpected", f"{NAME} answered no XML, or none that is to be trusted.")
    return root


def _fault(words: str, *, of_the_server: bool = False) -> VendorError:
    code = "remote-unavailable" if of_the_server else "remote-refused"
    if _TOO_MANY.search(words):
        code = "remote-quota" if says_used_up(words) else "remote-rate"
    elif _CREDENTIALS.search(words):
        code = "remote-auth"
    return VendorError(code, f"{NAME} answered a fault: {words}")


# XML-RPC ----------------------------------------------------------------------------------------------


def _xmlrpc_call(method: str, sent: dict[str, Any], rpc: Rpc) -> tuple[bytes, dict[str, str]]:
    from xmlrpc.client import dumps

    arguments = (sent,) if rpc.arguments == "struct" else tuple(sent.values())
    return dumps(arguments, method, encoding="utf-8").encode(), {"Content-Type": "text/xml; charset=utf-8"}


def _xmlrpc_result(root: Element) -> Any:
    value = root.find("./params/param/value")
    if root.tag == "methodResponse" and value is not None:
        return _value(value)
    fault = root.find("./fault/value")
    held = _value(fault) if fault is not None else None
    if isinstance(held, dict):
        raise _fault(f"{held.get('faultCode')}: {held.get('faultString')}")
    raise VendorError("remote-unexpected", f"{NAME} answered no XML-RPC.")


def _value(value: Element) -> Any:
    """A `value`; without a type in it, it is a string. What cannot be read is one too."""
    if not len(value):
        return value.text or ""
    [held, *_] = value
    text = held.text or ""
    match local_name(held):
        case "struct":
            return {member.findtext("name", ""): _member(member) for member in held.findall("member")}
        case "array":
            return [_value(each) for each in held.findall("./data/value")]
        case "int" | "i4" | "i8" | "i1" | "i2":
            return _whole(text.strip())
        case "boolean":
            return text.strip() == "1"
        case "double":
            return _double(text)
        case "nil":
            return None
        case _:
            return text


def _member(member: Element) -> Any:
    value = member.find("value")
    return None if value is None else _value(value)


def _double(text: str) -> float | str:
    try:
        number = float(text)
    except ValueError:
        return text
    return number if number - number == 0 else text  # neither infinite nor NaN, which JSON does not know


# SOAP -------------------------------------------------------------------------------------------------


def _soap_call(method: str, sent: dict[str, Any], rpc: Rpc) -> tuple[bytes, dict[str, str]]:
    prefix = "m:" if rpc.qualified else ""
    arguments = "".join(
        f"<{prefix}{name}>{escape(str(held))}</{prefix}{name}>" for name, held in sent.items()
    )
    envelope = (
        f'<?xml version="1.0" encoding="utf-8"?><soap:Envelope xmlns:soap="{_SOAP}"><soap:Body>'
        f"<m:{method} xmlns:m={quoteattr(rpc.namespace)}>{arguments}</m:{method}></soap:Body></soap:Envelope>"
    )
    action = rpc.soap_action.replace("{method}", method)
    return envelope.encode(), {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": f'"{action}"'}


def _soap_result(root: Element) -> Any:
    if fault := _soap_fault(root):
        raise fault
    body = root.find(f"{{{_SOAP}}}Body")
    if body is None or not len(body):
        raise VendorError("remote-unexpected", f"{NAME} answered no SOAP.")
    return body[0]


def _soap_fault(root: Element) -> VendorError | None:
    fault = root.find(f"{{{_SOAP}}}Body/{{{_SOAP}}}Fault")
    if fault is None:
        return None
    code = (fault.findtext("faultcode") or "").rpartition(":")[2]
    return _fault(f"{code}: {fault.findtext('faultstring') or ''}", of_the_server=code.startswith("Server"))


def _plain(element: Element) -> Any:
    """An element as JSON has it: text, an object, or a list where all children have one name."""
    if element.get(_XSI_NIL) in ("true", "1"):
        return None
    if not len(element):
        return element.text or ""
    names = [local_name(child) for child in element]
    if len(set(names)) == 1 and (len(names) > 1 or names[0] in ("item", "Item")):
        return [_plain(child) for child in element]
    found: dict[str, Any] = {}
    for name, child in zip(names, element, strict=True):
        held = _plain(child)
        if name not in found:
            found[name] = held
        elif isinstance(found[name], list):
            found[name].append(held)
        else:
            found[name] = [found[name], held]
    return found


# both -------------------------------------------------------------------------------------------------


def _found(answer: Any, name: str) -> Any:
    """A member of the answer: of its struct, of the struct that is all there is in it, or an element."""
    if not isinstance(answer, dict | list | str | int | float | None):
        return next(map(_plain, named(answer, name)), None)
    while isinstance(answer, dict) and name not in answer and len(answer) == 1:
        [answer] = answer.values()
    if isinstance(answer, dict):
        return answer.get(name)
    return answer


def _listed(answer: Any, name: str) -> list[Any]:
    """The responses: the elements in the one of this name, or those of this name; a struct's array."""
    if isinstance(answer, dict | list | str | int | float | None):
        found = _found(answer, name)
        return found if isinstance(found, list) else [] if found in (None, "") else [found]
    holders = list(named(answer, name))
    if len(holders) == 1 and len({local_name(child) for child in holders[0]}) <= 1:
        return [_plain(child) for child in holders[0]]
    return [_plain(holder) for holder in holders]


def _whole(held: Any) -> Any:
    return int(held) if isinstance(held, str) and _WHOLE.fullmatch(held) else held


def _item(held: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """A response under REST's names, with REST's numbers and lists."""
    theirs = {name: ours for ours, name in names.items()}
    item = {theirs.get(name, name): value for name, value in held.items()}
    item |= {name: _whole(item[name]) for name in _NUMBERS if name in item}
    if "responseSet" in item:
        item["responseSet"] = [_question(each) for each in _unwrapped(item["responseSet"])]
    return item


def _question(held: Any) -> Any:
    if not isinstance(held, dict) or "answerValues" not in held:
        return held
    return held | {"answerValues": _unwrapped(held["answerValues"])}


def _unwrapped(held: Any) -> list[Any]:
    """A list of which XML has shown one element only, as the object that is in it."""
    if isinstance(held, list):
        return held
    if isinstance(held, dict) and len(held) == 1:
        [only] = held.values()
        return only if isinstance(only, list) else [only]
    return [held] if held else []
