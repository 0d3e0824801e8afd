"""A customer's timeline on the deployed stack, the person's erasure, and the audit trail of it."""

import gzip
import hashlib
import uuid
from collections.abc import Callable

import httpx

from tests.e2e.waiting import settled
from tests.support import factories


def dumped(api: httpx.Client, survey: str, *, full: bool) -> str:
    """A dump of the survey, complete; where it is."""
    started = api.post(f"surveys/{survey}/dumps", json={"full": full})
    assert started.status_code == 202, started.text
    where = f"surveys/{survey}/dumps/{started.json()['dumpId']}"
    done = settled(lambda: api.get(where).json(), lambda found: found["status"] != "running")
    assert done["status"] == "complete", done
    return where


def rows_of(api: httpx.Client, where: str) -> tuple[int, str]:
    """A dump's rows, and the text of all its files, each as its manifest says it is."""
    dump = api.get(where).json()
    texts = []
    for file in dump["files"]:
        content = httpx.get(file["url"], trust_env=False).content
        assert hashlib.sha256(content).hexdigest() == file["sha256"]
        texts.append((gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode())
    return dump["rows"], "".join(texts)


def test_what_happened_is_told_and_a_person_is_erased(
    api: httpx.Client, sandbox: httpx.Client, partner: Callable[..., httpx.Client]
) -> None:
    mark = uuid.uuid4().hex[:10]
    email, survey = f"{mark}@example.com", str(uuid.uuid4().int % 10**9)
    leads = partner("leads:write", "ledger:read")
    lead = leads.post("leads", json=factories.lead(email=email, lastName=f"Name{mark}"))
    assert lead.status_code == 201, lead.text
    path = f"customers/{lead.json()['customerId']}"
    number = f"e2e-{mark}"
    assert api.put(f"members/{number}", json=factories.member(email=email)).status_code == 202
    invitation = factories.invitation(email=email, lastName=f"Name{mark}")
    invited = api.post(f"surveys/{survey}/invitations", json=invitation, headers={"Idempotency-Key": mark})
    assert invited.status_code == 201, invited.text
    others = f"/_control/questionpro/surveys/{survey}/responses"
    sandbox.post(others, json={"count": 2}).raise_for_status()
    answered = {"surveyUrl": invited.json()["surveyUrl"]}
    sandbox.post("/_control/questionpro/answers", json=answered).raise_for_status()
    dump = dumped(api, survey, full=False)
    rows, text = rows_of(api, dump)
    invitation_id = invited.json()["invitationId"]
    assert rows == 3
    assert invitation_id in text

    def flows() -> set[str]:
        items = api.get(f"{path}/timeline", params={"limit": 100}).json()["items"]
        return {item["flow"] for item in items}

    settled(flows, lambda found: found >= {"lead", "member", "survey_invitation"})
    own = leads.get(f"{path}/timeline").json()["items"]
    assert [item["flow"] for item in own] == ["lead"]
    assert leads.delete(path, params={"erase": "true"}).status_code == 403
    assert api.delete(path).status_code == 422

    asked = api.delete(path, params={"erase": "true"})
    assert asked.status_code == 202, asked.text
    done = settled(lambda: api.get(f"{path}/erasure").json(), lambda found: found["status"] != "running")
    assert done["status"] == "done", done
    # What was dumped is dumped no more, neither in the files there are nor in new ones.
    for where in (dump, dumped(api, survey, full=True)):
        rows, text = rows_of(api, where)
        assert rows == 2
        assert invitation_id not in text
    assert api.delete(path, params={"erase": "true"}).status_code == 200
    assert api.get(f"crm/{path}").status_code == 404
    assert api.get("crm/customers", params={"email": email}).json()["items"] == []
    assert api.get(f"members/{number}").status_code == 404
    replay = api.post(f"surveys/{survey}/invitations", json=invitation, headers={"Idempotency-Key": mark})
    assert replay.status_code == 410
    ledger = api.get("ledger", params={"limit": 100}).text
    assert email not in ledger
    [act] = [
        act
        for act in api.get("audit", params={"action": "customer.erased", "limit": 100}).json()["items"]
        if act["target"]["customerId"] == lead.json()["customerId"]
    ]
    assert (act["by"], act["outcome"]) == ("admin", "done")
