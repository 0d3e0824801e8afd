"""The survey platform's older transports: XML-RPC by the standard library's own server, and SOAP 1.1.

No page tells their names, so they are here what the connector's settings have as defaults: the methods
``questionpro.cx.getSurveyURL`` and ``questionpro.survey.surveyResponses``, a hundred responses a call.
``GET …/soap?wsdl`` is the SOAP endpoint's description, which independent clients are made from.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape
from xmlrpc.client import Fault
from xmlrpc.server import SimpleXMLRPCDispatcher

from aiohttp import web

PER_CALL = 100
NAMESPACE = "urn:surveyanalytics"
_SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"

type Method = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""The members of a call to those of its answer; raises Fault."""


async def xmlrpc(request: web.Request, methods: Mapping[str, Method]) -> web.Response:
    """An XML-RPC call, its one argument a struct, taken apart and answered by the standard library."""
    dispatcher: Any = SimpleXMLRPCDispatcher(allow_none=True, encoding="utf-8")  # stubs: str
    for name, method in methods.items():
        dispatcher.register_function(method, name)
    answer = dispatcher._marshaled_dispatch(await request.read())
    return web.Response(body=answer, content_type="text/xml")


async def soap(request: web.Request, methods: Mapping[str, Method]) -> web.Response:
    """A SOAP 1.1 call, document/literal; a fault is a 500."""
    try:
        body = ElementTree.fromstring(await request.read()).find(f"{{{_SOAP}}}Body")  # noqa: S314 - our own calls
        call = body[0] if body is not None else ElementTree.Element("none")
        namespace, _, name = call.tag.removeprefix("{").rpartition("}")
        if namespace != NAMESPACE or name not in methods:
            raise Fault(0, f"Client: there is no method {name}")
        action = request.headers.get("SOAPAction", "")
        if action != f'"{name}"':
            raise Fault(0, f"Client: the action {action} is not the method's")
        found = methods[name]({each.tag.rpartition("}")[2]: each.text for each in call})
    except (ElementTree.ParseError, IndexError):
        return _fault("Client: no envelope")
    except Fault as fault:
        return _fault(str(fault.faultString))
    return _envelope(f'<m:{name}Response xmlns:m="{NAMESPACE}">{_members(found)}</m:{name}Response>')


def _fault(words: str) -> web.Response:
    code, _, text = words.partition(": ")
    return _envelope(
        f"<soap:Fault><faultcode>soap:{code}</faultcode><faultstring>{escape(text)}</faultstring></soap:Fault>",
        status=500,
    )


def _envelope(content: str, status: int = 200) -> web.Response:
    text = (
        f'<?xml version="1.0" encoding="utf-8"?><soap:Envelope xmlns:soap="{_SOAP}" xmlns:xsi="{_XSI}">'
        f"<soap:Body>{content}</soap:Body></soap:Envelope>"
    )
    return web.Response(text=text, status=status, content_type="text/xml")


def _members(found: Mapping[str, Any]) -> str:
    return "".join(_element(name, held) for name, held in found.items())


def _element(name: str, held: Any) -> str:
    match held:
        case None:
            return f'<m:{name} xsi:nil="true"/>'
        case dict():
            return f"<m:{name}>{_members(held)}</m:{name}>"
        case list():
            return f"<m:{name}>{''.join(_element('item', each) for each in held)}</m:{name}>"
        case bool():
            return f"<m:{name}>{json.dumps(held)}</m:{name}>"
        case _:
            return f"<m:{name}>{escape(str(held))}</m:{name}>"


_ARGUMENTS = {
    "questionpro.cx.getSurveyURL": (
        *("apiKey", "id", "email", "firstName", "lastName", "mobile", "transactionLanguage"),
        *("transactionDate", "segmentCode", *(f"custom{number}" for number in range(1, 6))),
    ),
    "questionpro.survey.surveyResponses": ("apiKey", "id", "startingResponseCounter", "startDate"),
}
_RESULTS = {
    "questionpro.cx.getSurveyURL": '<xs:element name="surveyURL" type="xs:string"/>',
    "questionpro.survey.surveyResponses": '<xs:any maxOccurs="unbounded" processContents="lax"/>',
}


def wsdl(address: str) -> str:
    """The SOAP endpoint's description (WSDL 1.1)."""
    types = messages = operations = bindings = ""
    for name, arguments in _ARGUMENTS.items():
        given = "".join(f'<xs:element name="{each}" type="xs:string" minOccurs="0"/>' for each in arguments)
        types += _type(name, given) + _type(f"{name}Response", _RESULTS[name])
        messages += "".join(
            f'<message name="{name}{kind}"><part name="body" element="t:{name}{suffix}"/></message>'
            for kind, suffix in (("In", ""), ("Out", "Response"))
        )
        ways = f'<input message="t:{name}In"/><output message="t:{name}Out"/>'
        operations += f'<operation name="{name}">{ways}</operation>'
        literal = '<soap:body use="literal"/>'
        bindings += (
            f'<operation name="{name}"><soap:operation soapAction="{name}"/>'
            f"<input>{literal}</input><output>{literal}</output></operation>"
        )
    return (
        f'<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:t="{NAMESPACE}" name="Surveys"'
        f' targetNamespace="{NAMESPACE}" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/">'
        f'<types><xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="{NAMESPACE}"'
        f' elementFormDefault="qualified">{types}</xs:schema></types>{messages}'
        f'<portType name="Port">{operations}</portType><binding name="Binding" type="t:Port">'
        f'<soap:binding transport="http://schemas.xmlsoap.org/soap/http"/>{bindings}</binding>'
        f'<service name="Surveys"><port name="Port" binding="t:Binding"><soap:address location="{address}"/>'
        "</port></service></definitions>"
    )


def _type(name: str, elements: str) -> str:
    return (
        f'<xs:element name="{name}"><xs:complexType><xs:sequence>{elements}</xs:sequence>'
        "</xs:complexType></xs:element>"
    )
