"""Source 001: personal survey URLs, who has answered, reminders, the trigger scope."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from sandbox.vendors.questionpro import HOOK_TOKEN, QuestionPro
from switchboard import clock, config, work
from switchboard.connectors.builtin_crm import RecordRef
from switchboard.crm_events import CrmEvent, new_event
from tests.support import factories, faults
from tests.support.deployment import Context, Deployment
from tests.support.stand_ins import StandIn, serving
from tests.support.surveys import (
    INVITATIONS,
    SURVEY,
    answer,
    builtin,
    hook,
    invite,
    listed,
    settings,
    shown,
    tell,
    tick,
)


@pytest.fixture
def vendor(deployment: Deployment) -> Iterator[StandIn]:
    with serving(QuestionPro()) as sandbox:
        sandbox.connect(deployment.patch)
        yield sandbox


class TestInvitation:
    def test_a_person_gets_a_url_with_the_extra_parameters(
        self, deployment: Deployment, vendor: StandIn
    ) -> None:
        issued = invite(deployment)
        assert issued["status"] == "issued"
        query = parse_qs(urlsplit(issued["surveyUrl"]).query)
        assert query == {"custom1": [issued["invitationId"]], "custom2": ["C9"], "custom3": ["E7"]}
        [call] = vendor.calls()
        sent = json.loads(call["body"])
        assert call["headers"]["api-key"]
        assert (sent["surveyID"], sent["custom2"]) == (int(SURVEY), "C9")

    def test_the_same_person_and_transaction_get_the_same_url(
        self, deployment: Deployment, vendor: StandIn
    ) -> None:
        first = invite(deployment, email="Jane@Example.com", transactionId="t")
        again = deployment.call(
            "POST", INVITATIONS, factories.invitation(email="jane@example.COM", transactionId="t")
        )
        assert (again.status, again.json) == (200, first)
        other = invite(deployment, email="jane@example.com", transactionId="u")
        assert other["surveyUrl"] != first["surveyUrl"]
        assert len(vendor.calls()) == 2

    def test_parameters_go_where_the_settings_put_them(self, deployment: Deployment, vendor: StandIn) -> None:
        settings(deployment, variables={"employeeId": "custom1"})
        issued = invite(deployment, parameters={"employeeId": "E7", "custom5": "five", "zone": 3})
        assert parse_qs(urlsplit(issued["surveyUrl"]).query) == {
            "custom1": ["E7"],
            "custom2": [issued["invitationId"]],
            "custom3": ["3"],
            "custom5": ["five"],
        }

    def test_a_bad_one_is_refused_and_the_vendor_not_asked(
        self, deployment: Deployment, vendor: StandIn
    ) -> None:
        for bad in ({"email": "nobody"}, {"email": None}, {"colour": "red"}, {"parameters": {"a": [1]}}):
            reply = deployment.call("POST", INVITATIONS, factories.invitation(**bad))
            assert reply.status == 422, reply.text
            assert any(next(iter(bad)) in error["pointer"] for error in reply.json["errors"])
        assert vendor.calls() == []

    def test_a_vendor_that_is_away_costs_nothing(self, deployment: Deployment, vendor: StandIn) -> None:
        body = factories.invitation()
        vendor.fault(kind="down")
        reply = deployment.call("POST", INVITATIONS, body)
        assert (reply.status, reply.json["code"]) == (503, "remote-unavailable")
        assert "Retry-After" in reply.headers
        vendor.heal()
        assert deployment.call("POST", INVITATIONS, body).status == 201

    def test_what_was_refused_can_be_corrected(self, deployment: Deployment, vendor: StandIn) -> None:
        body = factories.invitation(mobile="123")
        words = '{"response":{"error":{"httpStatusCode":400,"id":1002,"message":"Bad mobile."}}}'
        vendor.fault(kind="status", status=400, body=words, count=1)
        reply = deployment.call("POST", INVITATIONS, body)
        assert reply.status == 502
        assert "Bad mobile." in reply.json["detail"]
        assert deployment.call("POST", INVITATIONS, body | {"mobile": "+10123456789"}).status == 201
        assert json.loads(vendor.calls()[-1]["body"])["mobile"] == "+10123456789"

    @pytest.mark.parametrize(
        "body",
        ['{"surveyURL":"https://q.example/t/1"}', '{"response":{"surveyURL":"https://q.example/t/1"}}'],
        ids=["as documented", "as the SDK reads it"],
    )
    def test_both_reply_shapes_are_read(self, deployment: Deployment, vendor: StandIn, body: str) -> None:
        vendor.fault(kind="status", status=200, body=body)
        assert invite(deployment)["surveyUrl"].startswith("https://q.example/t/1?custom1=")

    @pytest.mark.parametrize("body", ["{}", "[]", "nonsense", '{"surveyURL":"javascript:alert(1)"}'])
    def test_an_answer_without_a_url_is_the_vendors_fault(
        self, deployment: Deployment, vendor: StandIn, body: str
    ) -> None:
        vendor.fault(kind="status", status=200, body=body)
        reply = deployment.call("POST", INVITATIONS, factories.invitation())
        assert (reply.status, reply.json["code"]) == (502, "remote-unexpected")

    def test_a_quota_that_is_used_up_is_no_rate_limit(self, deployment: Deployment, vendor: StandIn) -> None:
        vendor.client.put("/_control/questionpro/limits", json={"quota": 0})
        reply = deployment.call("POST", INVITATIONS, factories.invitation())
        assert (reply.status, reply.json["code"]) == (503, "remote-quota")
        assert "Please contact" in reply.json["detail"]
        vendor.client.put("/_control/questionpro/limits", json={"perMinute": 0})
        reply = deployment.call("POST", INVITATIONS, factories.invitation())
        assert (reply.status, reply.json["code"]) == (503, "remote-rate")

    def test_without_a_secret_it_is_not_configured(self, deployment: Deployment) -> None:
        reply = deployment.call("POST", INVITATIONS, factories.invitation())
        assert (reply.status, reply.json["code"]) == (503, "not-configured")

    def test_another_partners_invitation_is_not_there(self, deployment: Deployment, vendor: StandIn) -> None:
        mine, theirs = (deployment.partner("surveys:write", "surveys:read") for _ in range(2))
        body = factories.invitation()
        issued = deployment.call("POST", INVITATIONS, body, key=mine).json
        assert deployment.call("POST", INVITATIONS, body, key=theirs).json != issued
        path = f"{INVITATIONS}/{issued['invitationId']}"
        assert deployment.call("GET", path, key=theirs).status == 404
        assert deployment.call("GET", path, key=mine).json["email"] == body["email"]
        other_survey = f"/surveys/1/invitations/{issued['invitationId']}"
        assert deployment.call("GET", other_survey, key=mine).status == 404
        items = deployment.call("GET", INVITATIONS, key=theirs).json["items"]
        assert issued["invitationId"] not in [item["invitationId"] for item in items]

    def test_who_opted_out_is_asked_nothing(self, deployment: Deployment, vendor: StandIn) -> None:
        body = {"email": "Jane@example.com"}
        assert deployment.call("PUT", "/surveys/opt-outs", body).status == 204
        reply = deployment.call("POST", INVITATIONS, factories.invitation(email="jane@example.com"))
        assert (reply.status, reply.json["code"]) == (409, "opted-out")
        assert vendor.calls() == []
        query = {"email": "jane@example.com"}
        assert deployment.call("DELETE", "/surveys/opt-outs", query=query).status == 204
        invite(deployment, email="jane@example.com")


class TestKilledWorker:
    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    def test_while_it_makes_an_invitation(self, deployment: Deployment, vendor: StandIn, after: bool) -> None:
        """At each of its requests; the sweeper completes it, and a repeat gets what came of it."""
        deployment.call("GET", INVITATIONS)
        deployment.patch.setattr(config, "STALENESS", 3600.0)
        invite(deployment)
        deaths = 0
        for request in range(16):
            body = factories.invitation()
            try:
                with faults.killed_at(request, after=after):
                    deployment.call("POST", INVITATIONS, body)
            except faults.Killed:
                deaths += 1
            deployment.pass_time(timedelta(minutes=10))
            deployment.sweep()
            deployment.run_queues()
            reply = deployment.call("POST", INVITATIONS, body)
            assert reply.status in (200, 201)
            found = shown(deployment, reply.json["invitationId"])
            assert (found["surveyUrl"], found["email"]) == (reply.json["surveyUrl"], body["email"])
            entry = deployment.call("GET", f"/ledger/{reply.json['invitationId']}").json
            assert entry["status"] == "synced"
        assert 5 <= deaths < 16
        assert len(listed(deployment, limit="100")) == 17

    def test_an_invitation_that_is_made_is_completed_when_an_answer_got_lost(
        self, deployment: Deployment, vendor: StandIn
    ) -> None:
        """DynamoDB has taken the invitation, and the caller, who is told of a failure, never asks again."""
        settings(deployment, delivery="crm")
        customer = builtin().records.create_customer(factories.customer())["accountId"]
        for put in range(2):  # of the invitation, and of when the person was asked
            body = factories.invitation(customerId=customer)
            with faults.answer_lost("PutItem", call=put):
                assert deployment.call("POST", INVITATIONS, body).status == 500
            [invitation_id] = listed(deployment, limit="1")
            entry = deployment.call("GET", f"/ledger/{invitation_id}").json
            assert (entry["status"], entry["code"]) == ("retrying", "internal")
            deployment.pass_time(timedelta(minutes=2))
            deployment.sweep()
            deployment.run_queues()
            assert deployment.call("GET", f"/ledger/{invitation_id}").json["status"] == "synced"
            again = deployment.call("POST", INVITATIONS, body)
            assert (again.status, again.json["invitationId"]) == (200, invitation_id)
            noted = builtin().records.get(RecordRef(customer))["surveyInvitations"][SURVEY]
            assert noted["url"] == again.json["surveyUrl"]
        assert len(vendor.calls()) == 2

    def test_while_it_takes_a_response(self, deployment: Deployment, vendor: StandIn) -> None:
        customer = builtin().records.create_customer(factories.customer())
        deployment.call("GET", INVITATIONS)
        deployment.patch.setattr(config, "STALENESS", 3600.0)
        deaths = 0
        for request in range(8):
            issued = invite(deployment, customerId=customer["accountId"])
            item = answer(vendor, issued["surveyUrl"])
            deployment.call("POST", f"/hooks/questionpro/{HOOK_TOKEN}", item, key=None)
            try:
                with faults.killed_at(request, after=bool(request % 2)):
                    deployment.run_queues()
            except faults.Killed:
                deaths += 1
            deployment.pass_time(timedelta(minutes=10))
            deployment.sweep()
            deployment.run_queues()
            assert shown(deployment, issued["invitationId"])["status"] == "responded"
            assert len(builtin().survey_responses(customer["accountId"])) == request + 1
        assert deaths >= 4


class TestBatch:
    def test_a_batch_is_one_call_and_answered_item_by_item(
        self, deployment: Deployment, vendor: StandIn
    ) -> None:
        known = factories.invitation()
        before = deployment.call("POST", INVITATIONS, known).json
        vendor.forget_calls()
        fresh = [factories.invitation() for _ in range(3)]
        wanted = [fresh[0], {"email": "nobody"}, known, fresh[1], fresh[2]]
        reply = deployment.call("POST", f"{INVITATIONS}/batch", {"invitations": wanted})
        assert reply.status == 207
        items = reply.json["items"]
        assert [item["httpStatus"] for item in items] == [201, 422, 200, 201, 201]
        assert items[1]["problem"]["errors"][0]["pointer"] == "/email"
        assert items[2] == {"httpStatus": 200} | before
        assert len({item["surveyUrl"] for item in items if "surveyUrl" in item}) == 4
        assert len(vendor.calls()) == 1
        for item, body in zip((items[0], items[3], items[4]), fresh, strict=True):
            assert shown(deployment, item["invitationId"])["email"] == body["email"]

    def test_one_that_the_vendor_refuses_spoils_no_other(
        self, deployment: Deployment, vendor: StandIn
    ) -> None:
        vendor.fault(kind="status", status=400, path="batch-survey-urls")
        vendor.fault(kind="status", status=400, path="survey-url$", count=1)
        wanted = [factories.invitation() for _ in range(2)]
        items = deployment.call("POST", f"{INVITATIONS}/batch", {"invitations": wanted}).json["items"]
        assert [item["httpStatus"] for item in items] == [502, 201]

    def test_a_batch_has_1_to_100(self, deployment: Deployment, vendor: StandIn) -> None:
        for many in ([], [factories.invitation()] * 101):
            assert deployment.call("POST", f"{INVITATIONS}/batch", {"invitations": many}).status == 422


class TestWhoHasAnswered:
    def test_the_webhook_marks_the_invitation(self, deployment: Deployment, vendor: StandIn) -> None:
        issued, waiting = invite(deployment), invite(deployment)
        item = answer(vendor, issued["surveyUrl"])
        assert [hook(deployment, item), hook(deployment, item)] == [200, 200]
        found = shown(deployment, issued["invitationId"])
        assert (found["status"], found["responseId"]) == ("responded", str(item["responseID"]))
        assert listed(deployment, status="responded") == [issued["invitationId"]]
        assert listed(deployment, status="issued") == [waiting["invitationId"]]
        assert set(listed(deployment)) == {issued["invitationId"], waiting["invitationId"]}

    def test_a_wrong_token_is_not_found(self, deployment: Deployment, vendor: StandIn) -> None:
        item = answer(vendor, invite(deployment)["surveyUrl"])
        assert hook(deployment, item, token="guess") == 404

    def test_without_a_hook_token_everything_is_refused(self, deployment: Deployment) -> None:
        assert hook(deployment, {"responseID": 1, "surveyID": 2}) == 404

    @pytest.mark.parametrize("item", [{}, {"surveyID": 1}, {"surveyID": 1, "responseID": True}, []])
    def test_what_is_no_response_is_refused(
        self, deployment: Deployment, vendor: StandIn, item: object
    ) -> None:
        assert hook(deployment, item) == 422

    def test_one_who_has_only_begun_may_still_be_reminded(
        self, deployment: Deployment, vendor: StandIn
    ) -> None:
        issued = invite(deployment)
        item = answer(vendor, issued["surveyUrl"], status="Started")
        hook(deployment, item)
        assert shown(deployment, issued["invitationId"])["status"] == "issued"
        hook(deployment, item | {"responseStatus": "Completed"})
        assert shown(deployment, issued["invitationId"])["status"] == "responded"

    def test_a_list_has_pages(self, deployment: Deployment, vendor: StandIn) -> None:
        made = [invite(deployment)["invitationId"] for _ in range(5)]
        found: list[str] = []
        query = {"limit": "2"}
        while True:
            page = deployment.call("GET", INVITATIONS, query=query).json
            found += [item["invitationId"] for item in page["items"]]
            if page["next"] is None:
                break
            query["cursor"] = page["next"]
        assert sorted(found) == sorted(made)
        assert deployment.call("GET", INVITATIONS, query={"status": "lost"}).status == 422


class TestReminders:
    def remind(self, deployment: Deployment) -> int:
        reply = deployment.call("POST", f"/surveys/{SURVEY}/reminders")
        assert reply.status == 202, reply.text
        deployment.run_queues()
        count: int = reply.json["count"]
        return count

    def test_who_has_not_answered_is_reminded_at_most_so_often(
        self, deployment: Deployment, vendor: StandIn
    ) -> None:
        settings(deployment, reminders={"max": 2})
        issued, answered = invite(deployment), invite(deployment)
        hook(deployment, answer(vendor, answered["surveyUrl"]))
        assert [self.remind(deployment) for _ in range(3)] == [1, 1, 0]
        found = shown(deployment, issued["invitationId"])
        assert (found["status"], found["reminders"]) == ("reminded", 2)
        assert shown(deployment, answered["invitationId"])["status"] == "responded"

    def test_a_round_that_is_repeated_reminds_nobody_twice(
        self, deployment: Deployment, vendor: StandIn
    ) -> None:
        issued = invite(deployment)
        self.remind(deployment)
        [entry] = deployment.call("GET", "/ledger", query={"flow": "survey_reminder"}).json["items"]
        from functions.survey_work.reminders import do

        found = work.ledger().get(entry["ledgerId"])
        assert found is not None
        do(found, {}, has_time=lambda: True)
        assert shown(deployment, issued["invitationId"])["reminders"] == 1

    def test_a_round_that_is_too_long_goes_on(self, deployment: Deployment, vendor: StandIn) -> None:
        issued = [invite(deployment)["invitationId"] for _ in range(3)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tests.support.deployment.Context", lambda: Context(remaining=18_000))
            assert self.remind(deployment) == 3
        assert [shown(deployment, each)["reminders"] for each in issued] == [1, 1, 1]
        [entry] = deployment.call("GET", "/ledger", query={"flow": "survey_reminder"}).json["items"]
        assert entry["status"] == "synced"
        assert entry["attempts"] > 2

    def test_reminders_and_the_end_come_by_themselves(self, deployment: Deployment, vendor: StandIn) -> None:
        settings(deployment, reminders={"max": 1, "afterDays": 3}, expiresDays=10)
        issued = invite(deployment)
        tick()
        assert shown(deployment, issued["invitationId"])["status"] == "issued"
        deployment.pass_time(timedelta(days=3, minutes=1))
        tick()
        tick()
        found = shown(deployment, issued["invitationId"])
        assert (found["status"], found["reminders"]) == ("reminded", 1)
        deployment.pass_time(timedelta(days=7))
        tick()
        assert shown(deployment, issued["invitationId"])["status"] == "expired"
        assert listed(deployment, status="expired") == [issued["invitationId"]]
        hook(deployment, answer(vendor, issued["surveyUrl"]))
        assert shown(deployment, issued["invitationId"])["status"] == "responded"

    def test_none_comes_by_itself_in_quiet_hours(self, deployment: Deployment, vendor: StandIn) -> None:
        now = clock.now()
        begin, end = (f"{now + timedelta(hours=hours):%H:00}" for hours in (-1, 2))
        quiet = {"quietHours": {"from": begin, "to": end}}
        settings(deployment, reminders={"max": 3, "afterDays": 3} | quiet)
        issued = invite(deployment)
        deployment.pass_time(timedelta(days=3, minutes=1))
        tick()
        assert shown(deployment, issued["invitationId"])["reminders"] == 0
        assert deployment.call("POST", f"/surveys/{SURVEY}/reminders").json == {"count": 1}
        deployment.pass_time(timedelta(hours=3))
        tick()
        assert shown(deployment, issued["invitationId"])["reminders"] == 1


class TestTriggerScope:
    RULE = {"object": "case", "event": "edit", "where": {"status": "closed"}}

    def case(self, **fields: Any) -> tuple[str, CrmEvent]:
        """A customer with a case, and the event that the case was edited."""
        customer = builtin().records.create_customer(factories.customer(**fields))
        case = builtin().records.create_case(
            customer["accountId"], {"subject": "No signal", "status": "closed", "assignedTo": "E7"}
        )
        event = new_event(
            "case", "edit", origin="builtin", account_id=case["accountId"], case_id=case["caseId"]
        )
        return customer["accountId"], event

    def invitations(self, deployment: Deployment) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = deployment.call("GET", INVITATIONS).json["items"]
        return items

    def test_a_case_that_is_closed_asks_its_customer(self, deployment: Deployment, vendor: StandIn) -> None:
        rule = self.RULE | {"parameters": {"employeeId": "assignedTo", "country": "customer.country"}}
        settings(deployment, rules=[rule])
        account_id, event = self.case()
        tell(deployment, event)
        [found] = self.invitations(deployment)
        assert (found["customerId"], found["transactionId"]) == (account_id, event.case_id)
        query = parse_qs(urlsplit(found["surveyUrl"]).query)
        assert query["custom2"] + query["custom3"] == ["DE", "E7"]
        noted = builtin().records.get(RecordRef(account_id))["surveyInvitations"][SURVEY]
        assert noted == {"url": found["surveyUrl"], "reminders": 0}

    def test_the_same_event_or_case_again_asks_once(self, deployment: Deployment, vendor: StandIn) -> None:
        settings(deployment, rules=[self.RULE])
        _, event = self.case()
        tell(deployment, event, event)
        tell(deployment, event.model_copy(update={"event_id": "evt_other"}))
        assert len(self.invitations(deployment)) == 1
        assert len(vendor.calls()) == 1

    @pytest.mark.parametrize(
        ("change", "criterion"),
        [
            ({"where": {"status": "open"}}, "where"),
            ({"samplingRate": 0}, "samplingRate"),
            ({"cooldownDays": 30}, "cooldownDays"),
        ],
        ids=["condition", "sampling", "cooldown"],
    )
    def test_a_rule_leaves_people_alone(
        self, deployment: Deployment, vendor: StandIn, change: dict[str, Any], criterion: str
    ) -> None:
        settings(deployment, rules=[self.RULE | change])
        _, event = self.case(email="jane@example.com")
        if criterion == "cooldownDays":
            invite(deployment, email="jane@example.com", transactionId="earlier")
        before = len(self.invitations(deployment))
        tell(deployment, event)
        assert len(self.invitations(deployment)) == before
        [entry] = deployment.call("GET", "/ledger", query={"flow": "survey_trigger"}).json["items"]
        assert entry["status"] == "filtered"
        if criterion == "cooldownDays":
            deployment.pass_time(timedelta(days=31))
            tell(deployment, event.model_copy(update={"event_id": "evt_later"}))
            assert len(self.invitations(deployment)) == before + 1

    def test_quiet_hours_only_put_it_off(self, deployment: Deployment, vendor: StandIn) -> None:
        now = clock.now()
        quiet = {
            "from": (now - timedelta(hours=1)).strftime("%H:%M"),
            "to": (now + timedelta(hours=1)).strftime("%H:%M"),
        }
        settings(deployment, rules=[self.RULE | {"quietHours": quiet}])
        _, event = self.case()
        tell(deployment, event)
        assert self.invitations(deployment) == []
        deployment.pass_time(timedelta(hours=1, minutes=10))
        deployment.sweep()
        deployment.run_queues()
        assert len(self.invitations(deployment)) == 1

    def test_who_has_no_address_or_opted_out_is_not_asked(
        self, deployment: Deployment, vendor: StandIn
    ) -> None:
        settings(deployment, rules=[self.RULE])
        deployment.call("PUT", "/surveys/opt-outs", {"email": "jane@example.com"})
        tell(deployment, self.case(email=None)[1], self.case(email="jane@example.com")[1])
        assert self.invitations(deployment) == []

    def test_a_vendor_that_is_away_only_puts_it_off(self, deployment: Deployment, vendor: StandIn) -> None:
        settings(deployment, rules=[self.RULE])
        vendor.fault(kind="down")
        tell(deployment, self.case()[1])
        assert self.invitations(deployment) == []
        vendor.heal()
        deployment.pass_time(timedelta(minutes=20))
        deployment.sweep()
        deployment.run_queues()
        assert len(self.invitations(deployment)) == 1

    @pytest.mark.parametrize(
        "bad",
        [
            {"rules": [{"object": "ship", "event": "edit"}]},
            {"rules": [{"object": "case", "event": "edit", "where": {"a": {"$like": "b"}}}]},
            {"schedule": {"expression": "every night"}},
            {"schedule": {"expression": "cron(0 2 * * ? *)", "timeZone": "Mars/Base"}},
            {"reminders": {"max": -1}},
        ],
    )
    def test_settings_that_break_a_rule_are_refused(
        self, deployment: Deployment, bad: dict[str, Any]
    ) -> None:
        reply = deployment.call("PUT", "/settings/surveys", {"surveys": {SURVEY: bad}})
        assert reply.status == 422
        assert any(next(iter(bad)) in error["pointer"] for error in reply.json["errors"])
