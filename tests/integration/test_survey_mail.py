"""Mails that SES sends: what is in them, that each goes out once, and the way out of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError

from sandbox.vendors.questionpro import QuestionPro
from switchboard import aws
from switchboard.crm_events import new_event
from tests.support import factories, faults
from tests.support.deployment import Deployment
from tests.support.stand_ins import StandIn, serving
from tests.support.surveys import (
    INVITATIONS,
    SURVEY,
    answer,
    builtin,
    hook,
    invite,
    settings,
    shown,
    tell,
    tick,
)

ENGLISH = {
    "subject": "{firstName|Hello}, how was it?",
    "text": "Dear {firstName|customer}, please answer: {surveyUrl}\nNo more surveys: {optOutUrl}",
    "html": '<p>Dear {firstName|customer} {lastName}: <a href="{surveyUrl}">answer</a></p>',
}
GERMAN = {"subject": "Wie war es?", "text": "Hier: {surveyUrl}"}
REMINDER = {"subject": "Once more", "text": "Still open: {surveyUrl}"}
MAIL = {
    "fromName": "Müller & Co",
    "defaultLanguage": "en",
    "templates": {"en": ENGLISH, "de": GERMAN},
    "reminders": {"en": REMINDER},
}


@pytest.fixture
def vendor(deployment: Deployment) -> Iterator[StandIn]:
    with serving(QuestionPro()) as sandbox:
        sandbox.connect(deployment.patch)
        yield sandbox


class Outbox:
    """What SES was asked to send, and what it answers."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.failures: list[BaseException | tuple[int, str, str]] = []

    def take(self, params: dict[str, Any], **_: Any) -> tuple[SimpleNamespace, dict[str, Any]]:
        failure = self.failures.pop(0) if self.failures else None
        if isinstance(failure, faults.Killed):
            self.sent.append(params)
        if isinstance(failure, BaseException):
            raise failure
        if failure is not None:
            status, code, words = failure
            error = {"Error": {"Code": code, "Message": words}}
            return SimpleNamespace(status_code=status), error | {
                "ResponseMetadata": {"HTTPStatusCode": status}
            }
        self.sent.append(params)
        return SimpleNamespace(status_code=200), {"MessageId": f"m{len(self.sent)}"}

    @property
    def recipients(self) -> list[str]:
        return [mail["Destination"]["ToAddresses"][0] for mail in self.sent]

    @property
    def subjects(self) -> list[str]:
        return [mail["Content"]["Simple"]["Subject"]["Data"] for mail in self.sent]


@contextmanager
def _parameters_kept(outbox: Outbox) -> Iterator[None]:
    """SES stands still: its parameters are checked by botocore's model, its answers are the test's."""
    events: Any = aws.sesv2().meta.events
    held: list[dict[str, Any]] = []

    def keep(params: dict[str, Any], **_: Any) -> None:
        held.append(params)

    def take(**_: Any) -> tuple[SimpleNamespace, dict[str, Any]]:
        return outbox.take(held.pop())

    events.register("provide-client-params.sesv2.SendEmail", keep)
    events.register("before-call.sesv2.SendEmail", take)
    try:
        yield
    finally:
        events.unregister("provide-client-params.sesv2.SendEmail", keep)
        events.unregister("before-call.sesv2.SendEmail", take)


@pytest.fixture
def outbox(deployment: Deployment) -> Iterator[Outbox]:
    outbox = Outbox()
    with _parameters_kept(outbox):
        yield outbox


def mailed(deployment: Deployment, **survey: Any) -> None:
    settings(deployment, **({"delivery": "mail", "mail": MAIL, "name": "Service"} | survey))


def delivery(deployment: Deployment) -> dict[str, Any]:
    [entry] = deployment.call("GET", "/ledger", query={"flow": "survey_delivery"}).json["items"]
    found: dict[str, Any] = entry
    return found


