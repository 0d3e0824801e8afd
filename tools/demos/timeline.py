"""Operations: everything that happened around one customer, in one list; then the person is erased."""

import uuid
from typing import Any

from tools.demos import DemoStack, headline, line

_SURVEY = "3154843"


def run(stack: DemoStack) -> None:
    """A post, a lead, a member, a charge and an invitation of one person; the timeline; the erasure."""
    headline("One customer: what happened, then the right to be forgotten")
    mark = uuid.uuid4().hex[:8]
    customer_id = _busy_customer(stack, mark)
    path = f"/customers/{customer_id}"

    def shown() -> Any:
        items = stack.api.get(f"{path}/timeline", params={"limit": 100}).json()["items"]
        done = {item["flow"] for item in items if item["status"] not in ("pending", "in_progress")}
        return items if done >= {"social_post", "lead", "member", "charging", "survey_invitation"} else None

    for item in reversed(stack.wait_for(shown, "the timeline")):
        named = [
            f"{name} {held}" for name, held in item.items() if name.endswith("Id") and name != "ledgerId"
        ]
        line(f"{item['at'][11:19]}  {item['flow']}", f"{item['status']:<10} {', '.join(named[:2])}")
    asked = stack.api.delete(path, params={"erase": "true"})
    line("erase the person", f"{asked.status_code} {asked.json()['status']}")

    def erased() -> Any:
        found = stack.api.get(f"{path}/erasure").json()
        return found if found["status"] != "running" else None

    done = stack.wait_for(erased, "the erasure")
    line("erased", ", ".join(f"{number} {kind}" for kind, number in done["counts"].items() if number))
    line("left to do by hand", ", ".join(one["system"] for one in done["byHand"]))
    line("the customer in the CRM", str(stack.api.get(f"/crm{path}").status_code))


def _busy_customer(stack: DemoStack, mark: str) -> str:
    email = f"robin.{mark}@example.com"
    post = {
        "uniqueId": f"robin-{mark}",
        "community": "twitter",
        "authorId": f"robin-{mark}",
        "authorName": "robin",
        "postLink": f"https://twitter.example/robin/{mark}",
        "body": "Do you deliver to the island?",
        "postedAt": "2026-03-01T09:30:00Z",
        "language": "en",
    }
    made = stack.api.post("/social/posts", json=post).json()

    def customer() -> Any:
        return stack.api.get(f"/social/posts/{made['postId']}").json().get("customerId")

    customer_id: str = stack.wait_for(customer, "the post's customer")
    posts = [{"community": "twitter", "uniqueId": f"robin-{mark}"}]
    person = {"firstName": "Robin", "lastName": "Miller", "email": email}
    stack.api.post("/leads", json=person | {"posts": posts}).raise_for_status()
    stack.api.put(f"/members/demo-{mark}", json=person | {"version": 1}).raise_for_status()
    charged = {"externalId": customer_id, "customerProfile": "b2c", "customName": "Robin Miller"}
    stack.api.post("/charging/customers", json=charged).raise_for_status()
    invited = {"email": email, "customerId": customer_id}
    stack.api.post(f"/surveys/{_SURVEY}/invitations", json=invited).raise_for_status()
    return customer_id
