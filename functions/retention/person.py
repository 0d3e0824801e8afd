"""Who is erased: every name by which the person is found, and whether a stored item is about that person.

Names of two kinds. What identifies (the customer's id, an e-mail address, a phone number, a social profile)
comes only from what is certainly his: the CRM's record, and work that carries his id. What is found by one of
those adds its own ids (of a post, an invitation, a response), never further addresses: so a family's shared
number does not lead from one person to the next.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from switchboard.surveys import RESPONSE
from switchboard.surveys.variables import emails_in, invitation_in, reference_in
from switchboard.tombstones import response_name

_TOKEN = re.compile(r"[\w.+'%~-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}|[a-z]{3}_[0-9a-z]{26}")
_DIGITS = re.compile(r"\+?\d(?:[ ()./-]{0,2}\d){6,19}")
_COUNTRY_CODE = 3
_NAMED_BY_OTHERS = frozenset({"social_post", "survey_invitation", "survey_response"})
"""Flows whose ledger ids stand in other items: in replies, in responses, in what waits for a customer."""

_CUSTOMER_ID_EDGE = r"[\w-]"


@dataclass
class Person:
    """One person's names. `ids` are our ids of what is his; `responses` are `<survey>:<response>`."""

    customer_id: str
    emails: set[str] = field(default_factory=set)
    phones: set[str] = field(default_factory=set)
    profiles: set[tuple[str, str]] = field(default_factory=set)
    members: set[str] = field(default_factory=set)
    ids: set[str] = field(default_factory=set)
    responses: set[str] = field(default_factory=set)
    cases: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Self:
        """The person back from `kept`."""
        return cls(
            kept["customerId"],
            profiles={(one[0], one[1]) for one in kept["profiles"]},
            **{name: set(kept[name]) for name in _SETS},
        )

    def kept(self) -> dict[str, Any]:
        """As the erasure's entry keeps it while it runs."""
        sets = {name: sorted(getattr(self, name)) for name in _SETS}
        return {
            "customerId": self.customer_id,
            "profiles": [list(one) for one in sorted(self.profiles)],
        } | sets

    @property
    def size(self) -> int:
        """How many names are known."""
        return len(self.profiles) + sum(len(getattr(self, name)) for name in _SETS)

    # learning -----------------------------------------------------------------------------------------

    def learn_contact(self, facts: Mapping[str, Any]) -> None:
        """The addresses and numbers of a record, a lead, a member or an invitation that is his."""
        if isinstance(email := facts.get("email"), str) and "@" in email:
            self.emails.add(email.strip().casefold())
        for name in ("phone", "mobile"):
            if isinstance(number := facts.get(name), str) and len(digits_of(number)) > 6:
                self.phones.add(digits_of(number))
        for profile in facts.get("profiles") or ():
            self.profiles.add((profile["community"].casefold(), profile["authorId"]))

    def learn(self, item: Mapping[str, Any], payload: Mapping[str, Any]) -> None:
        """What a ledger entry that is his tells: its ids, and of work that carries his id the addresses."""
        certain = item.get("customerId") == self.customer_id
        if item["flow"] in _NAMED_BY_OTHERS:
            self.ids.add(item["ledgerId"])
        match item["flow"]:
            case "social_post":
                if certain and {"community", "authorId"} <= payload.keys():
                    self.profiles.add((payload["community"].casefold(), payload["authorId"]))
                if not item.get("customerId") and (case_id := item.get("result", {}).get("caseId")):
                    self.cases.add(case_id)
            case "member":
                self.members.add(item["entity"])
                if certain:
                    self.learn_contact(payload)
            case "lead" | "survey_invitation" if certain:
                self.learn_contact(payload)
            case "survey_response":
                self.responses.add(item["entity"])

    # telling ------------------------------------------------------------------------------------------

    def has_entry(self, item: Mapping[str, Any], payload: Mapping[str, Any]) -> bool:
        """Whether a ledger entry is about the person. Another customer's never is."""
        owner = item.get("customerId")
        if owner == self.customer_id or item["ledgerId"] in self.ids:
            return True
        if owner and item["flow"] != "charging":
            return False
        flow, entity = item["flow"], item["entity"]
        named = (
            (flow == "member" and entity in self.members)
            or payload.get("memberNumber") in self.members
            or (flow == RESPONSE and entity in self.responses)
            or payload.get("postId") in self.ids
            or (str(payload.get("community", "")).casefold(), payload.get("authorId")) in self.profiles
        )
        return named or self.is_in((item, payload))

    def has_invitation(self, item: Mapping[str, Any]) -> bool:
        """Whether an invitation is the person's."""
        owner = item.get("accountId")
        if owner == self.customer_id or item["invitationId"] in self.ids:
            return True
        return not owner and str(item["email"]).strip().casefold() in self.emails

    def has_response(self, item: Mapping[str, Any]) -> bool:
        """Whether a survey response, as the vendor gives it, is the person's."""
        return (
            response_name(item.get("surveyID"), item.get("responseID")) in self.responses
            or invitation_in(item) in self.ids
            or reference_in(item) == self.customer_id
            or not self.emails.isdisjoint(emails_in(item))
        )

    def is_in(self, value: Any) -> bool:
        """Whether a text in this value names the person: by his id, an address, a number, an id of his."""
        return any(self._is_named_in(text) for text in texts(value))

    def _is_named_in(self, text: str) -> bool:
        folded = text.casefold()
        for token in _TOKEN.findall(folded):
            if token in self.emails or token in self.ids:
                return True
        at = text.find(self.customer_id)
        if at >= 0:
            edge = f"(?<!{_CUSTOMER_ID_EDGE}){re.escape(self.customer_id)}(?!{_CUSTOMER_ID_EDGE})"
            if re.search(edge, text):
                return True
        return bool(self.phones) and any(self._is_phone(found) for found in _DIGITS.findall(text))

    def _is_phone(self, text: str) -> bool:
        national = digits_of(text).lstrip("0")
        return len(national) > 6 and any(
            phone.endswith(national) and len(phone) - len(national) <= _COUNTRY_CODE for phone in self.phones
        )


_SETS = ("emails", "phones", "members", "ids", "responses", "cases")


def digits_of(number: str) -> str:
    """A phone number's digits, without what is dialled before them."""
    return "".join(sign for sign in number if sign.isdigit()).removeprefix("00")


def payload_of(item: Mapping[str, Any]) -> dict[str, Any]:
    """A ledger entry's payload, empty when it is gone."""
    held = json.loads(item["payload"]) if item.get("payload") else {}
    return held if isinstance(held, dict) else {}


def texts(value: Any) -> Iterator[str]:
    """Every text in a value, also those inside of JSON that is kept as text."""
    match value:
        case str():
            if value[:1] in "{[" and (inner := _parsed(value)) is not None:
                yield from texts(inner)
            else:
                yield value
        case Mapping():
            for name, held in value.items():
                yield str(name)
                yield from texts(held)
        case list() | tuple():
            for held in value:
                yield from texts(held)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