class TestContent:
    def test_a_mail_has_the_url_in_the_persons_language(
        self, deployment: Deployment, vendor: StandIn, outbox: Outbox
    ) -> None:
        mailed(deployment)
        name = "<b>Jane</b>\r\nBcc: all@example.com"
        issued = invite(deployment, firstName=name, lastName=None, language="en_GB")
        german = invite(deployment, firstName="Jan", language="de-AT")
        deployment.run_queues()
        first, second = outbox.sent
        simple = first["Content"]["Simple"]
        assert first["FromEmailAddress"] == "=?utf-8?b?TcO8bGxlciAmIENv?= <surveys@example.com>"
        assert simple["Subject"]["Data"] == "<b>Jane</b> Bcc: all@example.com, how was it?"
        assert issued["surveyUrl"] in simple["Body"]["Text"]["Data"]
        html = simple["Body"]["Html"]["Data"]
        assert "<b>" not in html
        assert "&lt;b&gt;Jane&lt;/b&gt; Bcc: all@example.com" in html
        assert issued["surveyUrl"].replace("&", "&amp;") in html
        headers = {header["Name"]: header["Value"] for header in simple["Headers"]}
        assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert headers["List-Unsubscribe"].strip("<>") in simple["Body"]["Text"]["Data"]
        assert second["Content"]["Simple"]["Body"]["Text"]["Data"] == f"Hier: {german['surveyUrl']}"
        assert "Html" not in second["Content"]["Simple"]["Body"]
        assert shown(deployment, issued["invitationId"])["delivery"] == "mail"

    @pytest.mark.parametrize(
        "survey",
        [
            {"delivery": "mail"},
            {"delivery": "caller", "rules": [{"object": "case", "event": "edit"}]},
            {"mail": MAIL | {"defaultLanguage": "fr"}},
            {"mail": MAIL | {"templates": {"en": GERMAN | {"text": "no link"}}}},
            {"mail": MAIL | {"templates": {"en": GERMAN | {"subject": "{password}"}}}},
            {"mail": MAIL | {"templates": {"en": GERMAN | {"subject": "a\nb"}}}},
        ],
        ids=["no templates", "rule without way", "default", "no link", "placeholder", "two lines"],
    )
    def test_settings_that_reach_nobody_are_refused(
        self, deployment: Deployment, survey: dict[str, Any]
    ) -> None:
        reply = deployment.call("PUT", "/settings/surveys", {"surveys": {SURVEY: survey}})
        assert reply.status == 422
        assert reply.json["errors"][0]["pointer"].startswith(f"/surveys/{SURVEY}")


class TestOnce:
    def test_a_rule_mails_once_whatever_comes_twice(
        self, deployment: Deployment, vendor: StandIn, outbox: Outbox
    ) -> None:
        mailed(deployment, rules=[{"object": "customer", "event": "create"}])
        customer = builtin().records.create_customer(factories.customer())
        event = new_event("customer", "create", origin="builtin", account_id=customer["accountId"])
        tell(deployment, event, event)
        tell(deployment, event.model_copy(update={"event_id": "evt_again"}))
        deployment.pass_time(timedelta(minutes=10))
        deployment.sweep()
        deployment.run_queues()
        assert outbox.recipients == [customer["email"]]
        # Not both: the CRM that finds a URL on the customer would send a second mail.
        assert "surveyInvitations" not in builtin().get_record(customer["accountId"])
        assert delivery(deployment)["customerId"] == customer["accountId"]

    def test_a_worker_that_dies_after_it_was_sent(
        self, deployment: Deployment, vendor: StandIn, outbox: Outbox
    ) -> None:
        mailed(deployment)
        invite(deployment)
        outbox.failures = [faults.Killed()]
        with pytest.raises(faults.Killed):
            deployment.run_queues()
        deployment.pass_time(timedelta(minutes=10))
        deployment.sweep()
        deployment.run_queues()
        assert len(outbox.sent) == 1
        entry = delivery(deployment)
        assert (entry["status"], entry["code"]) == ("remote_failure", "mail-unconfirmed")
        assert "Resubmit" in entry["action"]
        assert deployment.call("POST", f"/ledger/{entry['ledgerId']}/resubmit", {}).status == 202
        deployment.run_queues()
        assert (len(outbox.sent), delivery(deployment)["status"]) == (2, "synced")

    @pytest.mark.parametrize(
        ("failure", "status", "code"),
        [
            ((400, "MessageRejected", "Illegal address"), "data_error", "mail-refused"),
            ((400, "BadRequestException", "Domain contains illegal character"), "data_error", "mail-refused"),
            (
                (400, "MessageRejected", "Email address is not verified. jane@example.com"),
                "remote_failure",
                "mail-not-allowed",
            ),
            ((400, "SendingPausedException", "paused"), "remote_failure", "mail-not-allowed"),
            (ReadTimeoutError(endpoint_url="https://ses"), "remote_failure", "mail-unconfirmed"),
            ((502, "BadGateway", ""), "remote_failure", "mail-unconfirmed"),
        ],
        ids=["address", "domain", "sandbox", "paused", "no answer", "gateway"],
    )
    def test_what_ses_refuses_waits_for_a_person(
        self,
        deployment: Deployment,
        vendor: StandIn,
        outbox: Outbox,
        failure: Any,
        status: str,
        code: str,
    ) -> None:
        mailed(deployment)
        invite(deployment, email="jane@example.com")
        outbox.failures = [failure]
        deployment.run_queues()
        entry = delivery(deployment)
        assert (entry["status"], entry["code"]) == (status, code)
        assert entry["action"]
        assert "jane@example.com" not in str(entry)
        deployment.pass_time(timedelta(hours=1))
        deployment.sweep()
        deployment.run_queues()
        assert outbox.sent == []

    @pytest.mark.parametrize(
        "failure",
        [(429, "TooManyRequestsException", "Maximum sending rate exceeded."), (503, "Unavailable", "")],
        ids=["too many", "away"],
    )
    def test_what_was_not_sent_is_sent_later(
        self, deployment: Deployment, vendor: StandIn, outbox: Outbox, failure: Any
    ) -> None:
        mailed(deployment)
        invite(deployment)
        outbox.failures = [failure, EndpointConnectionError(endpoint_url="https://ses")]
        for _ in range(3):
            deployment.run_queues()
            deployment.pass_time(timedelta(hours=2))
            deployment.sweep()
        assert (len(outbox.sent), delivery(deployment)["status"]) == (1, "synced")


