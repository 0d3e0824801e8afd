"""/partners: who may call, with which keys and scopes, for administrators; /me: what a key may do."""

from typing import Annotated

from pydantic import AfterValidator, Field

from switchboard import cursors, partners
from switchboard.api import Answer, Api, Call
from switchboard.models import ApiModel, PageOf, PageQuery

api = Api("partners")


def _known_scope(scope: str) -> str:
    if scope not in partners.SCOPES:
        raise ValueError(f"not one of {', '.join(partners.SCOPES)}")
    return scope


type Scope = Annotated[
    str, AfterValidator(_known_scope), Field(json_schema_extra={"enum": list(partners.SCOPES)})
]


class NewPartner(ApiModel):
    """A partner to be."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    scopes: Annotated[list[Scope], Field(max_length=len(partners.SCOPES))]


class PartnerKey(ApiModel):
    """A key as it is shown, this once."""

    partner_id: str
    key_id: str
    api_key: str | None = None


class KeyName(ApiModel):
    """A key by its id; the key itself is nowhere to be read."""

    key_id: str
    created_at: str


class Partner(ApiModel):
    """A partner."""

    partner_id: str
    name: str
    scopes: list[str]
    keys: list[KeyName]
    created_at: str


class Me(ApiModel):
    """Who is calling, and what the key opens; an administrator's scope is `admin` alone."""

    partner_id: str
    name: str
    scopes: list[str]


_SHOWN_ONCE = frozenset({"apiKey"})


@api.get("/me", scope=partners.ANY, answers={200: Me})
def who_am_i(call: Call) -> Answer:
    """Whose key this is, with its scopes."""
    caller = call.caller
    found = Me(
        partner_id=caller.partner_id, name=partners.name(caller.partner_id), scopes=sorted(caller.scopes)
    )
    return Answer(200, found)


@api.post("/partners", scope="admin", answers={201: PartnerKey}, secret_fields=_SHOWN_ONCE)
def create_partner(call: Call, body: NewPartner) -> Answer:
    """Create a partner; its first key is shown this once."""
    once = call.work_id() if "idempotency-key" in call.headers else None
    key = partners.create(body.name, tuple(sorted(set(body.scopes))), once=once)
    return _created(key)


@api.get("/partners", scope="admin", answers={200: PageOf[Partner]})
def list_partners(call: Call, query: PageQuery) -> Answer:
    """All partners, the oldest first."""
    items, last = partners.page(limit=query.limit, after=cursors.decode(query.cursor, r"prt_\w{26}"))
    listed = [
        Partner(
            partner_id=item["sk"],
            name=item["name"],
            scopes=item["scopes"],
            keys=[KeyName(key_id=key_id, created_at=at) for key_id, at in sorted(item["keys"].items())],
            created_at=item["createdAt"],
        )
        for item in items
    ]
    return Answer(200, PageOf[Partner](items=listed, next=cursors.encode(last)))


@api.delete("/partners/{partnerId}", scope="admin", answers={204: None})
def delete_partner(call: Call, partner_id: str) -> Answer:
    """Remove a partner and its keys; they stop within five minutes."""
    partners.delete(partner_id)
    return Answer(204)


@api.post("/partners/{partnerId}/keys", scope="admin", answers={201: PartnerKey}, secret_fields=_SHOWN_ONCE)
def create_key(call: Call, partner_id: str) -> Answer:
    """One more key, so that the old one can be replaced without a pause."""
    return _created(partners.add_key(partner_id))


@api.delete("/partners/{partnerId}/keys/{keyId}", scope="admin", answers={204: None})
def delete_key(call: Call, partner_id: str, key_id: str) -> Answer:
    """Revoke a key; it stops within five minutes."""
    partners.delete_key(partner_id, key_id)
    return Answer(204)


def _created(key: partners.NewKey) -> Answer:
    return Answer(201, PartnerKey(partner_id=key.partner_id, key_id=key.key_id, api_key=key.api_key))
