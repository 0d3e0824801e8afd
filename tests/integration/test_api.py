"""The public API's manners: keys, scopes, bad input, repeats, correlation."""

import json
from datetime import timedelta
from itertools import count

import pytest

from switchboard import cursors, partners
from tests.support import factories
from tests.support.deployment import ADMIN_KEY, Deployment, Reply
from tests.support.faults import Killed, killed_at

POSTS = "/social/posts"
JSON = {"Content-Type": "application/json"}


def assert_problem(reply: Reply, status: int, code: str) -> None:
    assert reply.status == status, reply.text
    assert reply.headers["Content-Type"] == "application/problem+json"
    problem = reply.json
    assert problem["code"] == code
    assert problem["type"] == f"urn:switchboard:problem:{code}"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert problem["instance"]
    assert problem["correlationId"] == reply.headers["x-correlation-id"]


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"{", 400, "not-json"),
        (b"", 400, "not-json"),
        (b'{"uniqueId": "\xff"}', 400, "not-utf8"),
        (b'{"uniqueId": "\\ud800"}', 400, "not-json"),
        (b"[" * 100_000, 400, "not-json"),
        (b"[]", 422, "invalid"),
        (b'"text"', 422, "invalid"),
        (b"null", 422, "invalid"),
        (b"{}", 422, "invalid"),
        (b" " * (256 * 1024 + 1), 413, "too-large"),
    ],
)
def test_a_broken_body_is_a_clear_refusal(deployment: Deployment, raw: bytes, status: int, code: str) -> None:
    assert_problem(deployment.call("POST", POSTS, raw=raw), status, code)


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("NaN", 400),
        ("-Infinity", 400),
        ("1e999", 422),
        (f"{'9' * 400}.5", 422),
        ('"NaN is 1e999"', 202),
        ("1e100", 202),
    ],
    ids=["nan", "infinity", "exponent", "digits", "words", "large"],
)
def test_what_is_no_number_is_refused(deployment: Deployment, value: str, status: int) -> None:
    """In a field of any type, too: no table could hold it."""
    body = json.dumps(factories.member(attributes={"score": "@"})).replace('"@"', value)
    assert deployment.call("PUT", "/members/N1", raw=body.encode()).status == status


@pytest.mark.parametrize("media_type", ["text/plain", "application/xml", "", "multipart/form-data"])
def test_a_body_of_another_media_type_is_415(deployment: Deployment, media_type: str) -> None:
    reply = deployment.call("POST", POSTS, factories.post(), headers={"Content-Type": media_type})
    assert_problem(reply, 415, "unsupported-media-type")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("uniqueId", 42),
        ("uniqueId", ""),
        ("community", None),
        ("body", ["text"]),
        ("postLink", "not a link"),
        ("postedAt", "yesterday"),
        ("postedAt", "2026-03-01T09:30:00"),
        ("sentiment", "angry"),
        ("topics", "network"),
        ("followers", -1),
        ("followers", "12"),
        ("language", "not a language"),
        ("attachments", [{"url": "https://example.com/a.png"}]),
        ("unheardOf", True),
    ],
)
def test_a_field_that_breaks_a_rule_is_named_and_not_repeated(
    deployment: Deployment, field: str, value: object
) -> None:
    body = factories.post() | {field: value}
    reply = deployment.call("POST", POSTS, body)
    assert_problem(reply, 422, "invalid")
    assert any(field in error["pointer"] for error in reply.json["errors"])
    if isinstance(value, str) and len(value) > 5:
        assert value not in reply.text


def test_a_gateway_that_decodes_the_body_does_not_hide_broken_text(deployment: Deployment) -> None:
    event = {
        "httpMethod": "POST",
        "path": POSTS,
        "headers": JSON,
        "requestContext": {"authorizer": {"partnerId": "p", "scopes": "social:write"}},
        "body": json.dumps(factories.post(body="\ufffd"), ensure_ascii=False),
        "isBase64Encoded": False,
    }
    from functions.social_intake.app import lambda_handler
    from tests.support.deployment import Context

    answer = lambda_handler(event, Context())  # type: ignore[arg-type]
    assert answer["statusCode"] == 400
    assert json.loads(answer["body"])["code"] == "not-utf8"


def test_no_key_is_401_and_an_unknown_one_is_refused(deployment: Deployment) -> None:
    assert deployment.call("GET", "/partners", key=None).status == 401
    for key in ("nonsense", "sbk_", "sbk_" + "x" * 3000 + "_x", "sbk_x_y", "sbk__", "ключ", ADMIN_KEY + "x"):
        assert deployment.call("GET", "/partners", key=key).status == 403