class TestWayOut:
    def test_one_click_ends_reminders_and_invitations(
        self, deployment: Deployment, vendor: StandIn, outbox: Outbox
    ) -> None:
        mailed(deployment, reminders={"max": 3, "afterDays": 3})
        invite(deployment, email="jane@example.com")
        other = invite(deployment, email="joe@example.com")
        deployment.run_queues()
        [url] = [
            header["Value"].strip("<>")
            for header in outbox.sent[0]["Content"]["Simple"]["Headers"]
            if header["Name"] == "List-Unsubscribe"
        ]
        path = urlsplit(url).path.removeprefix("/v1")
        for bad in (path[:-1], path.replace("/led_", "/led_0"), f"{path}x"):
            assert deployment.call("POST", bad, key=None).status == 404
        page = deployment.call("GET", path, key=None)
        assert (page.status, "jane@example.com" in page.text) == (200, True)
        assert deployment.call("POST", f"/surveys/{SURVEY}/reminders").json == {"count": 2}
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        for _ in range(2):
            body = b"List-Unsubscribe=One-Click"
            assert deployment.call("POST", path, key=None, raw=body, headers=headers).status == 200
        # The round that was called for before is not yet done: it leaves her out, too.
        deployment.run_queues()
        assert outbox.recipients == ["jane@example.com", "joe@example.com", "joe@example.com"]
        assert outbox.subjects[2] == "Once more"
        assert deployment.call("POST", f"/surveys/{SURVEY}/reminders").json == {"count": 1}
        deployment.run_queues()
        deployment.pass_time(timedelta(days=3, minutes=1))
        tick()
        deployment.run_queues()
        assert outbox.recipients[3:] == ["joe@example.com", "joe@example.com"]
        body_again = factories.invitation(email="Jane@example.com", transactionId="new")
        assert deployment.call("POST", INVITATIONS, body_again).json["code"] == "opted-out"
        assert shown(deployment, other["invitationId"])["reminders"] == 3

    def test_who_answered_before_the_mail_went_out_gets_none(
        self, deployment: Deployment, vendor: StandIn, outbox: Outbox
    ) -> None:
        mailed(deployment)
        outbox.failures = [(503, "Unavailable", "")]
        issued = invite(deployment)
        deployment.run_queues()
        hook(deployment, answer(vendor, issued["surveyUrl"]))
        deployment.pass_time(timedelta(hours=1))
        deployment.sweep()
        deployment.run_queues()
        assert (outbox.sent, delivery(deployment)["status"]) == ([], "unchanged")


def test_the_crm_sends_the_mail_for_a_call_too(deployment: Deployment, vendor: StandIn) -> None:
    settings(deployment, delivery="crm")
    customer = builtin().records.create_customer(factories.customer())
    issued = invite(deployment, customerId=customer["accountId"])
    nobody = invite(deployment)
    deployment.run_queues()
    noted = builtin().get_record(customer["accountId"])["surveyInvitations"][SURVEY]
    assert noted == {"url": issued["surveyUrl"], "reminders": 0}
    assert shown(deployment, nobody["invitationId"])["delivery"] == "caller"
