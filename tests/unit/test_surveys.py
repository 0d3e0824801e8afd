"""What goes out with an invitation and comes back; how a page is taken apart; quiet hours; cells."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.survey_dump import logic as dump
from functions.survey_dump.files import given_in, lines_of, part
from functions.survey_dump.given import Given, pairs
from functions.survey_work.logic import lot, parameters
from sandbox.vendors.questionpro import response
from switchboard.connectors.questionpro import split_items
from switchboard.settings.surveys import QuietHours, Rule, Survey
from switchboard.surveys.responses import may_match
from switchboard.surveys.variables import (
    custom_variables,
    emails_in,
    invitation_in,
    reference_in,
    with_variables,
)

INVITATION = "led_0123456789abcdefghjkmnpqrs"


def test_what_went_out_comes_back() -> None:
    custom = custom_variables(INVITATION, {"campaignId": "C9", "custom1": "mine"}, {})
    assert custom == {"custom1": "mine", "custom2": INVITATION, "custom3": "C9"}
    assert invitation_in({"customVariables": custom}) == INVITATION
    assert invitation_in({"externalReference": INVITATION}) == INVITATION
    assert invitation_in({"customVariables": {"custom1": None, "custom2": "led_short"}}) is None


@given(st.dictionaries(st.text(min_size=1), st.text(), max_size=20))
def test_every_parameter_has_a_variable_of_its_own(given_parameters: dict[str, str]) -> None:
    custom = custom_variables(INVITATION, given_parameters, {"employeeId": "custom7"})
    assert sorted(custom.values()) == sorted([INVITATION, *given_parameters.values()])


def test_a_url_keeps_its_own_query() -> None:
    url = with_variables("https://q.example/t/1?lang=de", {"custom10": "ä b", "custom2": "x&y"})
    assert url == "https://q.example/t/1?lang=de&custom2=x%26y&custom10=%C3%A4%20b"


def test_addresses_and_references_of_a_response() -> None:
    item = {"externalReference": " CUS-1 ", "customVariables": {"custom1": "Jane@Example.com", "custom2": 7}}
    assert (emails_in(item), reference_in(item)) == (["jane@example.com"], "CUS-1")
    by_mail = {"externalReference": "a@b.co"}
    assert (emails_in(by_mail), reference_in(by_mail)) == (["a@b.co"], None)


words = st.one_of(st.text(), st.just(INVITATION), st.just(" a@b.co "), st.none(), st.integers())


@given(
    st.fixed_dictionaries(
        {},
        optional={
            name: st.one_of(words, st.dictionaries(st.sampled_from(["custom1", "a"]), words))
            for name in ("externalReference", "email", "custom7", "customVariables", "highCustomVariables")
        },
    )
)
def test_what_is_passed_over_at_once_names_nobody(item: dict[str, Any]) -> None:
    named = invitation_in(item) or emails_in(item) or reference_in(item)
    assert may_match(item) or not named


def test_most_responses_are_passed_over_at_once() -> None:
    assert not may_match(response("1", 1, datetime.now(UTC)))


def test_items_are_cut_out_as_they_stand() -> None:
    text = ' { "pagination" : {"currentPage":1} , "response" : [ {"a":1.0,\n "b":"\\n"} ,{"a":2}\n] } '
    members, items = split_items(text)
    assert members == {"pagination": {"currentPage": 1}}
    assert [raw for _, raw in items] == ['{"a":1.0,  "b":"\\n"}', '{"a":2}']


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"response":{}}', '{"response":[1]}', '{"response":[{}', '{"response":[{}]', "{,}"],
)
def test_what_is_no_page_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        split_items(text)


@given(st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1)))
def test_a_part_gives_its_lines_back(lines: list[str]) -> None:
    content = part(lines)
    assert list(lines_of(content)) == lines
    assert gzip.decompress(part(()) + content + content).decode() == "".join(f"{one}\n" for one in lines) * 2


@given(st.text())
def test_no_cell_is_a_formula(text: str) -> None:
    cell = dump.neutral(text)
    assert cell[:1] not in set("=+-@\t\r＝＋－＠")
    assert cell.endswith(text)


numbers = st.one_of(st.integers(0, 40), st.integers(0, 2**64 - 2))
digests = st.one_of(st.sampled_from([0, 1, 2, 2**64 - 2, 2**64 - 1]), st.integers(0, 2**64 - 1))


@given(st.lists(st.lists(st.tuples(numbers, digests), max_size=30), max_size=4))
def test_what_was_given_is_given_again_only_when_it_has_changed(runs: list[list[tuple[int, int]]]) -> None:
    """Each run is a dump that begins with what the one before it has left."""
    kept: dict[int, int] = {}
    packed = b""
    for run in runs:
        table, now = Given(packed), set[int]()
        for number, digest in run:
            is_new = number not in now and kept.get(number) != digest >> 1
            assert table.take(number, digest) is is_new
            if is_new:
                kept[number] = digest >> 1
                now.add(number)
        packed = table.packed()
        assert len(table) == len(kept)
        assert {number: digest >> 1 for number, digest in pairs(packed)} == kept


def test_a_table_grows_with_what_it_holds() -> None:
    table = Given()
    assert all(table.take(number << 40, number) for number in range(5_000))
    assert len(table) == 5_000
    assert not any(table.take(number << 40, number + 1) for number in range(5_000))


@pytest.mark.parametrize("known", [True, False])
def test_a_part_tells_what_it_has_given(known: bool) -> None:
    raw = ['{"responseID": 7, "a": "ä"}', '{"responseID": "x"}']
    wanted = [(dump.number_of(json.loads(line), line), dump.digest_of(line)) for line in raw]
    content = part(raw, wanted if known else ())
    assert list(given_in(content)) == wanted
    assert gzip.decompress(content).decode().splitlines() == raw
    assert list(given_in(part(raw, wanted * 3_000))) == wanted, "no room in the extra field"


def test_parts_are_named_by_worker_and_page() -> None:
    ranges: dump.Ranges = []
    for token, page in (("a", 1), ("a", 2), ("b", 3), ("b", 5)):
        ranges = dump.extended(ranges, token, page)
    assert ranges == [["a", 1, 2], ["b", 3, 3], ["b", 5, 5]]
    assert [key.rpartition("/")[2] for key in dump.part_keys("d", ranges)] == [
        f"{page:08d}-{token}.jsonl.gz" for token, page in (("a", 1), ("a", 2), ("b", 3), ("b", 5))
    ]


@pytest.mark.parametrize(
    ("begin", "end", "at", "hours"),
    [
        ("21:00", "08:00", "20:59", None),
        ("21:00", "08:00", "21:00", 11),
        ("21:00", "08:00", "02:00", 6),
        ("21:00", "08:00", "08:00", None),
        ("12:00", "14:00", "13:00", 1),
        ("12:00", "14:00", "14:00", None),
    ],
)
def test_quiet_hours_over_midnight_and_by_day(begin: str, end: str, at: str, hours: int | None) -> None:
    quiet = QuietHours.model_validate({"from": begin, "to": end})
    now = datetime.fromisoformat(f"2026-01-10T{at}").replace(tzinfo=UTC)
    assert quiet.left(now) == timedelta(hours=hours or 0)


def test_quiet_hours_end_by_the_clock_on_the_wall_when_it_is_put_forward() -> None:
    quiet = QuietHours.model_validate({"from": "21:00", "to": "08:00", "timeZone": "Europe/Berlin"})
    assert quiet.left(datetime(2026, 3, 28, 20, tzinfo=UTC)) == timedelta(hours=10)  # 21:00 to 08:00 CEST


def test_reminders_are_quiet_when_a_rule_is_unless_they_have_hours_of_their_own() -> None:
    noon = datetime(2026, 1, 10, 12, tzinfo=UTC)
    rules = [
        {"object": "case", "event": "edit", "quietHours": {"from": "11:00", "to": end}}
        for end in ("13:00", "15:00")
    ]
    own = {"quietHours": {"from": "21:00", "to": "08:00"}}
    assert Survey.model_validate({"rules": rules}).quiet_for_reminders(noon) == timedelta(hours=3)
    assert not Survey.model_validate({"rules": rules, "reminders": own}).quiet_for_reminders(noon)
    assert not Survey().quiet_for_reminders(noon)


def test_a_persons_lot_is_drawn_once() -> None:
    lots = [lot("survey", str(number)) for number in range(1000)]
    assert lots == [lot("survey", str(number)) for number in range(1000)]
    assert 400 < sum(one < 0.5 for one in lots) < 600


def test_parameters_are_the_records_fields() -> None:
    rule = Rule(
        object="case",
        event="edit",
        parameters={"a": "subject", "b": "customer.country", "c": "missing", "d": "customer"},
    )
    record: dict[str, Any] = {"subject": "x" * 600, "customer": {"country": "DE"}}
    assert parameters(rule, record) == {"a": "x" * 500, "b": "DE"}