def test_a_key_tells_whose_it_is_and_what_it_may(deployment: Deployment) -> None:
    key = deployment.partner("social:write", "ledger:read")
    mine = deployment.call("GET", "/me", key=key)
    assert (mine.json["name"], mine.json["scopes"]) == ("a partner", ["ledger:read", "social:write"])
    assert deployment.call("GET", "/me", key=deployment.partner()).json["scopes"] == []
    admin = {"partnerId": "admin", "name": "Administrator", "scopes": ["admin"]}
    assert deployment.call("GET", "/me").json == admin
    assert deployment.call("GET", "/me", key=None).status == 401


def test_a_key_without_the_scope_is_403_before_its_body_is_looked_at(deployment: Deployment) -> None:
    key = deployment.partner("leads:write")
    assert_problem(deployment.call("POST", POSTS, raw=b"{", key=key, headers=JSON), 403, "forbidden")
    assert_problem(deployment.call("GET", "/partners", key=key), 403, "forbidden")


def test_a_deleted_key_and_a_deleted_partner_are_refused(deployment: Deployment) -> None:
    partner = deployment.call("POST", "/partners", {"name": "p", "scopes": ["social:write"]}).json
    keys = f"/partners/{partner['partnerId']}/keys"
    second = deployment.call("POST", keys)
    assert second.status == 201
    assert deployment.call("DELETE", f"{keys}/{partner['keyId']}").status == 204
    path = f"{POSTS}/led_none"
    assert deployment.call("GET", path, key=partner["apiKey"]).status == 403
    assert deployment.call("GET", path, key=second.json["apiKey"]).status == 404
    listed = deployment.call("GET", "/partners").json["items"]
    assert [one["keyId"] for one in listed[0]["keys"]] == [second.json["keyId"]]
    assert deployment.call("DELETE", f"/partners/{partner['partnerId']}").status == 204
    assert deployment.call("GET", path, key=second.json["apiKey"]).status == 403
    assert deployment.call("DELETE", f"/partners/{partner['partnerId']}").status == 404


def test_a_partner_whose_maker_died_is_made_once(deployment: Deployment) -> None:
    def make(number: int) -> partners.NewKey:
        return partners.create(f"p{number}", ("ledger:read",), once=f"request-{number}")

    for number in count():
        try:
            with killed_at(number, after=True):
                key = make(number)
            break
        except Killed:
            key = make(number)
        listed = deployment.call("GET", "/partners", query={"limit": "100"}).json["items"]
        [made] = [one for one in listed if one["name"] == f"p{number}"]
        assert (made["partnerId"], [one["keyId"] for one in made["keys"]]) == (key.partner_id, [key.key_id])
        assert deployment.call("GET", "/me", key=key.api_key).json["name"] == f"p{number}"
    assert number == 2
    # Long after, when no first answer is kept any more, the same request is another one.
    deployment.pass_time(timedelta(days=31))
    assert make(number).partner_id != key.partner_id
    assert deployment.call("GET", "/me", key=key.api_key).status == 200


@pytest.mark.parametrize(
    "body", [{"name": "p", "scopes": ["everything"]}, {"name": "", "scopes": []}, {"scopes": ["admin"]}]
)
def test_a_bad_partner_is_422(deployment: Deployment, body: object) -> None:
    assert_problem(deployment.call("POST", "/partners", body), 422, "invalid")


def test_partners_are_listed_page_by_page(deployment: Deployment) -> None:
    for _ in range(5):
        deployment.partner("admin")
    seen: list[str] = []
    query = {"limit": "2"}
    while True:
        page = deployment.call("GET", "/partners", query=query).json
        seen += [item["partnerId"] for item in page["items"]]
        if page["next"] is None:
            break
        query = {"limit": "2", "cursor": page["next"]}
    assert len(seen) == len(set(seen)) == 5


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "101"},
        {"limit": "x"},
        {"cursor": "x"},
        {"cursor": ""},
        {"cursor": "e30"},
        {"cursor": "x" * 5000},
        {"cursor": cursors.encode("00000001")},
        {"cursor": cursors.encode("2026-99-99T00:00:00.000Z")},
        {"cursor": cursors.encode("prt_" + "0" * 3000)},
    ],
)
@pytest.mark.parametrize("path", ["/partners", "/ledger"])
def test_a_bad_limit_or_cursor_is_422(deployment: Deployment, path: str, query: dict[str, str]) -> None:
    assert_problem(deployment.call("GET", path, query=query), 422, "invalid")


