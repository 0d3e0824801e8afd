"""Source 001's own transports: XML-RPC and SOAP, and XML that nobody should read."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree.ElementTree import canonicalize

import httpx
import pytest
import zeep
from lxml import etree  # type: ignore[import-untyped]

from sandbox.vendors.questionpro import API_KEY, QuestionPro, response
from switchboard import safe_xml
from switchboard.clock import now
from switchboard.connectors.survey_rpc import SurveyRpc
from switchboard.errors import VendorError
from switchboard.settings.survey_vendor import Rpc, VendorSettings
from switchboard.survey_vendor import Contact
from tests.support import factories
from tests.support.deployment import Context, Deployment
from tests.support.stand_ins import StandIn, serving
from tests.support.surveys import INVITATIONS, SURVEY, answer, builtin, invite, shown

TRANSPORTS = ("xmlrpc", "soap")


@pytest.fixture
def vendor(deployment: Deployment) -> Iterator[StandIn]:
    with serving(QuestionPro()) as sandbox:
        sandbox.connect(deployment.patch)
        yield sandbox


def spoken(deployment: Deployment, transport: str, **rpc: Any) -> None:
    vendor = {"transport": transport, "rpc": {"path": transport} | rpc}
    reply = deployment.call("PUT", "/settings/surveys", {"vendor": vendor})
    assert reply.status == 200, reply.text


def connector(transport: str, **rpc: Any) -> SurveyRpc:
    settings = VendorSettings.model_validate(
        {"transport": transport, "rpc": {"path": transport} | rpc}, strict=False
    )
    return SurveyRpc(lambda: settings)


def dump(deployment: Deployment) -> dict[str, Any]:
    path = f"/surveys/{SURVEY}/dumps"
    dump_id = deployment.call("POST", path, {}).json["dumpId"]
    deployment.patch.setattr("tests.support.deployment.Context", lambda: Context(remaining=900_000))
    deployment.run_queues()
    found: dict[str, Any] = deployment.call("GET", f"{path}/{dump_id}").json
    return found


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_from_the_url_to_the_dump(deployment: Deployment, vendor: StandIn, transport: str) -> None:
    spoken(deployment, transport)
    customer = builtin().records.create_customer(factories.customer())
    name = "Ann & <b>Bob</b> Ünal"
    issued = invite(deployment, firstName=name, customerId=customer["accountId"])
    assert parse_qs(urlsplit(issued["surveyUrl"]).query)["custom1"] == [issued["invitationId"]]
    simulator = vendor.vendor
    assert isinstance(simulator, QuestionPro)
    [transaction] = simulator.transactions.values()
    assert transaction["firstName"] == name
    batch = {"invitations": [factories.invitation(), factories.invitation()]}
    items = deployment.call("POST", f"{INVITATIONS}/batch", batch).json["items"]
    assert [item["httpStatus"] for item in items] == [201, 201]

    answer(vendor, issued["surveyUrl"])
    others = [response(SURVEY, number, now(), text="<&>é") for number in range(1, 120)]
    path = f"/_control/questionpro/surveys/{SURVEY}/responses"
    vendor.client.post(path, json={"items": others}).raise_for_status()
    found = dump(deployment)
    assert (found["status"], found["rows"], found["imported"]) == ("complete", 120, 1)
    assert found["countCheck"] == {"survey": 120, "ours": 120, "agrees": True}
    assert shown(deployment, issued["invitationId"])["status"] == "responded"
    query = {"customerId": customer["accountId"]}
    [kept] = deployment.call("GET", f"/surveys/{SURVEY}/responses", query=query).json["items"]
    assert [each["answer"] for each in kept["answers"]] == ["Always", "Nothing."]
    calls = [call for call in vendor.calls() if b"surveyResponses" in call["body"].encode()]
    assert len(calls) == 2


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_fault_says_whose_it_is(deployment: Deployment, vendor: StandIn, transport: str) -> None:
    rest = connector(transport)
    contact = Contact("jane@example.com")
    vendor.client.put("/_control/questionpro/limits", json={"quota": 0})
    with pytest.raises(VendorError) as quota:
        rest.survey_url(SURVEY, contact)
    vendor.client.put("/_control/questionpro/limits", json={})
    with pytest.raises(VendorError) as refused:
        rest.survey_url(SURVEY, Contact(""))
    with pytest.raises(VendorError) as unknown:
        connector(transport, surveyUrlMethod="guess").survey_url(SURVEY, contact)
    deployment.patch.setattr("switchboard.connectors.survey_rpc.connector_secret", lambda _: {"apiKey": "x"})
    with pytest.raises(VendorError) as key:
        rest.survey_url(SURVEY, contact)
    found = [each.value.code for each in (quota, refused, unknown, key)]
    assert found == ["remote-quota", "remote-refused", "remote-refused", "remote-auth"]
    with pytest.raises(VendorError) as control:
        rest.survey_url(SURVEY, Contact("jane@example.com", first_name="\x00"))
    assert control.value.code == "invalid"


def test_names_and_arguments_are_settings(deployment: Deployment, vendor: StandIn) -> None:
    vendor.fault(
        kind="status",
        status=200,
        body="<methodResponse><params><param><value>https://q.example/t/1</value></param></params></methodResponse>",
    )
    fields = {"apiKey": "key", "email": "mail", "surveyId": None, "custom": None, "surveyUrl": "url"}
    rpc = connector("xmlrpc", surveyUrlMethod="a.b", arguments="positional", fields=fields)
    assert rpc.survey_url(SURVEY, Contact("jane@example.com", custom={"custom1": "x"})) == (
        "https://q.example/t/1"
    )
    [call] = vendor.calls()
    assert "<methodName>a.b</methodName>" in call["body"]
    assert [part.partition("</string>")[0] for part in call["body"].split("<string>")[1:]] == [
        API_KEY,
        "jane@example.com",
    ]


def test_our_envelope_is_the_one_of_an_independent_client(deployment: Deployment, vendor: StandIn) -> None:
    """zeep reads the endpoint's description, is answered by it, and writes the same call as we do."""
    base = vendor.vendor.base_url(vendor.origin)
    with httpx.Client(trust_env=False) as http:
        described = http.get(f"{base}/soap?wsdl").content
        transport = zeep.Transport()  # type: ignore[no-untyped-call]
        transport.session.trust_env = False
        transport.load = lambda url: described  # type: ignore[method-assign]
        client = zeep.Client(f"{base}/soap?wsdl", transport=transport)  # type: ignore[no-untyped-call]
        given = {"apiKey": API_KEY, "id": SURVEY, "email": "jane@example.com", "firstName": "<Jane> & é"}
        method = "questionpro.cx.getSurveyURL"
        theirs: Any = client.create_message(client.service, method, **given)  # type: ignore[no-untyped-call]
        assert client.service[method](**given).startswith("https://")
        transport.session.close()
    vendor.forget_calls()
    contact = Contact("jane@example.com", first_name="<Jane> & é")
    assert connector("soap").survey_url(SURVEY, contact).startswith("https://")
    [call] = vendor.calls()
    expected = canonicalize(etree.tostring(theirs, encoding="unicode"), rewrite_prefixes=True)
    assert canonicalize(call["body"], rewrite_prefixes=True) == expected


