"""Source 000: recorded posts become customers and cases."""

import time
import uuid
from typing import Any

from tools.demos import DemoStack, headline, line, recorded

_UNFINISHED = ("pending", "in_progress", "retrying", "unknown")
_POSTS = (
    ("a complaint of somebody new", "social_intake_complaint"),
    ("the same post once more", "social_intake_complaint"),
    ("the author's answer in the thread", "social_intake_thread"),
    ("praise of somebody else", "social_intake_praise"),
    ("a post in a language nobody reads", "social_intake_filtered"),
    ("an echo of our own account", "social_intake_own"),
)
_SETTINGS = {
    "criteria": {"languages": ["en"]},
    "ownAccounts": [{"community": "twitter", "authorId": "acme-care"}],
    "assignmentRules": [
        {"when": {"sentiment": "negative", "keywords": ["signal", "outage"]}, "assignTo": "team-network"},
        {"when": {"sentiment": "positive"}, "assignTo": "team-community"},
    ],
}


def run(stack: DemoStack) -> None:
    """Set criteria and rules, push the recorded posts, show what came of each."""
    headline("Social posts become cases")
    before = stack.api.get("/settings/social").json()["version"]
    stack.api.put("/settings/social", json=_SETTINGS).raise_for_status()
    line("settings: criteria, own accounts, rules", "in force")
    listening = stack.partner("listening platform", "social:write")
    run_id = uuid.uuid4().hex[:8]
    for subject, name in _POSTS:
        _push(stack, listening, subject, _of_this_run(recorded(name), run_id))
    refused = listening.post("/social/posts", json={"uniqueId": "1"})
    line("a post that lacks most of its fields", f"{refused.status_code} {refused.json()['code']}")
    stack.api.post("/settings/social/rollback", json={"version": before}).raise_for_status()


def _of_this_run(post: dict[str, Any], run_id: str) -> dict[str, Any]:
    """The recorded post with ids that no earlier run has used, so that the demo can be run again."""
    renamed: dict[str, Any] = {
        name: f"{post[name]}-{run_id}" for name in ("uniqueId", "parentId") if name in post
    }
    if post["authorId"] != "acme-care":
        renamed["authorId"] = f"{post['authorId']}-{run_id}"
    return post | renamed


def _push(stack: DemoStack, listening: Any, subject: str, post: dict[str, Any]) -> None:
    started = time.monotonic()
    answer = listening.post("/social/posts", json=post)
    answer.raise_for_status()
    post_id = answer.json()["postId"]

    def done() -> Any:
        found = listening.get(f"/social/posts/{post_id}").json()
        return None if found["status"] in _UNFINISHED else found

    found = stack.wait_for(done, subject)
    line(subject, f"{answer.status_code}, {_told(found)} ({time.monotonic() - started:.1f} s)")


def _told(found: dict[str, Any]) -> str:
    if found["status"] == "filtered":
        return f"filtered by {found['criterion']}"
    customer = "new customer" if found["customerCreated"] else "known customer"
    case = "new case" if found["caseCreated"] else "threaded into the open case"
    return f"{found['status']}: {customer}, {case}, assigned to {found['assignedTo'] or 'nobody'}"
