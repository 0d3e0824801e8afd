"""The flows of a run: what sources send, again and again and out of order, and where its effects show.

A source behaves as the API's documentation asks it to: it repeats a call with its Idempotency-Key, or the
same id, until it is told that the work is taken. Each text carries its partner's word and the source's id.
"""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from tests.proof.simulation.history import Effect, History, Sent, Source
from tests.support import factories
from tests.support.surveys import SURVEY

if TYPE_CHECKING:
    from tests.proof.simulation.world import World

_PROMISES = range(200, 300)
_GUESTS = 3


class Flow(ABC):
    """One flow.

    Attributes:
        name: the first member of its sources.
        needed: the kinds of effect that accepted work must leave.
    """

    name: ClassVar[str]
    needed: ClassVar[tuple[str, ...]]

    def __init__(self, world: "World") -> None:
        self.world = world
        self.sent: list[Sent] = []
        self.prepare()

    def prepare(self) -> None:
        """Whatever has to be there before the first call; without faults."""
        return

    @abstractmethod
    def act(self) -> None:
        """One call of a source."""

    @abstractmethod
    def effects(self) -> Iterator[Effect]:
        """What the witnesses saw."""

    def last(self) -> dict[Source, list[int]]:
        """The versions that the sources' objects show, where the flow has versions."""
        return {}

    def send(
        self, source: Source, method: str, path: str, body: Any, *, version: int = 1, key: bool = False
    ) -> Any:
        """One call for a source, told in the history; the answer's JSON when the work was accepted."""
        headers = {"Idempotency-Key": f"{self.name}-{source[2]}"} if key else {}
        reply = self.world.call(source[1], method, path, body, headers=headers)
        accepted = reply is not None and reply.status in _PROMISES
        if reply is not None and reply.status not in (*_PROMISES, 409, 429, 500, 502, 503):
            raise AssertionError(f"{method} {path} answered {reply.status}: {reply.text}")
        self.sent.append(Sent(source, version, accepted))
        return reply.json if accepted and reply is not None else None

    def write(self, history: History) -> None:
        """Put what the flow sent and its witnesses saw into the history."""
        history.needed[self.name] = self.needed
        history.sent += self.sent
        history.effects += self.effects()
        history.last |= self.last()

    def marked(self, text: str, kind: str) -> Iterator[Effect]:
        """An effect for each mark of this flow in a text that a witness holds."""
        # Once for each text: a case has its post in its subject and in its description.
        for flow, partner, number in sorted(set(re.findall(r"(\w+) of (\w+) <(\d+)>", text))):
            if flow == self.name:
                yield Effect((flow, partner, number), 1, kind)

    def mark(self, source: Source) -> str:
        """What stands in the source's text; its partner's word is the partner's name."""
        return f"{self.name} of {source[1]} <{source[2]}>"

    def draw(self, most: int) -> Source:
        """A source: one of `most` ids, which both partners use."""
        lots = self.world.lots
        return self.name, lots.choice(self.world.partners), str(lots.randrange(most))


class Posts(Flow):
    """Social posts become cases; some answer another post, some come twice or before their parent."""

    name = "post"
    needed = ("case text",)

    def act(self) -> None:
        source = self.draw(8)
        number = int(source[2])
        body = factories.post(
            uniqueId=f"u{number}",
            authorId=f"author-{number % 3}",
            authorName=f"author_{number % 3}",
            parentId=f"u{number - 3}" if number > 3 else None,
            body=self.mark(source),
        )
        accepted = self.send(source, "POST", "/social/posts", body)
        if accepted:
            path = f"/social/posts/{accepted['postId']}"
            self.world.private.setdefault(path, source[1])
            self.world.posts[source[1], number] = accepted["postId"]

    def effects(self) -> Iterator[Effect]:
        for item in self.world.crm_items():
            if item.get("object") in ("case", "followup"):
                yield from self.marked(json.dumps(item, default=str), "case text")


class Replies(Flow):
    """Agents' answers go out on the network, and are noted on the case."""

    name = "reply"
    needed = ("reply on the network", "note on the case")

    def act(self) -> None:
        source = self.draw(6)
        post = self.world.posts.get((source[1], int(source[2])))
        if post is None:
            return
        body = {"body": self.mark(source), "agentId": "a-7"}
        self.send(source, "POST", f"/social/posts/{post}/replies", body, key=True)
        self.world.private.setdefault(f"/social/posts/{post}/replies", source[1])

    def effects(self) -> Iterator[Effect]:
        for reply in self.world.control("sem/replies")["items"]:
            yield from self.marked(reply["body"], "reply on the network")
        for item in self.world.crm_items():
            if item.get("object") == "followup":
                yield from self.marked(json.dumps(item, default=str), "note on the case")


