"""Partners: who may call the API, with which keys and scopes.

A key is `sbk_<keyId>_<secret>`. The table has the SHA-256 of the secret: it is 256 random bits, so a slow
hash would protect nothing. The key's item repeats the partner's scopes, so that a call costs one read.
"""

import hashlib
import hmac
import json
import os
import secrets
import time
from dataclasses import dataclass
from datetime import timedelta

from switchboard import clock, config, ids
from switchboard.dynamo import Item, TransactionCancelled, Write, transact
from switchboard.errors import SwitchboardError

SCOPES: tuple[str, ...] = (
    "social:write",
    "leads:write",
    "campaigns:read",
    "campaigns:write",
    "members:write",
    "members:read",
    "crm:read",
    "crm:write",
    "events:write",
    "triggers:write",
    "triggers:read",
    "surveys:write",
    "surveys:read",
    "charging:write",
    "charging:read",
    "ledger:read",
    "ledger:write",
    "admin",
)
ADMIN = "admin"
ANY = "any"
"""What every key may do: the scope of a route that needs no more than a valid key."""
MAX_KEYS = 10

_PARTNERS = "PARTNERS"
_MADE = "PARTNER"
_ANSWER_KEPT = timedelta(days=29)
"""Less than the 30 days for which a first answer is kept: a key that was answered is never taken back."""
_KEY_PREFIX = "sbk"
_LONGEST_KEY = 200
_ADMIN_SECRET_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling. `partner_id` is empty on a route that needs no key."""

    partner_id: str
    scopes: frozenset[str]

    @property
    def is_admin(self) -> bool:
        """An administrator has every scope and sees every partner's objects."""
        return ADMIN in self.scopes

    def may(self, scope: str) -> bool:
        """Whether the key carries the scope."""
        return self.is_admin or scope == ANY or scope in self.scopes

    def sees(self, partner_id: str) -> bool:
        """Whether an object of that partner exists for this caller."""
        return self.is_admin or partner_id == self.partner_id


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key, shown this once."""

    partner_id: str
    key_id: str
    api_key: str


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _key_pk(key_id: str) -> str:
    return f"KEY#{key_id}"


def _mint() -> tuple[str, str, str]:
    key_id = ids.fresh("key").removeprefix("key_")
    secret = secrets.token_urlsafe(32)
    return key_id, secret, f"{_KEY_PREFIX}_{key_id}_{secret}"


def create(name: str, scopes: tuple[str, ...], *, once: str | None = None) -> NewKey:
    """A new partner with its first key.

    `once` names the call (`Call.work_id`): one that is repeated because it died before it could answer takes
    the place of what it had made, whose key nobody has ever seen.
    """
    made_before = config.config_table().get(_made_pk(once), _MADE) if once else None
    if made_before is not None and made_before["until"] > clock.timestamp():
        _delete_if_there(made_before["partnerId"])
    partner_id = ids.fresh("prt")
    key_id, secret, api_key = _mint()
    partner: Item = {
        "pk": _PARTNERS,
        "sk": partner_id,
        "name": name,
        "scopes": list(scopes),
        "createdAt": clock.timestamp(),
        "keys": {key_id: clock.timestamp()},
    }
    table = config.config_table()
    writes = [Write(table, put=partner), Write(table, put=_key_item(key_id, secret, partner_id, scopes))]
    if once:
        until = clock.timestamp(_ANSWER_KEPT)
        made = {"pk": _made_pk(once), "sk": _MADE, "partnerId": partner_id, "until": until}
        writes.append(Write(table, put=made))
    transact(writes)
    return NewKey(partner_id, key_id, api_key)


def _made_pk(once: str) -> str:
    return f"PARTNER_MADE#{once}"


def _delete_if_there(partner_id: str) -> None:
    try:
        delete(partner_id)
    except SwitchboardError as error:
        if error.code != "not-found":
            raise


def _key_item(key_id: str, secret: str, partner_id: str, scopes: tuple[str, ...]) -> Item:
    return {
        "pk": _key_pk(key_id),
        "sk": "KEY",
        "digest": _digest(secret),
        "partnerId": partner_id,
        "scopes": list(scopes),
    }


def page(*, limit: int, after: str | None) -> tuple[list[Item], str | None]:
    """One page of partners, the oldest first, and the id to go on after."""
    start = {"pk": _PARTNERS, "sk": after} if after else None
    found = config.config_table().query("pk = :pk", {":pk": _PARTNERS}, limit=limit, start=start)
    return found.items, found.next_key["sk"] if found.next_key else None


def _partner(partner_id: str) -> Item:
    partner = config.config_table().get(_PARTNERS, partner_id)
    if partner is None:
        raise SwitchboardError("not-found", "There is no such partner.")
    return partner


def name(partner_id: str) -> str:
    """What a partner is called; raises `not-found` when it is gone but its key is still remembered."""
    return "Administrator" if partner_id == ADMIN else str(_partner(partner_id)["name"])


def exists(partner_id: str) -> bool:
    """Whether there is such a partner; the administrator always is."""
    return partner_id == ADMIN or config.config_table().get(_PARTNERS, partner_id) is not None


def add_key(partner_id: str) -> NewKey:
    """One more key for a partner, to rotate; raises `not-found`, or `conflict` at the tenth."""
    partner = _partner(partner_id)
    key_id, secret, api_key = _mint()
    table = config.config_table()
    named = Write(
        table,
        key=(_PARTNERS, partner_id),
        update="SET #keys.#key = :now",
        condition="attribute_exists(pk) AND size(#keys) < :most",
        names={"#keys": "keys", "#key": key_id},
        values={":now": clock.timestamp(), ":most": MAX_KEYS},
    )
    try:
        transact(
            [
                named,
                Write(table, put=_key_item(key_id, secret, partner_id, tuple(partner["scopes"]))),
            ]
        )
    except TransactionCancelled as cancelled:
        if cancelled.failed.get(0) is None:
            raise SwitchboardError("not-found", "There is no such partner.") from None
        raise SwitchboardError("conflict", f"A partner has at most {MAX_KEYS} keys.") from None
    return NewKey(partner_id, key_id, api_key)


def delete_key(partner_id: str, key_id: str) -> None:
    """Revoke a key; it stops within five minutes, when the authorizer's cached answer ends."""
    table = config.config_table()
    unnamed = Write(
        table,
        key=(_PARTNERS, partner_id),
        update="REMOVE #keys.#key",
        condition="attribute_exists(#keys.#key)",
        names={"#keys": "keys", "#key": key_id},
    )
    try:
        transact([unnamed, Write(table, key=(_key_pk(key_id), "KEY"), delete=True)])
    except TransactionCancelled:
        raise SwitchboardError("not-found", "The partner has no such key.") from None


