"""Source 000: a pushed post becomes a customer and a case."""

from datetime import timedelta

import pytest

from switchboard import config, queues
from switchboard.connectors import crm
from switchboard.connectors.builtin_crm import BuiltinCrm, RecordRef
from tests.support import factories, faults
from tests.support.deployment import Deployment


def push(deployment: Deployment, **fields: object) -> str:
    """Push a post and let the queues run; returns its id."""
    reply = deployment.call("POST", "/social/posts", factories.post(**fields))
    assert reply.status == 202, reply.text
    deployment.run_queues()
    post_id: str = reply.json["postId"]
    return post_id


def state(deployment: Deployment, post_id: str) -> dict[str, object]:
    reply = deployment.call("GET", f"/social/posts/{post_id}")
    assert reply.status == 200
    found: dict[str, object] = reply.json
    return found


def settings(deployment: Deployment, **area: object) -> None:
    reply = deployment.call("PUT", "/settings/social", area)
    assert reply.status == 200, reply.text


def test_a_post_of_an_unknown_author_makes_a_customer_and_a_case(deployment: Deployment) -> None:
    reply = deployment.call("POST", "/social/posts", factories.post())
    assert reply.status == 202
    assert reply.json["status"] == "pending"
    assert reply.headers["Location"] == f"/v1/social/posts/{reply.json['postId']}"
    deployment.run_queues()
    found = state(deployment, reply.json["postId"])
    assert found["status"] == "synced"
    assert found["customerCreated"] is True
    assert found["caseCreated"] is True
    assert found["customerId"]
    assert found["caseId"]


def test_the_same_post_again_changes_nothing(deployment: Deployment) -> None:
    post = factories.post()
    first = deployment.call("POST", "/social/posts", post)
    again = deployment.call("POST", "/social/posts", post | {"body": "edited since"})
    assert (first.status, again.status) == (202, 200)
    assert again.json["postId"] == first.json["postId"]
    assert deployment.run_queues() == 1


def test_the_same_network_id_in_two_communities_is_two_posts(deployment: Deployment) -> None:
    one = push(deployment, uniqueId="42", community="twitter")
    two = push(deployment, uniqueId="42", community="facebook")
    assert one != two


def test_fifty_copies_make_one_case(deployment: Deployment) -> None:
    post = factories.post()
    statuses = [deployment.call("POST", "/social/posts", post).status for _ in range(50)]
    assert statuses == [202] + [200] * 49
    assert deployment.run_queues() == 1


def test_two_posts_of_one_new_author_make_one_customer_and_two_cases(deployment: Deployment) -> None:
    posts = [factories.post(authorId="new-author") for _ in range(2)]
    ids = [deployment.call("POST", "/social/posts", post).json["postId"] for post in posts]
    deployment.run_queues()
    first, second = (state(deployment, post_id) for post_id in ids)
    assert first["customerId"] == second["customerId"]
    assert (first["customerCreated"], second["customerCreated"]) == (True, False)
    assert first["caseId"] != second["caseId"]


def test_a_reply_of_the_author_joins_the_open_case(deployment: Deployment) -> None:
    first = push(deployment, uniqueId="1", authorId="a")
    reply = push(deployment, uniqueId="2", authorId="a", parentId="1")
    reply_to_reply = push(deployment, uniqueId="3", authorId="a", parentId="2")
    case_id = state(deployment, first)["caseId"]
    for post_id in (reply, reply_to_reply):
        found = state(deployment, post_id)
        assert found["caseId"] == case_id
        assert found["caseCreated"] is False


def test_replies_to_one_unknown_post_share_a_case(deployment: Deployment) -> None:
    one = push(deployment, authorId="a", parentId="somewhere")
    two = push(deployment, authorId="a", parentId="somewhere")
    assert state(deployment, one)["caseId"] == state(deployment, two)["caseId"]


def test_another_author_in_the_same_thread_has_a_case_of_his_own(deployment: Deployment) -> None:
    first = push(deployment, uniqueId="1", authorId="a")
    other = push(deployment, uniqueId="2", authorId="b", parentId="1")
    assert state(deployment, first)["caseId"] != state(deployment, other)["caseId"]
    assert state(deployment, first)["customerId"] != state(deployment, other)["customerId"]


