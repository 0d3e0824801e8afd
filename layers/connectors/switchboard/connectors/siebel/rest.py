"""Siebel's REST API: business components, business services, search specifications, and what fails in it.

Sources: Siebel REST API Guide (docs.oracle.com/cd/E88140_01/books/RestAPI, and cd/G30556_01 for inserts), and
measurements on a live Siebel (BC Government's ICM client): an empty search is a 404 with words, an unchanged
update a 304, lasting errors come as 500 with an SBL code, a page has 10 records unless PageSize says more
(100 at most), and there is no escape for a quote in a search specification, so it can be broken out of.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from switchboard import ids
from switchboard.errors import VendorError
from switchboard.http import ConnectorClient, url_path
from switchboard.secrets import Secret
from switchboard.settings.siebel import Component

if TYPE_CHECKING:
    import httpx

type Row = dict[str, Any]
"""A record under this Siebel's own names. All values are text; `Id` is the row id."""

PAGE_SIZE = 100
TIME = "%m/%d/%Y %H:%M:%S"
"""How Siebel writes a time; read as UTC, which is what ours are written in."""

MAX_PAGES = 1000
PREFIX = "swb"
"""Of the Integration Ids that are ours."""

_NO_DATA = "There is no data"
_SBL = re.compile(r"SBL-[A-Z]{2,5}-\d{2,6}")
_ROW_ID = re.compile(r"[0-9A-Za-z]{1,10}-[0-9A-Za-z]{1,15}")
_LONGEST_PLAIN = 50
_UNSAFE = re.compile(r"[\"*?\\\x00-\x1f\x7f]")

_EXISTS = frozenset({"SBL-EAI-04383", "SBL-ODS-50006"})
_MISNAMED = frozenset({"SBL-EAI-50257", "SBL-EAI-50258", "SBL-EAI-50297", "SBL-DAT-00398", "SBL-DAT-00416"})
"""An object or a field that this Siebel does not have or show: `settings/siebel` names it wrongly."""

_FORBIDDEN = frozenset({"SBL-DAT-00825"})
_AWAY = ("SBL-SSM-", "SBL-NET-", "SBL-SVR-", "SBL-OSD-", "SBL-DBC-", "SBL-SCM-")
"""Families of connections, object managers and the database: what they say passes."""

_CLEAR_STATUSES = frozenset({401, 429, 502, 503, 504})
"""Mean the same whatever the body says: who we are, too fast, or away."""

BAD_REFERENCE = "SBL-EAI-04401"
"""A value that is not on its bounded picklist; so a Contact Id whose contact is gone."""


class AlreadyThere(VendorError):
    """A record with this user key exists: our own earlier write, as a rule."""

    def __init__(self, detail: str) -> None:
        super().__init__("conflict", detail)


def basic_auth(secret: Secret) -> Any:
    """HTTP Basic, as in every example of the guide; a Bearer token where the secret has one (SSO mode)."""
    import httpx

    token = secret.get("token")
    if token is None:
        return httpx.BasicAuth(secret["username"], secret["password"])

    def authenticate(request: httpx.Request) -> httpx.Request:
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    return authenticate


def classify(answer: "httpx.Response") -> VendorError | None:
    """The failure that an answer is: the SBL code decides, for a 500 may be lasting and a 200 a refusal."""
    words = _error_words(answer)
    if words is None or answer.status_code in _CLEAR_STATUSES:
        return None
    found = _SBL.search(words)
    detail = f"siebel answered {answer.status_code}: {words}"
    if found is None:
        return None if not answer.is_success else VendorError("remote-refused", detail)
    code = found[0]
    if code in _EXISTS:
        return AlreadyThere(detail)
    extra: dict[str, object] = {"vendor_status": answer.status_code, "sbl": code}
    if code in _FORBIDDEN:
        return VendorError("remote-auth", detail, extra=extra | {"vendor_status": 403})
    if code in _MISNAMED:
        return VendorError("remote-unexpected", detail, extra=extra)
    return VendorError(
        "remote-unavailable" if code.startswith(_AWAY) else "remote-refused", detail, extra=extra
    )


def _error_words(answer: "httpx.Response") -> str | None:
    """The text of `{"ERROR": …}`, which a service may also send with a 200."""
    if answer.status_code in (204, 304) or '"ERROR"' not in answer.text[:2000]:
        return None
    try:
        body = answer.json()
    except ValueError:
        return None
    words = body.get("ERROR") if isinstance(body, dict) else None
    return words if isinstance(words, str) else None


