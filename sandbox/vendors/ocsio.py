"""OCS.io's CASM with real state: unique ids, legal changes of state, resources, balances, request ids.

The reads and the bodies are the vendor's; the writes' paths, the answers and the balances' fields are the
connector's defaults, since no page of the vendor shows them. Every offer, profile, state reason and balance
service counts as configured here, but for those whose name begins with ``missing``.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, Iterator
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar
from uuid import uuid4

from aiohttp import web

from sandbox.vendor import Vendor

type Record = dict[str, Any]

KINDS = ("customer", "account", "subscriber", "subscription")
TRANSITIONS = {
    "INACTIVE": ("ACTIVE", "DEACTIVATED"),
    "ACTIVE": ("SUSPENDED", "DEACTIVATED"),
    "SUSPENDED": ("ACTIVE", "DEACTIVATED"),
    "DEACTIVATED": (),
}
OFFERS = (
    "individual",
    "balance",
    "monetary-balance",
    "one-time-fee",
    "recurrent-fee",
    "absolute-discount",
    "percentage-discount",
    "absolute-billing-discount",
    "percentage-billing-discount",
)
_OWNERS = {"account": ("customer", "parent"), "subscriber": ("account",), "subscription": KINDS[:3]}
_ACTIVE = {"state": "ACTIVE", "stateReason": "dfltActive"}


class Refused(Exception):
    """A refusal in the vendor's words."""

    def __init__(self, status: int, message: str, balances: list[Record] | None = None) -> None:
        super().__init__(message)
        self.body: Record = {"message": message} | ({"balances": balances} if balances else {})
        self.status = status