BOMB = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
HOSTILE = {
    "entity bomb": f'<!DOCTYPE x [<!ENTITY l0 "lol">{BOMB}]><methodResponse>&l9;</methodResponse>',
    "a file": '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><methodResponse>&f;</methodResponse>',
    "a DTD": '<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd"><methodResponse/>',
    "an entity by parameter": '<!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1:9/">%p;]><x/>',
    "no end": "<methodResponse><params>",
    "too deep": "<a>" * 200 + "</a>" * 200,
    "many attributes": "<a " + " ".join(f'b{n}="1"' for n in range(2000)) + "/>",
    "nothing": "",
    "an encoding of nowhere": '<?xml version="1.0" encoding="martian"?><a/>',
    "no answer": "<html>sorry</html>",
}


class TestHostile:
    @pytest.mark.parametrize("transport", TRANSPORTS)
    def test_xml_that_nobody_should_read_is_refused(
        self, deployment: Deployment, vendor: StandIn, transport: str
    ) -> None:
        for body in HOSTILE.values():
            vendor.heal()
            vendor.fault(kind="status", status=200, body=body)
            with pytest.raises(VendorError) as raised:
                connector(transport).survey_url(SURVEY, Contact("jane@example.com"))
            assert raised.value.code == "remote-unexpected"

    def test_a_huge_answer_is_not_read(self, deployment: Deployment, vendor: StandIn) -> None:
        deployment.patch.setattr("switchboard.connectors.survey_rpc.MAX_ANSWER", 10_000)
        vendor.fault(kind="status", status=200, body=f"<a>{'x' * 20_000}</a>")
        with pytest.raises(VendorError) as raised:
            connector("soap").survey_url(SURVEY, Contact("jane@example.com"))
        assert "larger than" in raised.value.detail

    def test_elements_without_end_are_refused(self) -> None:
        self_closed = b"<b/>" * 1_001
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(safe_xml, "_ELEMENTS", 1_000)
            assert safe_xml.parse(b"<a>" + self_closed + b"</a>") is None
        assert safe_xml.parse(b"<a>" + self_closed + b"</a>") is not None

    @pytest.mark.parametrize(
        ("value", "read"),
        [
            ("<i4>7</i4>", 7),
            ("<int>x</int>", "x"),
            ("<boolean>1</boolean>", True),
            ("<double>1.5</double>", 1.5),
            ("<double>inf</double>", "inf"),
            ("<nil/>", None),
            ("<array><data><value>a</value><value><i8>1</i8></value></data></array>", ["a", 1]),
            ("<struct><member><name>a</name></member></struct>", {"a": None}),
        ],
    )
    def test_values_of_xmlrpc(self, value: str, read: object) -> None:
        from switchboard.connectors.survey_rpc import _xmlrpc_result

        root = safe_xml.parse(
            f"<methodResponse><params><param><value>{value}</value></param></params></methodResponse>".encode()
        )
        assert root is not None
        assert json.dumps(_xmlrpc_result(root)) == json.dumps(read)


def test_settings_of_a_transport_are_checked(deployment: Deployment) -> None:
    for bad in ({"transport": "corba"}, {"rpc": {"surveyUrlMethod": "a b"}}, {"callsPerMinute": 0}):
        reply = deployment.call("PUT", "/settings/surveys", {"vendor": bad})
        assert reply.status == 422
        assert next(iter(bad)) in reply.json["errors"][0]["pointer"]
    assert Rpc().fields.custom == "custom"