class Leads(Flow):
    """Leads of forms, each of a person of its own."""

    name = "lead"
    needed = ("lead",)

    def act(self) -> None:
        source = self.draw(6)
        address = f"{source[1]}.{source[2]}@example.com"
        body = {"lastName": self.mark(source), "email": address, "externalId": source[2]}
        accepted = self.send(source, "POST", "/leads", body, key=True)
        if accepted:
            self.world.private.setdefault(f"/ledger/{accepted['ledgerId']}", source[1])

    def effects(self) -> Iterator[Effect]:
        for item in self.world.crm_items():
            if item.get("object") == "lead":
                yield from self.marked(str(item.get("lastName")), "lead")


class MetaLeads(Flow):
    """Leads of Meta's forms, which the webhook tells of, several times."""

    name = "meta"
    needed = ("lead",)

    def prepare(self) -> None:
        self.filled: dict[str, Any] = {}

    def act(self) -> None:
        source = (self.name, "nobody", str(self.world.lots.randrange(4)))
        told = self.filled.get(source[2])
        if told is None:
            fields = {"full_name": self.mark(source), "email": f"meta.{source[2]}@example.com"}
            told = self.filled[source[2]] = self.world.control("meta/leads", {"fields": fields})
        reply = self.world.call(
            None,
            "POST",
            "/hooks/facebook/leads",
            raw=told["body"].encode(),
            headers={"X-Hub-Signature-256": told["signature"]},
        )
        self.sent.append(Sent(source, 1, reply is not None and reply.status == 200))

    def effects(self) -> Iterator[Effect]:
        for item in self.world.crm_items():
            if item.get("object") == "lead":
                name = f"{item.get('firstName') or ''} {item.get('lastName')}"
                yield from self.marked(name, "lead")


class Members(Flow):
    """Updates of members out of order: the newest version must win, at CrowdTwist and in the CRM."""

    name = "member"
    needed = ("user",)

    def act(self) -> None:
        source = self.draw(3)
        version = self.world.lots.randint(1, 6)
        number = f"{source[1]}-{source[2]}"
        body = factories.member(
            version=version, lastName=f"{source[1]} v{version}", email=f"{number}@example.com"
        )
        if self.send(source, "PUT", f"/members/{number}", body, version=version):
            for path in ("", "/sync"):
                self.world.private.setdefault(f"/members/{number}{path}", source[1])

    def _users(self) -> Iterator[tuple[Source, int]]:
        for user in self.world.control("crowdtwist/users")["items"]:
            partner, _, number = user["third_party_id"].partition("-")
            yield (self.name, partner, number), int(user["last_name"].rpartition("v")[2])

    def effects(self) -> Iterator[Effect]:
        for source, _ in self._users():
            yield Effect(source, 0, "user")

    def last(self) -> dict[Source, list[int]]:
        shown: dict[Source, list[int]] = {}
        for source, version in self._users():
            shown.setdefault(source, []).append(version)
        return shown


class Balances(Flow):
    """Money that is added to a balance; each addition has a balance of its own, so the sum counts it."""

    name = "balance"
    needed = ("unit of money",)

    def prepare(self) -> None:
        for partner in self.world.partners:
            made = {"externalId": f"c-{partner}", "customerProfile": "p"}
            self.world.must(partner, "POST", "/charging/customers", made)
            offer = {"offer": "gold", "externalId": f"o-{partner}"}
            self.world.must(partner, "POST", f"/charging/customers/c-{partner}/subscriptions", offer)

    def act(self) -> None:
        source = self.draw(6)
        path = f"/charging/subscriptions/o-{source[1]}/balances/b{source[2]}"
        body = {"operation": "add", "amount": 1, "reason": self.mark(source)}
        headers = {"Idempotency-Key": f"balance-{source[2]}"}
        if int(source[2]) % 2:
            headers["Prefer"] = "respond-async"
        reply = self.world.call(source[1], "PATCH", path, body, headers=headers)
        accepted = reply is not None and reply.status in _PROMISES
        self.sent.append(Sent(source, 1, accepted))
        if accepted and reply is not None and "operationId" in reply.json:
            self.world.private.setdefault(f"/charging/operations/{reply.json['operationId']}", source[1])

    def effects(self) -> Iterator[Effect]:
        for partner in self.world.partners:
            reply = self.world.must(partner, "GET", f"/charging/subscriptions/o-{partner}")
            for balance in reply.json["balances"]:
                source = (self.name, partner, balance["balanceId"].removeprefix("b"))
                for _ in range(round(balance["amount"])):
                    yield Effect(source, 1, "unit of money")