class OcsIo(Vendor):
    """The charging system."""

    name: ClassVar[str] = "ocsio"
    prefix: ClassVar[str] = "/ocsio"
    base_path: ClassVar[str] = "/v1/casm"
    secret_output: ClassVar[str | None] = "OcsIoSecretArn"  # noqa: S105 - an output's name
    credentials: ClassVar[dict[str, str]] = {"apiKey": "ocsio-sandbox-key"}

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._entities: dict[str, dict[str, Record]] = {kind: {} for kind in KINDS}
        self._answers: dict[str, Record] = {}

    def routes(self) -> list[web.RouteDef]:
        base = self.base_path
        routes = [web.get(f"{base}/{kind}s/read", self._reader(kind)) for kind in KINDS]
        routes += [
            web.get(f"{base}/subscribers/resources/read", self._read_resources),
            web.get(f"{base}/subscriptions/balances/read", self._read_balances),
        ]
        routes += [web.post(f"{base}/{path}", self._writer(do)) for path, do in self._writes()]
        return routes

    def control_routes(self) -> Iterable[web.RouteDef]:
        return [web.get("/entities", self._show), web.patch("/entities/{kind}/{external_id}", self._meddle)]

    # transport ----------------------------------------------------------------------------------------

    def _authorize(self, request: web.Request) -> None:
        if request.headers.get("Authorization") != f"Bearer {self.credentials['apiKey']}":
            raise Refused(401, "Invalid credentials.")

    def _reader(self, kind: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def read(request: web.Request) -> web.Response:
            return self._answered(request, lambda: self._shown(kind, self._of_query(kind, request)))

        return read

    async def _read_resources(self, request: web.Request) -> web.Response:
        def read() -> Record:
            held = self._of_query("subscriber", request)["resources"]
            wanted = request.query.get("resourceType")
            return {"resources": [one for one in held if wanted in (None, one["resourceType"])]}

        return self._answered(request, read)

    async def _read_balances(self, request: web.Request) -> web.Response:
        return self._answered(
            request,
            lambda: {"balances": _balances(self._of_query("subscription", request))},
        )

    def _answered(self, request: web.Request, do: Callable[[], Record]) -> web.Response:
        try:
            self._authorize(request)
            return web.json_response(do())
        except Refused as refused:
            return web.json_response(refused.body, status=refused.status)

    def _writer(self, do: Callable[[Record], Record]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def write(request: web.Request) -> web.Response:
            text = await request.text()

            def once() -> Record:
                body = json.loads(text)
                request_id = body.get("requestId")
                if not request_id:
                    raise Refused(400, "requestId is required.")
                # A request that was done is answered again, not done again.
                if request_id not in self._answers:
                    self._answers[request_id] = do(body)
                return self._answers[request_id]

            return self._answered(request, once)

        return write

    async def _show(self, _request: web.Request) -> web.Response:
        found = {
            kind: [self._shown(kind, one) for one in held.values()] for kind, held in self._entities.items()
        }
        return web.json_response(found)

    async def _meddle(self, request: web.Request) -> web.Response:
        """Somebody else changes an entity."""
        found = self._find(request.match_info["kind"], {"externalId": request.match_info["external_id"]})
        found.update(await request.json())
        return web.Response(status=204)

    # what is there ------------------------------------------------------------------------------------

    def _writes(self) -> Iterator[tuple[str, Callable[[Record], Record]]]:
        for kind in KINDS:
            if kind != "subscription":
                yield f"{kind}s/create", partial(self._create, kind)
                yield f"{kind}s/update-segment", self._changer(kind, f"{kind}Segment")
                yield f"subscriptions/create-on-{kind}", partial(self._create, "subscription")
            yield f"{kind}s/update", self._changer(kind)
            yield f"{kind}s/update-external-id", self._changer(kind, "externalId")
            yield f"{kind}s/update-custom-name", self._changer(kind, "customName")
            yield f"{kind}s/update-custom-attributes", partial(self._attributes, kind)
            yield f"{kind}s/update-state", partial(self._set_state, kind)
        yield "accounts/update-bill-cycle", self._changer("account", "billCycle")
        yield "accounts/update-tax-exemption", self._changer("account", "taxExemption")
        yield "subscribers/resources/create", self._add_resource
        yield "subscribers/resources/swap", self._swap_resource
        for offer in OFFERS:
            yield f"subscriptions/create-{offer}", partial(self._create, "subscription")
        yield "subscriptions/update-balance", self._change_balance
        yield "subscriptions/update-balances", self._change_balances

    def _of_query(self, kind: str, request: web.Request) -> Record:
        return self._find(kind, dict(request.query))

    def _find(self, kind: str, reference: Record) -> Record:
        for name in ("refId", "externalId"):
            if wanted := reference.get(name):
                for entity in self._entities[kind].values():
                    if entity[name] == wanted:
                        return entity
        raise Refused(404, f"{kind.title()} not found.")

    def _live(self, kind: str, body: Record) -> Record:
        entity = self._find(kind, body.get(kind) or {})
        if entity["state"]["state"] == "DEACTIVATED":
            raise Refused(400, f"{kind.title()} is in Deactivated State.")
        return entity

    def _shown(self, kind: str, entity: Record) -> Record:
        shown = {name: value for name, value in entity.items() if not name.startswith("_")}
        return shown | ({"balances": _balances(entity)} if kind == "subscription" else {})

    def _unique(self, kind: str, external_id: str | None) -> None:
        if any(one["externalId"] == external_id for one in self._entities[kind].values()):
            raise Refused(409, f"External ID is already used by another {kind.title()}.")

    # writes -------------------------------------------------------------------------------------------

    def _create(self, kind: str, body: Record) -> Record:
        profile = body.get(f"{kind}Profile")
        if kind == "subscription":
            _configured("Offer", body.get("offer"))
        elif profile is None and not (body.get("state") or {}).get("stateReason"):
            raise Refused(400, "State and State Reason are required without a profile.")
        _configured("Profile", profile or "none")
        for owner in _OWNERS.get(kind, ()):
            if owner in body and owner != "parent":
                self._live(owner, body)
        if body.get("parent"):
            self._live("account", {"account": body["parent"]})
        if body.get("externalId"):
            self._unique(kind, body["externalId"])
        entity = {name: value for name, value in body.items() if name != "requestId"}
        entity |= {"refId": uuid4().hex, "externalId": body.get("externalId")}
        entity["state"] = {**_ACTIVE, **(body.get("state") or {})}
        entity["state"].pop("pending", None)
        if kind == "subscriber":
            entity["resources"] = []
            if body.get("primaryResource"):
                self._claim_resource(entity, body["primaryResourceType"], body["primaryResource"])
        if kind == "subscription":
            entity["_balances"] = {}
        self._entities[kind][entity["refId"]] = entity
        return self._transaction(kind, entity)

    def _transaction(self, kind: str, entity: Record) -> Record:
        # Writes answer a business transaction with the entity in it.
        shown: Record = json.loads(json.dumps(self._shown(kind, entity)))
        return {"transactionId": str(uuid4()), kind: shown}

    def _changer(self, kind: str, required: str | None = None) -> Callable[[Record], Record]:
        def change(body: Record) -> Record:
            entity = self._live(kind, body)
            if required and required not in body:
                raise Refused(400, f"{required} must be provided.")
            changes = {name: value for name, value in body.items() if name not in ("requestId", kind)}
            if "externalId" in changes:
                self._unique(kind, changes["externalId"])
            if changes.get("parent"):
                self._live("account", {"account": changes["parent"]})
            if "state" in changes:
                self._check(entity, changes["state"])
                changes["state"] = entity["state"] | changes["state"]
            entity.update(changes)
            return self._transaction(kind, entity)

        return change

    def _attributes(self, kind: str, body: Record) -> Record:
        entity = self._live(kind, body)
        if "customAttributes" not in body:
            raise Refused(400, "Custom Attributes must be provided.")
        kept = entity.get("customAttributes") or {} if body.get("merge") else {}
        entity["customAttributes"] = kept | body["customAttributes"]
        return self._transaction(kind, entity)

    def _check(self, entity: Record, state: Record) -> None:
        if not state.get("stateReason"):
            raise Refused(400, "State Reason must be provided.")
        _configured("State Reason", state["stateReason"])
        held, wanted = entity["state"]["state"], state["state"]
        if wanted != held and wanted not in TRANSITIONS[held]:
            raise Refused(400, f"Illegal transition from {held} to {wanted}.")

    def _set_state(self, kind: str, body: Record) -> Record:
        entity = self._live(kind, body)
        self._check(entity, body["state"])
        beneath = self._beneath(kind, entity) if body.get("subordinateUpdated") else []
        for one in [entity, *beneath]:
            held = one["state"]["state"]
            if body["state"]["state"] in (held, *TRANSITIONS[held]):
                one["state"] = dict(body["state"])
        return self._transaction(kind, entity)

    def _beneath(self, kind: str, entity: Record) -> Iterator[Record]:
        ids = {entity["refId"], entity["externalId"]}
        for other in KINDS:
            for one in list(self._entities[other].values()):
                names = (kind, "parent") if kind == "account" and other == "account" else (kind,)
                references = [one.get(name) or {} for name in names]
                if one is not entity and any(ids & {*reference.values()} for reference in references):
                    yield one
                    yield from self._beneath(other, one)

    def _claim_resource(self, subscriber: Record, kind: str, resource: str) -> None:
        for other in self._entities["subscriber"].values():
            taken = any(one["resource"] == resource for one in other["resources"])
            if taken and other["state"]["state"] != "DEACTIVATED":
                raise Refused(409, "Resource is already assigned to a Subscriber.")
        subscriber["resources"].append({"resourceType": kind, "resource": resource})

    def _add_resource(self, body: Record) -> Record:
        subscriber = self._live("subscriber", body)
        if any(one["resourceType"] == body["resourceType"] for one in subscriber["resources"]):
            raise Refused(400, "Subscriber has a Resource of this type; swap it.")
        self._claim_resource(subscriber, body["resourceType"], body["resource"])
        return self._transaction("subscriber", subscriber)

    def _swap_resource(self, body: Record) -> Record:
        subscriber = self._live("subscriber", body)
        old = {"resourceType": body["resourceType"], "resource": body["swapResource"]}
        if old not in subscriber["resources"]:
            raise Refused(400, "Swap Resource is not on the Subscriber.")
        subscriber["resources"].remove(old)
        try:
            self._claim_resource(subscriber, body["resourceType"], body["resource"])
        except Refused:
            subscriber["resources"].append(old)
            raise
        return self._transaction("subscriber", subscriber)

    def _change_balance(self, body: Record) -> Record:
        return self._change_balances(body | {"balances": [body]})

    def _change_balances(self, body: Record) -> Record:
        subscription = self._live("subscription", body)
        unknown = [one["balanceId"] for one in body["balances"] if one["balanceId"].startswith("missing")]
        if unknown:
            told = [{"balanceId": one, "message": "Balance service is not configured."} for one in unknown]
            raise Refused(400, "Balance service is not configured.", told)
        for one in body["balances"]:
            held = subscription["_balances"].setdefault(one["balanceId"], {"amount": Decimal(0)})
            amount = Decimal(str(one["amount"]))
            held["amount"] += amount if one["operation"] == "add" else -amount
            if one.get("units"):
                held["units"] = one["units"]
        return self._transaction("subscription", subscription)


def _balances(subscription: Record) -> list[Record]:
    return [
        {"balanceId": name} | held | {"amount": float(held["amount"])}
        for name, held in subscription["_balances"].items()
    ]


def _configured(what: str, name: str | None) -> None:
    if not name or name.startswith("missing"):
        raise Refused(400, f"{what} is not configured in the system.")