@pytest.mark.parametrize("since", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-01"])
def test_a_time_that_is_none_is_422(deployment: Deployment, since: str) -> None:
    assert_problem(deployment.call("GET", "/ledger", query={"since": since}), 422, "invalid")


@pytest.mark.parametrize("odd", ["x" * 3000, "😀", '"', "a#b", "..", "a b", "%2e%2e"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/social/posts/{}"),
        ("GET", "/ledger/{}"),
        ("POST", "/ledger/{}/resubmit"),
        ("DELETE", "/partners/{}"),
        ("POST", "/partners/{}/keys"),
    ],
)
def test_an_odd_id_is_404(deployment: Deployment, method: str, path: str, odd: str) -> None:
    assert_problem(deployment.call(method, path.format(odd)), 404, "not-found")


def test_a_body_where_none_belongs_is_refused(deployment: Deployment) -> None:
    reply = deployment.call("POST", "/settings/reload", {"area": "social"})
    assert_problem(reply, 422, "invalid")
    assert deployment.call("POST", "/settings/reload", {}).status == 200


def test_an_unknown_path_is_404_and_a_wrong_method_405(deployment: Deployment) -> None:
    assert_problem(deployment.call("GET", "/nowhere"), 404, "not-found")
    reply = deployment.call("DELETE", POSTS)
    assert_problem(reply, 405, "method-not-allowed")
    assert reply.headers["Allow"] == "POST"
    # `/settings/{area}` would fit too, and has other methods.
    assert deployment.call("DELETE", "/settings/reload").headers["Allow"] == "POST"


def test_the_correlation_id_goes_through(deployment: Deployment) -> None:
    reply = deployment.call("GET", "/health", key=None, headers={"X-Correlation-Id": "abc-123"})
    assert reply.headers["x-correlation-id"] == "abc-123"
    made = deployment.call("GET", "/health", key=None, headers={"x-correlation-id": "two words"})
    assert made.headers["x-correlation-id"].startswith("cor_")


def test_the_open_routes_need_no_key(deployment: Deployment) -> None:
    assert deployment.call("GET", "/health", key=None).json["status"] == "ok"
    assert deployment.call("GET", "/openapi.json", key=None).json["openapi"] == "3.1.0"
    assert "swagger-ui" in deployment.call("GET", "/docs", key=None).text


class TestIdempotencyKey:
    def test_the_same_request_gets_the_first_answer(self, deployment: Deployment) -> None:
        post, headers = factories.post(), {"Idempotency-Key": "k-1"}
        first = deployment.call("POST", POSTS, post, headers=headers)
        again = deployment.call("POST", POSTS, post, headers=headers)
        assert (first.status, again.status) == (202, 202)
        assert again.json == first.json
        assert again.headers["Idempotency-Replayed"] == "true"
        assert "Idempotency-Replayed" not in first.headers
        assert again.headers["Location"] == first.headers["Location"]

    def test_another_body_under_the_same_key_is_422(self, deployment: Deployment) -> None:
        headers = {"Idempotency-Key": "k-1"}
        deployment.call("POST", POSTS, factories.post(), headers=headers)
        reply = deployment.call("POST", POSTS, factories.post(), headers=headers)
        assert_problem(reply, 422, "idempotency-key-reused")

    def test_one_partners_key_is_not_anothers(self, deployment: Deployment) -> None:
        post, headers = factories.post(), {"Idempotency-Key": "k-1"}
        answers = [
            deployment.call("POST", POSTS, post, key=deployment.partner("social:write"), headers=headers)
            for _ in range(2)
        ]
        assert [answer.status for answer in answers] == [202, 202]
        assert answers[0].json["postId"] != answers[1].json["postId"]

    def test_a_refused_request_leaves_the_key_free(self, deployment: Deployment) -> None:
        headers = {"Idempotency-Key": "k-1"}
        assert deployment.call("POST", POSTS, {}, headers=headers).status == 422
        assert deployment.call("POST", POSTS, factories.post(), headers=headers).status == 202

    def test_a_key_of_256_characters_or_none_is_422(self, deployment: Deployment) -> None:
        for key in ("x" * 256, ""):
            reply = deployment.call("POST", POSTS, factories.post(), headers={"Idempotency-Key": key})
            assert_problem(reply, 422, "invalid")

    def test_a_secret_is_not_kept_for_the_replay(self, deployment: Deployment) -> None:
        headers = {"Idempotency-Key": "k-1"}
        body = {"name": "p", "scopes": ["social:write"]}
        first = deployment.call("POST", "/partners", body, headers=headers)
        again = deployment.call("POST", "/partners", body, headers=headers)
        assert first.json["apiKey"]
        assert "apiKey" not in again.json
        assert again.json["partnerId"] == first.json["partnerId"]