class Triggers(Flow):
    """CRM events, told from outside and made by the CRM API, call each trigger's URL under one id each."""

    name = "event"
    needed = ("plain call", "ordered call")

    def prepare(self) -> None:
        for partner, kind in zip(self.world.partners, ("plain", "ordered"), strict=True):
            body = {"url": f"{self.world.sandbox.url}/sink/{kind}", "object": "case", "event": "edit"}
            form = {"format": "webhook", "method": "POST", "ordered": kind == "ordered"}
            made = self.world.must(partner, "POST", "/triggers", body | form).json
            self.world.private[f"/triggers/{made['triggerId']}"] = partner
            self.world.private[f"/triggers/{made['triggerId']}/deliveries"] = partner

    def act(self) -> None:
        source = self.draw(5)
        # CRM events are every partner's: their ids say nothing of who told them.
        named = f"{self.world.partners.index(source[1])}-{source[2]}"
        body = {"object": "case", "event": "edit", "accountId": named, "caseId": "c", "eventId": named}
        self.send(source, "POST", "/crm/events", body)

    def effects(self) -> Iterator[Effect]:
        # A call may come twice when its answer got lost, but under one id: that is what a receiver goes by.
        ids: set[tuple[str, str, str]] = set()
        for call in self.world.calls("sink"):
            if call["status"] == 200:
                told = json.loads(call["body"])["data"]["accountId"]
                ids.add((call["path"].strip("/"), told, call["headers"]["webhook-id"]))
        for kind, told, _ in ids:
            partner, _, number = told.partition("-")
            if partner.isdigit():  # the others are cases that posts have opened
                yield Effect((self.name, self.world.partners[int(partner)], number), 1, f"{kind} call")


class Customers(Flow):
    """Customers made through the CRM API: one each, and one CRM event each."""

    name = "customer"
    needed = ("customer", "event of it")

    def prepare(self) -> None:
        body = {"url": f"{self.world.sandbox.url}/sink/made", "object": "customer", "event": "create"}
        self.world.must(None, "POST", "/triggers", body | {"format": "webhook", "method": "POST"})

    def act(self) -> None:
        source = self.draw(4)
        self.send(source, "POST", "/crm/customers", {"lastName": self.mark(source)}, key=True)

    def effects(self) -> Iterator[Effect]:
        made = [item for item in self.world.crm_items() if item.get("object") == "customer"]
        ids = {
            (json.loads(call["body"])["data"]["accountId"], call["headers"]["webhook-id"])
            for call in self.world.calls("sink")
            if call["path"].strip("/") == "made" and call["status"] == 200
        }
        for item in made:
            for effect in self.marked(item["lastName"], "customer"):
                yield effect
                for account_id, _ in ids:
                    if account_id == item["accountId"]:
                        yield Effect(effect.source, 1, "event of it")


class Invitations(Flow):
    """Survey invitations: the same person and transaction get one URL, and an answer is one response."""

    name = "invitation"
    needed = ("survey URL", "response")

    def prepare(self) -> None:
        self.urls: dict[Source, set[str]] = {}
        self.answers: dict[Source, Any] = {}
        for partner in self.world.partners:
            for number in range(_GUESTS):
                guest = {"lastName": "Guest", "email": f"{partner}.guest.{number}@example.com"}
                self.world.must(partner, "POST", "/crm/customers", guest)

    def act(self) -> None:
        source = self.draw(_GUESTS)
        held = self.answers.get(source)
        if held is not None and self.world.lots.random() < 0.5:
            self._tell(held)
            return
        address = f"{source[1]}.guest.{source[2]}@example.com"
        body = {"email": address, "transactionId": source[2], "lastName": self.mark(source)}
        made = self.send(source, "POST", f"/surveys/{SURVEY}/invitations", body)
        if made:
            self.urls.setdefault(source, set()).add(made["surveyUrl"])
            self.world.private.setdefault(f"/surveys/{SURVEY}/invitations/{made['invitationId']}", source[1])
            if held is None:
                url = {"surveyUrl": made["surveyUrl"]}
                self.answers[source] = self.world.control("questionpro/answers", url)

    def _tell(self, answer: Any) -> None:
        token = self.world.sandbox.secret("questionpro")["hookToken"]
        self.world.call(None, "POST", f"/hooks/questionpro/{token}", answer)

    def finish(self) -> None:
        """The vendor repeats what was not taken; here once more, when all is well again."""
        for answer in self.answers.values():
            self._tell(answer)

    def effects(self) -> Iterator[Effect]:
        for source, urls in self.urls.items():
            for _ in urls:
                yield Effect(source, 1, "survey URL")
        told = [item for item in self.world.state_items() if item.get("flow") == "survey_response"]
        for source, answer in self.answers.items():
            wanted = str(answer["responseID"])
            for item in told:
                if wanted in item["entity"] and item["status"] in ("synced", "unchanged"):
                    yield Effect(source, 1, "response")


FLOWS: tuple[type[Flow], ...] = (
    *(Posts, Replies, Leads, MetaLeads, Members, Balances, Triggers, Customers, Invitations),
)
