"""What calls us with a token or a signature, and what answers us in XML, mutated byte by byte.

`SWITCHBOARD_MUTATIONS` is the number of mutations of each; `make prove` asks for many.
"""

import json
import os
from collections.abc import Iterator
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from switchboard import aws, config, observability
from switchboard.connectors import vcc
from switchboard.errors import VendorError
from tests.support.deployment import Deployment, deployed
from tests.support.stand_ins import Sandbox

MUTATIONS = int(os.environ.get("SWITCHBOARD_MUTATIONS", "40"))
MANY = settings(
    max_examples=MUTATIONS,
    deadline=None,
    database=None,
    derandomize=MUTATIONS <= 40,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)

REPLY = (
    '<?xml version="1.0" encoding="ISO-8859-1"?><WAPI><REPLY STATUS="0" ERROR_STR="" ERROR_CODE="0">'
    "<ITEM><ACCOUNTNUM>1001</ACCOUNTNUM><LASTNAME>M&#252;ller</LASTNAME></ITEM></REPLY></WAPI>"
).encode("iso-8859-1")
JSON_REPLY = json.dumps(
    {"reply": {"status": 0, "errorStr": "", "errorCode": 0, "items": [{"accountnum": "1001"}]}}
).encode()
HOSTILE = (
    b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><WAPI><REPLY STATUS="0">&x;</REPLY></WAPI>',
    b'<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;">]><REPLY STATUS="0">&y;</REPLY>',
    b"<a>" * 5000 + b"</a>" * 5000,
    b"<REPLY " + b" ".join(b'a%d="1"' % number for number in range(2000)) + b"/>",
    b'<?xml version="1.0" encoding="utf-7"?><REPLY STATUS="0"/>',
    b'<?xml version="1.0" encoding="nonsense"?><REPLY STATUS="0"/>',
    b'{"reply": {"status": 0, "items": 7}}',
    b'{"reply": {"status": 0, "items": [7, null, []]}}',
    b'{"reply": []}',
    b"{" * 100_000,
    b"\xff\xfe<\x00",
    b"",
)


@st.composite
def mutated(draw: Any, original: bytes) -> bytes:
    """Some bytes flipped, cut, doubled, or put in."""
    body = bytearray(original)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(body) - 1, 0)))
        match draw(st.sampled_from(("flip", "cut", "double", "put"))):
            case "flip" if body:
                body[at] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del body[at : at + draw(st.integers(1, 40))]
            case "double":
                body[at:at] = body[at : at + draw(st.integers(1, 40))]
            case _:
                body[at:at] = draw(st.binary(min_size=1, max_size=8))
    return bytes(body)


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_reply_is_no_reply(body: bytes) -> None:
    reply = vcc.read_reply(body)
    assert reply is None or reply.items == []


@MANY
@given(body=mutated(REPLY) | mutated(JSON_REPLY))
def test_a_mutated_reply_is_read_or_refused_and_never_breaks(body: bytes) -> None:
    reply = vcc.read_reply(body)
    assert reply is None or all(isinstance(value, str) for item in reply.items for value in item.values())


@MANY
@given(value=st.text(max_size=50))
def test_a_command_holds_its_value_and_nothing_else(value: str) -> None:
    """Whatever stands in an id, it is the text of one element."""
    from xml.etree.ElementTree import fromstring

    if any(vcc._UNSAFE.search(sign) for sign in value):
        with pytest.raises(VendorError, match="XML cannot hold"):
            vcc.command("Case", "Get", {"CASENUM": value})
        return
    body = vcc.command("Case", "Get", {"CASENUM": value})
    element = fromstring(b'<?xml version="1.0" encoding="iso-8859-1"?>' + body)
    assert (element.tag, element.attrib) == ("COMMAND", {"OBJECT": "Case", "ACTION": "Get"})
    assert [child.tag for child in element] == ["CASENUM"]
    # XML reads every line end as one line feed.
    assert (element[0].text or "") == value.replace("\r\n", "\n").replace("\r", "\n")


# hooks ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def connected(running_sandbox: Sandbox) -> Iterator[Deployment]:
    """The bundle with the secrets of the vendors that call it."""
    running_sandbox.reset()
    with deployed() as deployment:
        for vendor in ("meta", "vcc", "questionpro", "crowdtwist"):
            secret = json.dumps(running_sandbox.secret(vendor))
            made = aws.secretsmanager().create_secret(Name=vendor, SecretString=secret)
            deployment.patch.setenv(f"{vendor.upper()}_SECRET_ARN", made["ARN"])
        deployment.patch.setattr(config, "STALENESS", 3600.0)
        observability.logger.setLevel("CRITICAL")
        yield deployment
        observability.logger.setLevel("INFO")


BODY = json.dumps(
    {
        "object": "page",
        "entry": [{"id": "1", "changes": [{"field": "leadgen", "value": {"leadgen_id": "2"}}]}],
    }
).encode()
SIGNATURE = "sha256=" + "0" * 64


@MANY
@given(
    signature=st.text(max_size=100) | mutated(SIGNATURE.encode()).map(lambda raw: raw.decode("latin-1")),
    body=mutated(BODY) | st.just(BODY),
)
def test_a_call_that_is_not_signed_is_401(connected: Deployment, signature: str, body: bytes) -> None:
    headers = {"X-Hub-Signature-256": signature, "Content-Type": "application/json"}
    reply = connected.call("POST", "/hooks/facebook/leads", raw=body, headers=headers, key=None)
    assert reply.status in (400, 401), reply.text
    assert reply.json["code"] in ("unauthorized", "not-utf8", "not-json")


@MANY
@given(body=mutated(BODY) | st.binary(max_size=200))
def test_a_signed_call_is_taken_or_refused_and_never_breaks(connected: Deployment, body: bytes) -> None:
    import hashlib
    import hmac

    from sandbox.vendors.meta import Meta

    digest = hmac.new(Meta.credentials["appSecret"].encode(), body, hashlib.sha256).hexdigest()
    headers = {"X-Hub-Signature-256": f"sha256={digest}", "Content-Type": "application/json"}
    reply = connected.call("POST", "/hooks/facebook/leads", raw=body or b" ", headers=headers, key=None)
    assert reply.status in (200, 400, 401, 422), reply.text


@MANY
@given(
    token=st.text(st.characters(exclude_characters="/"), min_size=1, max_size=60),
    hook=st.sampled_from(("questionpro/{}", "crowdtwist/{}", "vcc/{}/case/edit")),
    body=st.sampled_from((b"{}", b"[]", b"{", b"\xff")),
)
def test_a_token_that_is_not_ours_opens_nothing(
    connected: Deployment, token: str, hook: str, body: bytes
) -> None:
    query = {"AccountID": "1", "CaseID": "2"} if hook.startswith("vcc") else None
    headers = {"Content-Type": "application/json"}
    reply = connected.call(
        "POST", f"/hooks/{hook.format(token)}", raw=body, headers=headers, query=query, key=None
    )
    # A token of signs that no path of ours has finds no route at all, which is 401 without a key.
    assert reply.status in (400, 401, 404), reply.text
