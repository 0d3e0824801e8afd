"""Who was erased: so that what arrives late does not bring a person back.

    pk      sk          item
    ERASED  <digest>    one name of an erased person: customer id, e-mail address, member number, survey
                        response or invitation; `at` is when, RFC 3339

Only digests are kept. They stand in one partition, so that a dump reads all of them at once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from switchboard import clock, ids
from switchboard.dynamo import ConditionFailed, Table

type Kind = Literal["customer", "email", "member", "response", "invitation"]

_PK = "ERASED"


def digest(kind: Kind, value: str) -> str:
    """What stands for a name of a person."""
    return ids.derived("era", kind, value.strip().casefold())


@dataclass(frozen=True, slots=True)
class Tombstones:
    """The tombstones in the State table."""

    table: Table

    def set_up(self, kind: Kind, values: Iterable[str]) -> None:
        """Remember these names from now on; one that stands there already keeps its time."""
        for value in values:
            try:
                self.table.put(
                    {"pk": _PK, "sk": digest(kind, value), "at": clock.timestamp()},
                    condition="attribute_not_exists(pk)",
                )
            except ConditionFailed:
                continue

    def erased_at(self, kind: Kind, value: str) -> str | None:
        """When this name was erased, None when it was not."""
        item = self.table.get(_PK, digest(kind, value))
        return item["at"] if item else None

    def all(self) -> dict[str, str]:
        """Every digest and its time: what `covers` takes."""
        found = self.table.query_all("pk = :pk", {":pk": _PK}, consistent=True)
        return {item["sk"]: item["at"] for item in found}

    def names_response(self, item: Mapping[str, Any]) -> bool:
        """Whether a survey response is an erased person's; a few reads."""
        return _is_erased(item, self.erased_at)


def covers(known: Mapping[str, str], item: Mapping[str, Any]) -> bool:
    """`Tombstones.names_response` without a read, by what `all` gave."""
    if not known:
        return False

    def erased_at(kind: Kind, value: str) -> str | None:
        return known.get(digest(kind, value))

    return _is_erased(item, erased_at)


def response_name(survey_id: object, response_id: object) -> str:
    """What a survey response is called here."""
    return f"{survey_id}:{response_id}"


def _is_erased(item: Mapping[str, Any], erased_at: Any) -> bool:
    from switchboard.surveys.responses import responded_at
    from switchboard.surveys.variables import emails_in, invitation_in, reference_in

    if erased_at("response", response_name(item.get("surveyID"), item.get("responseID"))) is not None:
        return True
    invitation, customer = invitation_in(item), reference_in(item)
    if invitation is not None and erased_at("invitation", invitation) is not None:
        return True
    if customer is not None and erased_at("customer", customer) is not None:
        return True
    # An address may be given again later; what was answered before the erasure is not that.
    times = [at for email in emails_in(item) if (at := erased_at("email", email)) is not None]
    return bool(times) and responded_at(item) <= max(times)
