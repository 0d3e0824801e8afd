"""Source 004: 8x8 tells us by its triggers, and what it told is pulled through its CRM API."""

import json
from typing import Any

import pytest

from functions.vcc_sweep import app as sweep_app
from switchboard import aws, observability
from switchboard.connectors import vcc
from switchboard.errors import VendorError
from tests.support.deployment import Context, Deployment, Reply
from tests.support.stand_ins import Sandbox

TOKEN = "vcc-hook-token-of-the-sandbox"


@pytest.fixture
def vendor(deployment: Deployment, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """8x8, with its secret in place."""
    secret = aws.secretsmanager().create_secret(Name="vcc", SecretString=json.dumps(sandbox.secret("vcc")))
    monkeypatch.setenv("VCC_SECRET_ARN", secret["ARN"])
    monkeypatch.setattr(sweep_app, "SETTLE_SECONDS", 0.0)
    return sandbox


def hook(deployment: Deployment, what: str, method: str = "GET", token: str = TOKEN, **ids: str) -> Reply:
    query = {f"{name}ID": value for name, value in ids.items()}
    return deployment.call(method, f"/hooks/vcc/{token}/{what}", key=None, query=query)


def ledger(deployment: Deployment) -> list[Any]:
    found: list[Any] = deployment.call("GET", "/ledger", query={"flow": "record_sync"}).json["items"]
    return found


def test_a_told_case_is_pulled_with_its_customer_and_read_by_its_ids(
    deployment: Deployment, vendor: Sandbox
) -> None:
    body = {"url": f"{vendor.url}/sink/x", "object": "*", "event": "*"}
    assert deployment.call("POST", "/triggers", body).status == 201
    assert hook(deployment, "case/create", Account="1001", Case="2001").status == 200
    deployment.settle()
    case = deployment.call("GET", "/crm/customers/1001/cases/2001").json
    assert (case["subject"], case["status"]) == ("No signal", "open")
    customer = deployment.call("GET", "/crm/customers", query={"email": "JUERGEN.mueller@example.com"}).json
    assert [item["lastName"] for item in customer["items"]] == ["Müller"]
    # One fact, one call: what is copied here was told already.
    assert [call["target"] for call in vendor.calls("sink")] == ["/sink/x?AccountID=1001&CaseID=2001"]
    assert [entry["status"] for entry in ledger(deployment)] == ["synced"]


def test_the_same_trigger_twice_is_told_once_and_pulled_again(
    deployment: Deployment, vendor: Sandbox
) -> None:
    body = {"url": f"{vendor.url}/sink/x", "object": "*", "event": "*"}
    deployment.call("POST", "/triggers", body)
    first = hook(deployment, "customer/edit", Account="1001")
    deployment.settle()
    vendor.put("vcc/records/Customer/1001", {"COMPANY": "Acme"})
    again = hook(deployment, "customer/edit", method="POST", Account="1001")
    deployment.settle()
    assert first.json == again.json
    assert len(vendor.calls("sink")) == 1
    assert deployment.call("GET", "/crm/customers/1001").json["company"] == "Acme"


def test_a_delete_leaves_a_tombstone_that_a_late_pull_does_not_undo(
    deployment: Deployment, vendor: Sandbox
) -> None:
    hook(deployment, "case/create", Account="1001", Case="2001")
    deployment.settle()
    hook(deployment, "customer/delete", Account="1001")
    deployment.settle()
    for path in ("", "/cases/2001"):
        assert deployment.call("GET", f"/crm/customers/1001{path}").status == 404
    hook(deployment, "customer/edit", Account="1001")
    hook(deployment, "customer/delete", Account="never-came")
    deployment.settle()
    assert deployment.call("GET", "/crm/customers/1001").status == 404
    found = deployment.call("GET", "/crm/customers", query={"email": "juergen.mueller@example.com"})
    assert found.json["items"] == []
    assert {entry["status"] for entry in ledger(deployment)} <= {"synced", "unchanged"}


@pytest.mark.parametrize("token", ["wrong", "vcc-hook-token", "ü", "<x>", "a{b"])
def test_a_wrong_token_is_404(deployment: Deployment, vendor: Sandbox, token: str) -> None:
    assert hook(deployment, "case/create", token=token, Account="1", Case="2").status == 404


def test_a_hook_without_a_secret_is_closed(deployment: Deployment) -> None:
    assert hook(deployment, "customer/create", Account="1").status == 404


@pytest.mark.parametrize(
    ("what", "ids", "status"),
    [
        ("case/create", {"Account": "1"}, 422),
        ("customer/create", {}, 422),
        ("followup/edit", {"Account": "1", "Case": "2", "Followup": "3"}, 422),
        ("lead/create", {"Account": "1"}, 404),
        ("customer/merge", {"Account": "1"}, 404),
        ("member/create", {"Account": "1"}, 404),
    ],
)
def test_a_bad_hook_call_is_a_clear_refusal(
    deployment: Deployment, vendor: Sandbox, what: str, ids: dict[str, str], status: int
) -> None:
    assert hook(deployment, what, **ids).status == status


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        ("Too many records", "data_error", "remote-refused"),
        ("Connection to database lost", "retrying", "remote-unavailable"),
        ("Invalid username or password", "retrying", "remote-auth"),
    ],
)
def test_a_failure_in_the_reply_is_a_failure(
    deployment: Deployment, vendor: Sandbox, error: str, status: str, code: str
) -> None:
    reply = f'<WAPI><REPLY STATUS="-1" ERROR_STR="{error}" ERROR_CODE="9"></REPLY></WAPI>'
    vendor.fault("vcc", kind="status", status=200, body=reply)
    hook(deployment, "customer/create", Account="1001")
    deployment.settle()
    [entry] = ledger(deployment)
    assert (entry["status"], entry["code"]) == (status, code)
    vendor.end_faults("vcc")
    assert deployment.call("POST", f"/ledger/{entry['ledgerId']}/resubmit").status == 202
    deployment.settle()
    assert ledger(deployment)[0]["status"] == "synced"


