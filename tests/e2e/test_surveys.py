"""Surveys on the deployed stack: the URL, the answer, the dump with its files."""

import csv
import gzip
import hashlib
import io
import json
import uuid
from typing import Any

import httpx
import pytest

from sandbox.vendors.questionpro import HOOK_TOKEN
from tests.e2e.waiting import settled
from tests.support import factories
from tools.stack import Stack


@pytest.fixture
def survey() -> str:
    """A survey that no earlier run has used."""
    return str(uuid.uuid4().int % 10**9)


def test_from_the_url_to_the_files(
    api: httpx.Client, anonymous: httpx.Client, sandbox: httpx.Client, stack: Stack, survey: str
) -> None:
    path = f"/surveys/{survey}/invitations"
    body = factories.invitation(email=f"{uuid.uuid4().hex}@example.com")
    issued = api.post(path, json=body)
    assert issued.status_code == 201, issued.text
    again = api.post(path, json=body)
    assert (again.status_code, again.json()) == (200, issued.json())
    batch = {"invitations": [factories.invitation(), {"email": "nobody"}]}
    items = api.post(f"{path}/batch", json=batch).json()["items"]
    assert [item["httpStatus"] for item in items] == [201, 422]

    hook = f"{stack.api_url}/hooks/questionpro/{HOOK_TOKEN}"
    answer = {"surveyUrl": issued.json()["surveyUrl"], "webhook": hook}
    item = sandbox.post("/_control/questionpro/answers", json=answer).json()
    assert item["webhookStatus"] == 200
    assert anonymous.post("/hooks/questionpro/guess", json=item).status_code == 404
    one = f"{path}/{issued.json()['invitationId']}"
    settled(lambda: api.get(one).json(), lambda found: found["status"] == "responded")
    assert api.post(f"/surveys/{survey}/reminders").json() == {"count": 1}
    settled(
        lambda: api.get(path, params={"status": "reminded"}).json()["items"], lambda found: len(found) == 1
    )

    more = {"items": [{**item, "responseID": number} for number in range(250)]}
    sandbox.post(f"/_control/questionpro/surveys/{survey}/responses", json=more).raise_for_status()
    started = api.post(f"/surveys/{survey}/dumps", json={"full": False})
    assert started.status_code == 202
    assert api.post(f"/surveys/{survey}/dumps", json={}).status_code in (202, 409)
    where = f"/surveys/{survey}/dumps/{started.json()['dumpId']}"
    found = settled(lambda: api.get(where).json(), lambda dump: dump["status"] != "running")
    assert (found["status"], found["rows"], found["countCheck"]["agrees"]) == ("complete", 251, True)
    for file in found["files"]:
        content = httpx.get(file["url"], trust_env=False).content
        assert hashlib.sha256(content).hexdigest() == file["sha256"]
        if "json" in file["format"]:
            lines = gzip.decompress(content).decode().splitlines()
            assert len({json.loads(line)["responseID"] for line in lines}) == 251
        else:
            assert len(list(csv.reader(io.StringIO(content.decode(), newline="")))) == 252
    assert httpx.get(found["manifest"], trust_env=False).json()["rows"] == 251


def test_a_mail_goes_out_once_and_has_a_way_out(
    api: httpx.Client, anonymous: httpx.Client, stack: Stack, survey: str
) -> None:
    address = f"{uuid.uuid4().hex}@example.com"
    template = {"subject": "How was it?", "text": "{surveyUrl} {optOutUrl}", "html": "<p>{surveyUrl}</p>"}
    mail = {"defaultLanguage": "en", "templates": {"en": template}}
    before = api.get("/settings/surveys").json()["version"]
    area = {"surveys": {survey: {"delivery": "mail", "mail": mail}}}
    assert api.put("/settings/surveys", json=area).status_code == 200
    path = f"/surveys/{survey}/invitations"
    try:
        issued = api.post(path, json={"email": address}).json()
        [sent] = settled(lambda: mails(stack, address), lambda found: bool(found))
        assert (sent["Source"], sent["Subject"]) == ("surveys@example.com", "How was it?")
        url, way_out = sent["BodyText"].split()
        assert url == issued["surveyUrl"]
        way_out = "/hooks/opt-out/" + way_out.partition("/hooks/opt-out/")[2]
        assert address in anonymous.get(way_out).text
        form = {"List-Unsubscribe": "One-Click"}
        assert anonymous.post(way_out + "x", data=form).status_code == 404
        assert anonymous.post(way_out, data=form).status_code == 200
        assert api.post(f"/surveys/{survey}/reminders").json() == {"count": 0}
        again = api.post(path, json={"email": address, "transactionId": "next"})
        assert (again.status_code, again.json()["code"]) == (409, "opted-out")
        assert len(mails(stack, address)) == 1
    finally:
        api.post("/settings/surveys/rollback", json={"version": before})


def mails(stack: Stack, address: str) -> list[dict[str, Any]]:
    """What the emulator's SES has sent to this address."""
    found = httpx.get(f"{stack.aws_endpoint}/_ministack/ses/messages", trust_env=False).json()["messages"]
    return [mail for mails in found.values() for mail in mails if address in mail["To"]]