def test_our_own_answers_in_between_do_not_break_a_thread(deployment: Deployment) -> None:
    settings(deployment, ownAccounts=[{"community": "twitter", "authorId": "us"}])
    thread = [("1", "a", None), ("2", "us", "1"), ("3", "a", "2"), ("4", "us", "3"), ("5", "a", "4")]
    posts = [
        deployment.call(
            "POST", "/social/posts", factories.post(uniqueId=unique, authorId=author, parentId=parent)
        )
        for unique, author, parent in thread
    ]
    deployment.run_queues()
    cases = {state(deployment, posts[number].json["postId"])["caseId"] for number in (0, 2, 4)}
    assert len(cases) == 1


def test_a_thread_whose_first_post_comes_last_is_one_case(deployment: Deployment) -> None:
    reply = push(deployment, uniqueId="2", authorId="a", parentId="1")
    first = push(deployment, uniqueId="1", authorId="a")
    assert state(deployment, reply)["caseId"] == state(deployment, first)["caseId"]


def test_replies_after_a_case_was_closed_share_the_next_one(deployment: Deployment) -> None:
    first = state(deployment, push(deployment, uniqueId="1", authorId="a"))
    closed = RecordRef(str(first["customerId"]), case_id=str(first["caseId"]))
    builtin().records.update(closed, {"status": "closed"})
    one = push(deployment, uniqueId="2", authorId="a", parentId="1")
    two = push(deployment, uniqueId="3", authorId="a", parentId="1")
    assert state(deployment, one)["caseId"] == state(deployment, two)["caseId"] != first["caseId"]


def test_posts_that_name_each_other_or_themselves_wait_for_nobody(deployment: Deployment) -> None:
    own_parent = push(deployment, uniqueId="1", authorId="a", parentId="1")
    posts = [factories.post(uniqueId=one, authorId="b", parentId=other) for one, other in ("23", "32")]
    ids = [deployment.call("POST", "/social/posts", post).json["postId"] for post in posts]
    for _ in range(3):
        deployment.run_queues()
        deployment.pass_time(timedelta(minutes=10))
        deployment.sweep()
    deployment.run_queues()
    assert [state(deployment, post_id)["status"] for post_id in (own_parent, *ids)] == ["synced"] * 3


def test_a_temporary_name_follows_the_newest_post(deployment: Deployment) -> None:
    push(deployment, authorId="a", authorName="jane_1", postedAt="2026-03-01T09:00:00Z")
    push(deployment, authorId="a", authorName="Jane Doe", postedAt="2026-03-02T09:00:00Z")
    last = push(deployment, authorId="a", authorName="old_nick", postedAt="2019-03-01T09:00:00Z")
    customer = builtin().records.get(RecordRef(str(state(deployment, last)["customerId"])))
    assert (customer["firstName"], customer["lastName"]) == ("Jane Doe", "Jane Doe")
    assert customer["temporary"] is True


def test_a_window_of_no_days_threads_nothing(deployment: Deployment) -> None:
    settings(deployment, reopenWindowDays=0)
    first = push(deployment, uniqueId="1", authorId="a")
    reply = push(deployment, uniqueId="2", authorId="a", parentId="1")
    assert state(deployment, first)["caseId"] != state(deployment, reply)["caseId"]


@pytest.mark.parametrize(
    ("criteria", "criterion"),
    [
        ({"communities": ["Instagram"]}, "communities"),
        ({"languages": ["de"]}, "languages"),
        ({"keywords": ["invoice"]}, "keywords"),
        ({"topics": ["billing"]}, "topics"),
        ({"sentiments": ["positive"]}, "sentiments"),
    ],
)
def test_a_post_outside_the_criteria_is_filtered(
    deployment: Deployment, criteria: dict[str, list[str]], criterion: str
) -> None:
    settings(deployment, criteria=criteria)
    reply = deployment.call("POST", "/social/posts", factories.post())
    assert reply.status == 200
    assert (reply.json["status"], reply.json["criterion"]) == ("filtered", criterion)
    assert deployment.run_queues() == 0
    assert state(deployment, reply.json["postId"])["status"] == "filtered"