def test_the_gateway_form(deployment: Deployment, vendor: Sandbox) -> None:
    secret = vendor.secret("vcc") | {"form": "gateway", "apiKey": "vcc-gateway-key"}
    aws.secretsmanager().put_secret_value(SecretId="vcc", SecretString=json.dumps(secret))
    assert vcc.get("Customer", ACCOUNTNUM="1001")[0]["LASTNAME"] == "Müller"
    [call] = vendor.calls("vcc")
    assert call["path"] == "/cc/v1/wapi"
    assert call["body"] == '<COMMAND OBJECT="Customer" ACTION="Get"><ACCOUNTNUM>1001</ACCOUNTNUM></COMMAND>'


def test_what_is_sent_cannot_break_out_of_its_element(deployment: Deployment, vendor: Sandbox) -> None:
    assert vcc.get("Customer", ACCOUNTNUM="1</ACCOUNTNUM><EMAIL>x") == []
    with pytest.raises(VendorError):
        vcc.get("Customer", ACCOUNTNUM="\x00")


def test_the_sweep_finds_what_no_trigger_told(
    deployment: Deployment, vendor: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"url": f"{vendor.url}/sink/x", "object": "*", "event": "*"}
    deployment.call("POST", "/triggers", body)
    counts: dict[str, int] = {}
    monkeypatch.setattr(observability, "count", lambda name, value=1, **_: counts.update({name: value}))
    hook(deployment, "case/create", Account="1001", Case="2001")
    deployment.settle()
    vendor.put("vcc/records/Customer/1001", {"COMPANY": "Imported"})
    vendor.put("vcc/records/Task/3001", {"ACCOUNTNUM": "1001", "SUBJECT": "Bulk", "DUEDATE": "120120261430"})

    sweep_app.lambda_handler({}, Context())  # type: ignore[arg-type]
    assert (counts["VccEventsRecovered"], counts["VccLossPercent"]) == (2, 67)
    deployment.settle()
    assert deployment.call("GET", "/crm/customers/1001").json["company"] == "Imported"
    assert (
        deployment.call("GET", "/crm/customers/1001/tasks/3001").json["dueAt"] == "2026-12-01T14:30:00.000Z"
    )
    assert {call["target"] for call in vendor.calls("sink")} == {
        "/sink/x?AccountID=1001&CaseID=2001",
        "/sink/x?AccountID=1001",
        "/sink/x?AccountID=1001&TaskID=3001",
    }
    sweep_app.lambda_handler({}, Context())  # type: ignore[arg-type]
    assert counts["VccEventsRecovered"] == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"<WAPI>",
        b"<WAPI/>",
        b"{",
        b"{}",
        b'{"reply": 1}',
        b'<!DOCTYPE x [<!ENTITY a "b">]><WAPI><REPLY STATUS="0"/></WAPI>',
        b"<a>" * 100 + b"<REPLY STATUS='0'/>" + b"</a>" * 100,
    ],
)
def test_what_is_no_reply_is_none(body: bytes) -> None:
    assert vcc.read_reply(body) is None


def test_both_kinds_of_reply_are_read() -> None:
    xml = (
        '<?xml version="1.0" encoding="ISO-8859-1"?><CRMUSER><REPLY STATUS="0" ERROR_STR="" ERROR_CODE="0">'
        "<ITEM><LASTNAME>M\xfcller</LASTNAME><customertype>x</customertype><FAX></FAX></ITEM></REPLY></CRMUSER>"
    ).encode("iso-8859-1")
    reply = vcc.read_reply(xml)
    assert reply is not None
    assert reply.items == [{"LASTNAME": "Müller", "CUSTOMERTYPE": "x"}]
    found = vcc.read_reply(b'{"reply": {"status": 0, "items": [{"accountnum": 7, "fax": null}]}}')
    assert found is not None
    assert (found.status, found.items) == ("0", [{"ACCOUNTNUM": "7"}])