def delete(partner_id: str) -> None:
    """Remove a partner and all its keys; what it has sent stays in the ledger."""
    partner = _partner(partner_id)
    table = config.config_table()
    keys = [Write(table, key=(_key_pk(key_id), "KEY"), delete=True) for key_id in partner["keys"]]
    gone = Write(
        table,
        key=(_PARTNERS, partner_id),
        delete=True,
        condition="#keys = :keys",
        names={"#keys": "keys"},
        values={":keys": partner["keys"]},
    )
    try:
        transact([gone, *keys])
    except TransactionCancelled:
        raise SwitchboardError("conflict", "The partner's keys were changed meanwhile.") from None


def authenticate(api_key: str) -> Caller | None:
    """Whose key this is, or None."""
    if len(api_key) > _LONGEST_KEY:
        return None
    prefix, _, rest = api_key.partition("_")
    key_id, _, secret = rest.partition("_")
    if prefix != _KEY_PREFIX or not key_id or not secret:
        return _authenticate_admin(api_key)
    item = config.config_table().get(_key_pk(key_id), "KEY")
    if item is None or not hmac.compare_digest(item["digest"], _digest(secret)):
        return None
    return Caller(item["partnerId"], frozenset(item["scopes"]))


def _authenticate_admin(api_key: str) -> Caller | None:
    expected = _admin_key.read()
    if expected is None or not hmac.compare_digest(_digest(expected), _digest(api_key)):
        return None
    return Caller(ADMIN, frozenset({ADMIN}))


class _AdminKey:
    """The first admin key, made by the deployment in Secrets Manager; read again every five minutes."""

    def __init__(self) -> None:
        self._value: str | None = None
        self._read_at = float("-inf")

    def read(self) -> str | None:
        if time.monotonic() - self._read_at > _ADMIN_SECRET_SECONDS:
            from switchboard.aws import secretsmanager

            held = secretsmanager().get_secret_value(SecretId=os.environ["ADMIN_KEY_SECRET_ARN"])
            self._value = json.loads(held["SecretString"]).get("apiKey")
            self._read_at = time.monotonic()
        return self._value

    def forget(self) -> None:
        self._read_at = float("-inf")


_admin_key = _AdminKey()


def forget() -> None:
    """Drop the admin key that this process has cached."""
    _admin_key.forget()
