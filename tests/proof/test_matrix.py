"""Route x caller, made from the OpenAPI document: own, other partner, without the scope, revoked, none."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from switchboard import config, partners
from tests.support import factories
from tests.support.deployment import Deployment, Reply, deployed
from tools.openapi import DOCUMENT

ALL_BUT_ADMIN = tuple(scope for scope in partners.SCOPES if scope != partners.ADMIN)
OPEN = {"/health", "/openapi.json", "/docs", "/console", "/console/{asset}"}
"""The routes that need no key, beside the hooks, which know their callers by a token or a signature."""

WORD = "Kestrel"
"""Stands in all that the owner has sent, and nowhere else."""


@dataclass(frozen=True)
class Operation:
    """One method of one path; `scopes` are those that open it, each alone."""

    method: str
    path: str
    scopes: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def operations() -> list[Operation]:
    """All operations of the document that is served."""
    return [
        Operation(method.upper(), path, tuple((held.get("x-scope") or "").split("|")))
        for path, methods in json.loads(DOCUMENT.read_text())["paths"].items()
        for method, held in methods.items()
    ]


WITH_SCOPE = [operation for operation in operations() if operation.scopes != ("",)]
BODIES: dict[str, Any] = {
    "POST /social/posts/{postId}/replies": {"body": "Hello", "agentId": "a-1"},
    "PATCH /triggers/{triggerId}": {"description": "mine now"},
    "POST /triggers/{triggerId}/rotate-secret": {"overlapHours": 1},
    "POST /triggers/{triggerId}/recover": {"since": "2026-01-01T00:00:00Z"},
    "POST /ledger/{ledgerId}/discard": {"reason": "not mine"},
    "PUT /members/{memberNumber}": factories.member(version=7),
}
"""What a good call brings where a bad one would be refused before anybody looks whose the object is."""


@dataclass
class Owned:
    """The bundle with one of each thing that is a partner's own, of which `ids` are the path's members."""

    deployment: Deployment
    ids: dict[str, str]
    others: dict[tuple[str, ...], str]
    """The keys of other partners, by their scopes."""

    def path(self, template: str) -> str:
        """The path of the owner's object; a name that nobody has where there is none."""
        return re.sub(r"\{(\w+)\}", lambda found: self.ids.get(found[1], "nobody-has-this"), template)

    def names_something(self, template: str) -> bool:
        """Whether the path holds the id of something that is the owner's; the CRM is one for all."""
        if template.startswith("/crm/"):
            return False
        return any(name in self.ids for name in re.findall(r"\{(\w+)\}", template))

    def key(self, *scopes: str) -> str:
        """The key of another partner, with these scopes only."""
        if scopes not in self.others:
            self.others[scopes] = self.deployment.partner(*scopes)
        return self.others[scopes]

    def call(self, operation: Operation, key: str | None) -> Reply:
        """The operation on the owner's object."""
        bare = operation.method in ("GET", "DELETE") or re.search(
            r"/(test|enable|retry|sync|resubmit)$", operation.path
        )
        body = BODIES.get(str(operation), None if bare else {})
        return self.deployment.call(operation.method, self.path(operation.path), body, key=key)


@pytest.fixture(scope="module")
def owned() -> Iterator[Owned]:
    with deployed() as deployment, pytest.MonkeyPatch.context() as patch:
        patch.setattr("switchboard.egress.resolve", lambda *_: ["203.0.113.1"], raising=False)
        owner = deployment.partner(*ALL_BUT_ADMIN)
        ids = dict(_things_of(deployment, owner))
        patch.setattr(config, "STALENESS", 0.2)
        yield Owned(deployment, ids, {})


def _things_of(deployment: Deployment, owner: str) -> Iterator[tuple[str, str]]:
    def made(method: str, path: str, body: Any) -> Any:
        reply = deployment.call(method, path, body, key=owner)
        assert reply.status in range(200, 300), reply.text
        return reply.json

    post = made("POST", "/social/posts", factories.post(body=WORD))
    yield "postId", post["postId"]
    yield "ledgerId", post["postId"]
    made("PUT", "/members/m-1", factories.member(lastName=WORD))
    yield "memberNumber", "m-1"
    hook = {"url": "http://127.0.0.1:9/kestrel", "object": "case", "event": "edit", "format": "webhook"}
    yield "triggerId", made("POST", "/triggers", hook | {"method": "POST", "description": WORD})["triggerId"]


@pytest.mark.parametrize("operation", WITH_SCOPE, ids=str)
def test_without_a_key_the_scope_or_a_living_key_nothing_opens(owned: Owned, operation: Operation) -> None:
    assert owned.call(operation, None).status == 401
    assert owned.call(operation, REVOKED.of(owned)).status in (401, 403)
    if partners.ANY in operation.scopes:
        return
    all_others = tuple(scope for scope in ALL_BUT_ADMIN if scope not in operation.scopes)
    refused = owned.call(operation, owned.key(*all_others))
    assert refused.status == 403, refused.text
    assert refused.json["code"] == "forbidden"


@pytest.mark.parametrize("operation", WITH_SCOPE, ids=str)
def test_each_scope_alone_opens_and_shows_nothing_of_another_partner(
    owned: Owned, operation: Operation
) -> None:
    for scope in operation.scopes:
        reply = owned.call(operation, owned.key(scope))
        assert reply.status not in (401, 403), reply.text
        assert reply.status < 500 or reply.status == 503, reply.text
        if scope == partners.ADMIN:
            continue
        assert WORD not in reply.text
        if owned.names_something(operation.path):
            assert reply.status == 404, f"another partner's object answered {reply.status}: {reply.text}"


def test_the_owner_still_has_what_others_tried_to_take(owned: Owned) -> None:
    for path in ("/social/posts/{postId}", "/ledger/{ledgerId}", "/triggers/{triggerId}"):
        assert owned.deployment.call("GET", owned.path(path)).status == 200
    assert WORD in owned.deployment.call("GET", owned.path("/triggers/{triggerId}")).text


def test_open_are_the_named_routes_and_the_hooks_alone() -> None:
    without = {operation.path for operation in operations() if operation.scopes == ("",)}
    assert {path for path in without if not path.startswith("/hooks/")} <= OPEN


@pytest.mark.parametrize(
    "path", [operation.path for operation in operations() if operation.path.startswith("/hooks/")]
)
def test_a_hook_is_shut_while_it_has_no_secret(owned: Owned, path: str) -> None:
    for method in ("GET", "POST"):
        body: Any = {} if method == "POST" else None
        reply = owned.deployment.call(method, owned.path(path), body, key=None)
        assert reply.status in (401, 403, 404, 405, 422, 503), reply.text


class _Revoked:
    """A key that was good until its partner was deleted."""

    def __init__(self) -> None:
        self._key: dict[int, str] = {}

    def of(self, owned: Owned) -> str:
        if id(owned) not in self._key:
            made = owned.deployment.call(
                "POST", "/partners", {"name": "gone", "scopes": list(ALL_BUT_ADMIN)}
            ).json
            assert owned.deployment.call("GET", "/ledger", key=made["apiKey"]).status == 200
            assert owned.deployment.call("DELETE", f"/partners/{made['partnerId']}").status == 204
            partners.forget()
            self._key[id(owned)] = made["apiKey"]
        return self._key[id(owned)]


REVOKED = _Revoked()