class Rest:
    """The wire: records and services by their names."""

    def __init__(self, client: ConnectorClient) -> None:
        self._client = client

    def page(self, component: Component, spec: str | None, *, start: int, size: int) -> list[Row]:
        """`size` records that a search specification takes, or any, from the `start`th on; 100 at most.

        Siebel keeps no order unless it is asked for one, and how to ask is not documented.
        """
        wanted = {} if spec is None else {"searchspec": spec}
        answer = self._client.get(
            _path(component),
            params=wanted
            | {
                "ViewMode": component.view_mode,
                "PageSize": size,
                "StartRowNum": start,
                "uniformresponse": "Y",
            },
            accept=(404,),
        )
        return _rows(answer)

    def find(self, component: Component, spec: str) -> Iterator[Row]:
        """Every record that a search specification takes, page by page.

        Raises VendorError `remote-unexpected` when the pages repeat themselves.
        """
        start = 0
        seen: set[str] = set()
        for _ in range(MAX_PAGES):
            rows = self.page(component, spec, start=start, size=PAGE_SIZE)
            if any(row.get("Id") in seen for row in rows):
                break
            yield from rows
            if len(rows) < PAGE_SIZE:
                return
            seen |= {row["Id"] for row in rows}
            start += len(rows)
        raise VendorError("remote-unexpected", "siebel's pages of records do not end.")

    def get(self, component: Component, row_id: str) -> Row | None:
        """The record; None when there is none, or `row_id` cannot be one."""
        if not is_row_id(row_id):
            return None
        answer = self._client.get(
            f"{_path(component)}/{url_path(row_id)}",
            params={"ViewMode": component.view_mode, "uniformresponse": "Y"},
            accept=(404,),
        )
        rows = _rows(answer)
        return rows[0] if rows else None

    def insert(self, component: Component, fields: Mapping[str, str | None]) -> str:
        """Insert a record and answer its row id; raises AlreadyThere when its user key is taken.

        The user key makes a repeat harmless, so a lost answer is simply asked for again.
        """
        return self._insert(_path(component), fields)

    def insert_child(
        self, parent: Component, row_id: str, child: Component, fields: Mapping[str, str | None]
    ) -> str:
        """Insert a record below another one; raises AlreadyThere when its user key is taken."""
        name = child.resource.partition("/")[2]
        return self._insert(f"{_path(parent)}/{url_path(row_id, name)}", fields)

    def _insert(self, path: str, fields: Mapping[str, str | None]) -> str:
        answer = self._client.post(path, json=_given(fields), idempotent=True)
        try:
            items = answer.json()["items"]
            row = items[0] if isinstance(items, list) else items
            return str(row["Id"])
        except (ValueError, KeyError, TypeError, IndexError):
            raise VendorError("remote-unexpected", "siebel answered an insert without a row id.") from None

    def upsert(self, component: Component, fields: Mapping[str, str | None]) -> None:
        """Insert the record of a user key, or change the one that is there; so it may be repeated."""
        self._client.put(
            _path(component), params={"ViewMode": component.view_mode}, json=_given(fields), accept=(304,)
        )

    def update(self, component: Component, row_id: str, fields: Mapping[str, str | None]) -> None:
        """Change fields of a record; None empties one. A record that is so already is no error.

        Raises VendorError `record-deleted` when it is gone.
        """
        values = {name: "" if value is None else value for name, value in fields.items()}
        answer = self._client.put(
            f"{_path(component)}/{url_path(row_id)}",
            params={"ViewMode": component.view_mode},
            json=values | {"Id": row_id},
            accept=(304, 404),
        )
        if answer.status_code == 404:
            _rows(answer)
            raise VendorError("record-deleted")

    def call(self, method: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Call a business service; `method` is `<service>/<method>`. Nothing is repeated: AnswerLost.

        The out-arguments may hold a refusal under 200: who calls looks at them.
        """
        answer = self._client.post(f"service/{url_path(*method.split('/'))}", json={"body": dict(arguments)})
        try:
            body = answer.json() if answer.content else {}
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise VendorError("remote-unexpected", "siebel's service answered no JSON object.")
        return body


def moment(text: str | None) -> datetime | None:
    """A time as Siebel writes it; None for anything else."""
    try:
        return datetime.strptime(text or "", TIME).replace(tzinfo=UTC)
    except ValueError:
        return None


def is_row_id(text: str) -> bool:
    """Whether it has the form of a row id (`1-ABC`, `88-3DS9V5`); anything else is not sent."""
    return _ROW_ID.fullmatch(text) is not None


def literal(value: str) -> str:
    """A value as a literal of a search specification.

    Raises VendorError `invalid` for one that could end the literal or is a wildcard in it: `"`, `*`, `?`, a
    backslash, control characters, or nothing at all. Siebel documents no escape for them.
    """
    if _UNSAFE.search(value) or not value.strip():
        raise VendorError("invalid", "The value has a character that a search in Siebel cannot carry.")
    return f'"{value}"'


def contains(component: Component, field: str, value: str) -> str:
    """`[Field] ~LIKE "*value*"`: it is contained, ignoring case. Some components match nothing (measured)."""
    return f'[{component.search.get(field, field)}] ~LIKE "*{literal(value)[1:-1]}*"'


def equals(component: Component, field: str, value: str, *, ignore_case: bool = False) -> str:
    """`[Field] = "value"`, under the name that searches use."""
    return f"[{component.search.get(field, field)}] {'~=' if ignore_case else '='} {literal(value)}"


def differs(component: Component, field: str, value: str) -> str:
    """`[Field] <> "value"`; an empty field is not compared."""
    return f"[{component.search.get(field, field)}] <> {literal(value)}"


def is_empty(component: Component, field: str) -> str:
    """`[Field] IS NULL`."""
    return f"[{component.search.get(field, field)}] IS NULL"


def plain(value: str) -> str:
    """A value that Siebel can hold in a short field and search for: itself, or the digest of an odd one."""
    odd = len(value) > _LONGEST_PLAIN or value != value.strip() or not value.isprintable()
    if odd or not value or _UNSAFE.search(value) or value.startswith("odd_"):
        return ids.derived("odd", value)
    return value


def _path(component: Component) -> str:
    return f"data/{url_path(*component.resource.split('/'))}"


def _given(fields: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value is not None}


def _rows(answer: "httpx.Response") -> list[Row]:
    """The records of an answer: a list, one bare record, or none (204, or a 404 that says so)."""
    if answer.status_code == 204:
        return []
    if answer.status_code == 404:
        if _NO_DATA in answer.text:
            return []
        raise VendorError("remote-unexpected", f"siebel answered 404: {answer.text[:200]}")
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise VendorError("remote-unexpected", "siebel answered no JSON object.")
    items = body.get("items", body)
    return items if isinstance(items, list) else [items]