def test_a_post_inside_the_criteria_is_taken_whatever_its_case(deployment: Deployment) -> None:
    settings(
        deployment,
        criteria={
            "communities": ["TWITTER"],
            "languages": ["EN"],
            "keywords": ["NO SIGNAL"],
            "topics": ["Network"],
            "sentiments": ["negative"],
        },
    )
    assert deployment.call("POST", "/social/posts", factories.post(language="en-GB")).status == 202


def test_our_own_post_makes_no_case(deployment: Deployment) -> None:
    settings(deployment, ownAccounts=[{"community": "Twitter", "authorId": "us"}])
    reply = deployment.call("POST", "/social/posts", factories.post(authorId="us"))
    assert (reply.status, reply.json["criterion"]) == (200, "ownAccounts")


def test_the_first_rule_that_fits_assigns_the_case(deployment: Deployment) -> None:
    rules = [
        {"when": {"community": "facebook"}, "assignTo": "team-facebook"},
        {"when": {"keywords": ["signal"], "sentiment": "negative"}, "assignTo": "team-network"},
        {"when": {}, "assignTo": "team-rest"},
    ]
    settings(deployment, assignmentRules=rules)
    assert state(deployment, push(deployment))["assignedTo"] == "team-network"
    assert state(deployment, push(deployment, sentiment="positive"))["assignedTo"] == "team-rest"
    assert state(deployment, push(deployment, community="Facebook"))["assignedTo"] == "team-facebook"


def test_another_partner_neither_sees_nor_meets_a_post(deployment: Deployment) -> None:
    mine, theirs = deployment.partner("social:write"), deployment.partner("social:write")
    post = factories.post()
    first = deployment.call("POST", "/social/posts", post, key=mine)
    path = f"/social/posts/{first.json['postId']}"
    assert deployment.call("GET", path, key=mine).status == 200
    assert deployment.call("GET", path, key=theirs).status == 404
    assert deployment.call("POST", "/social/posts", post, key=theirs).status == 202


def test_a_lost_message_is_found_by_the_sweeper(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues, "offer", lambda entry: None)
    reply = deployment.call("POST", "/social/posts", factories.post())
    assert deployment.run_queues() == 0
    deployment.pass_time(timedelta(minutes=3))
    deployment.sweep()
    assert deployment.run_queues() == 1
    assert state(deployment, reply.json["postId"])["status"] == "synced"


def test_two_customers_that_match_leave_the_link_to_a_person(deployment: Deployment) -> None:
    customer_id = state(deployment, push(deployment, authorId="twin"))["customerId"]
    twin = builtin().records.create_customer({"lastName": "Twin"})
    builtin().link_profile(twin["accountId"], factories.profile(author_id="twin"))

    post = factories.post(authorId="twin")
    post_id = push(deployment, **post)
    found = state(deployment, post_id)
    assert (found["status"], found["code"]) == ("data_error", "ambiguous-customer")
    assert found["caseId"]
    assert found["customerId"] is None
    assert set(found["candidates"]) == {customer_id, twin["accountId"]}  # type: ignore[call-overload]

    answer = push(deployment, authorId="twin", parentId=post["uniqueId"])
    assert state(deployment, answer)["caseId"] == found["caseId"]

    builtin().records.delete(RecordRef(twin["accountId"]))
    assert deployment.call("POST", f"/ledger/{post_id}/resubmit").status == 202
    deployment.run_queues()
    settled = state(deployment, post_id)
    assert (settled["status"], settled["customerId"]) == ("synced", customer_id)
    assert settled["caseId"] == found["caseId"]
    assert settled["candidates"] is None


def test_a_post_is_at_most_six_requests_to_dynamodb(deployment: Deployment) -> None:
    push(deployment, authorId="warm")  # whatever a process reads once is cached now
    deployment.patch.setattr(config, "STALENESS", 3600.0)
    key = deployment.partner("social:write")
    for fields in [{"authorId": "new", "authorName": "jane"}] * 2:
        with faults.counted() as requests:
            deployment.call("POST", "/social/posts", factories.post(**fields), key=key)
            requests.remove("GetItem")  # the authorizer's, which API Gateway keeps for five minutes
            deployment.run_queues()
        assert len(requests) <= 6, requests


