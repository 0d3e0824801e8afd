"""The rest of source 000: replies, a form's leads, Meta's leads, campaigns and their links."""

import time
import uuid
from typing import Any

import httpx

from tools.demos import DemoStack, headline, line, recorded

_UNFINISHED = ("pending", "in_progress", "retrying", "unknown")


def run(stack: DemoStack) -> None:
    """A post is answered; a lead and its duplicate; a campaign is found and linked; Meta's lead comes in."""
    headline("Replies, leads and campaigns")
    partner = stack.partner("lead forms", "social:write", "leads:write", "campaigns:read", "campaigns:write")
    mark = uuid.uuid4().hex[:8]
    post = _post(stack, partner, mark)
    _reply(stack, partner, post["postId"])
    campaign = _campaign(partner, mark)
    _form_leads(partner, mark, post["uniqueId"], campaign["sourceId"])
    _meta_lead(stack, mark, campaign)


def _post(stack: DemoStack, partner: httpx.Client, mark: str) -> dict[str, Any]:
    body = {
        "uniqueId": f"leads-{mark}",
        "community": "twitter",
        "authorId": f"jane-{mark}",
        "authorName": f"jane_{mark}",
        "postLink": f"https://twitter.example/jane/status/{mark}",
        "body": "How do I get the roaming offer?",
        "postedAt": "2026-03-01T09:30:00Z",
    }
    accepted = partner.post("/social/posts", json=body).json()
    found = stack.wait_for(lambda: _done(partner, f"/social/posts/{accepted['postId']}"), "the post")
    line("a post to answer", f"{found['status']}, case {found['caseId']}")
    return {**found, **body}


def _reply(stack: DemoStack, partner: httpx.Client, post_id: str) -> None:
    path = f"/social/posts/{post_id}/replies"
    answer = partner.post(path, json=recorded("social_intake_reply"))
    answer.raise_for_status()

    def sent() -> dict[str, Any] | None:
        [reply] = partner.get(path).json()["items"]
        return None if reply["status"] in _UNFINISHED else reply

    reply = stack.wait_for(sent, "the reply")
    posted = stack.sandbox.get("/_control/sem/replies").json()["items"]
    times = sum(each["id"] == reply["replyId"] for each in posted)
    line(
        "the agent's reply",
        f"{answer.status_code}, {reply['status']}; posted {times} time, noted on the case",
    )


def _campaign(partner: httpx.Client, mark: str) -> dict[str, Any]:
    body = recorded("campaign_query_create") | {"name": f"Roaming {mark}"}
    answer = partner.post("/campaigns", json=body)
    if answer.status_code == 201:
        line("a campaign is made in the built-in CRM", f"201, source id {answer.json()['sourceId']}")
        name = f"roaming {mark}"
    else:
        name = "roaming"
    found = partner.get("/campaigns", params={"name": name, "startDate": "2026-01-01"}).json()["items"]
    campaign: dict[str, Any] = found[0]
    line(f'campaigns whose name contains "{name}"', f"{len(found)}: {campaign['name']}")
    link = f"/campaigns/{campaign['campaignId']}/links/{_social_campaign(mark)}"
    linked = partner.put(link, json={"name": "Roaming on Facebook", "url": "https://facebook.example/c/1"})
    line("a social campaign is linked to it", str(linked.status_code))
    return campaign


def _form_leads(partner: httpx.Client, mark: str, unique_id: str, source_id: str) -> None:
    lead = recorded("lead_create") | {"email": f"jane.{mark}@example.com", "campaignSourceId": source_id}
    lead["posts"] = [{"community": "twitter", "uniqueId": unique_id}]
    lead.pop("phone", None)
    first = partner.post("/leads", json=lead)
    made = first.json()
    line("a form's lead, from the post's author", f"{first.status_code} {made.get('status', made)}")
    again = partner.post("/leads", json=lead | {"email": lead["email"].upper()}).json()
    line("the same lead again", f"{again['status']} {again['code']}, matched on {again.get('matchedOn')}")


def _meta_lead(stack: DemoStack, mark: str, campaign: dict[str, Any]) -> None:
    fields = {"full_name": "Ann Lee", "email": f"ann.{mark}@example.com", "favourite_colour": "blue"}
    asked = {"fields": fields, "formId": f"10{int(mark, 16)}", "campaignId": _social_campaign(mark)}
    call = stack.sandbox.post("/_control/meta/leads", json=asked).json()
    headers = {"Content-Type": "application/json", "X-Hub-Signature-256": call["signature"]}
    url = f"{stack.stack.api_url}/hooks/facebook/leads"
    before = {entry["ledgerId"] for entry in _lead_entries(stack)}
    started = time.monotonic()
    answer = httpx.post(url, content=call["body"], headers=headers, timeout=60, trust_env=False)
    forged = httpx.post(url, content=call["body"] + " ", headers=headers, timeout=60, trust_env=False)

    def made() -> dict[str, Any] | None:
        for entry in _lead_entries(stack):
            if entry["ledgerId"] not in before and entry["status"] not in _UNFINISHED:
                found: dict[str, Any] = stack.api.get(f"/ledger/{entry['ledgerId']}").json()
                return found
        return None

    entry = stack.wait_for(made, "Meta's lead")
    seconds = time.monotonic() - started
    line("Meta's webhook tells of a lead", f"{answer.status_code}; {entry['status']} ({seconds:.1f} s)")
    line(f"  in the linked campaign {campaign['sourceId']}", f"lead {entry['result']['leadId']}")
    line("the same call with a byte more", f"{forged.status_code} {forged.json()['code']}")


def _lead_entries(stack: DemoStack) -> list[dict[str, Any]]:
    """The latest leads that belong to the administrator, as Meta's do."""
    entries = stack.api.get("/ledger", params={"flow": "lead", "limit": 100}).json()["items"]
    return [entry for entry in entries if entry["partnerId"] == "admin"]


def _social_campaign(mark: str) -> str:
    return f"23{int(mark, 16)}"


def _done(client: httpx.Client, path: str) -> dict[str, Any] | None:
    found: dict[str, Any] = client.get(path).json()
    return None if found["status"] in _UNFINISHED else found