class TestKilledWorker:
    """The worker dies before or after each of its requests; the message, or the sweeper, brings it back."""

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    @pytest.mark.parametrize("request_number", range(4))
    def test_while_a_new_author_gets_a_case(
        self, deployment: Deployment, request_number: int, after: bool
    ) -> None:
        push(deployment, authorId="warm")
        deployment.patch.setattr(config, "STALENESS", 3600.0)
        post_id = self.die(deployment, factories.post(authorId="new"), request_number, after=after)

        found = state(deployment, post_id)
        assert found["status"] == "synced"
        assert found["customerCreated"] is True
        assert found["caseCreated"] is True
        again = push(deployment, authorId="new")
        assert state(deployment, again)["customerId"] == found["customerId"]
        assert cases_of(found["customerId"]) == {found["caseId"], state(deployment, again)["caseId"]}

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    @pytest.mark.parametrize("request_number", range(4))
    def test_while_a_reply_joins_a_case(
        self, deployment: Deployment, request_number: int, after: bool
    ) -> None:
        first = push(deployment, uniqueId="1", authorId="a")
        deployment.patch.setattr(config, "STALENESS", 3600.0)
        reply = factories.post(uniqueId="2", authorId="a", parentId="1")
        post_id = self.die(deployment, reply, request_number, after=after)

        found = state(deployment, post_id)
        assert (found["status"], found["caseId"]) == ("synced", state(deployment, first)["caseId"])
        case = RecordRef(str(found["customerId"]), case_id=str(found["caseId"]))
        assert len(builtin().records.parts("followup", case.account_id, case.case_id).items) == 1
        assert len(cases_of(found["customerId"])) == 1

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    @pytest.mark.parametrize("request_number", range(5))
    def test_while_a_reply_to_an_unknown_post_opens_a_case(
        self, deployment: Deployment, request_number: int, after: bool
    ) -> None:
        push(deployment, authorId="warm")
        deployment.patch.setattr(config, "STALENESS", 3600.0)
        post = factories.post(authorId="new", parentId="never pushed")
        found = state(deployment, self.die(deployment, post, request_number, after=after))
        assert (found["status"], found["caseCreated"]) == ("synced", True)
        followups = builtin().records.parts("followup", str(found["customerId"]), str(found["caseId"]))
        assert followups.items == []
        assert len(cases_of(found["customerId"])) == 1

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    def test_while_it_accepts(self, deployment: Deployment, after: bool) -> None:
        post = factories.post()
        deployment.call("GET", "/social/posts/none")
        deployment.patch.setattr(config, "STALENESS", 3600.0)
        deployment.call("POST", "/social/posts", factories.post(authorId="warm"))
        deployment.run_queues()
        with pytest.raises(faults.Killed), faults.killed_at(0, after=after):
            deployment.call("POST", "/social/posts", post)
        reply = deployment.call("POST", "/social/posts", post)
        assert reply.status == (200 if after else 202)
        deployment.pass_time(timedelta(minutes=10))
        deployment.sweep()
        deployment.run_queues()
        assert state(deployment, reply.json["postId"])["status"] == "synced"

    @staticmethod
    def die(deployment: Deployment, post: dict[str, object], request_number: int, *, after: bool) -> str:
        post_id: str = deployment.call("POST", "/social/posts", post).json["postId"]
        with pytest.raises(faults.Killed), faults.killed_at(request_number, after=after):
            deployment.run_queues()
        deployment.pass_time(timedelta(minutes=10))
        deployment.sweep()
        deployment.run_queues()
        return post_id


def cases_of(customer_id: object) -> set[object]:
    page = builtin().records.parts("case", str(customer_id))
    return {case["caseId"] for case in page.items}


def builtin() -> BuiltinCrm:
    held = crm()
    assert isinstance(held, BuiltinCrm)
    return held
