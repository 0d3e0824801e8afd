"""The API's manners on the deployed stack: keys, scopes, bad input, the documents."""

from collections.abc import Callable

import httpx
import pytest

from tests.support import factories

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"{", JSON, 400, "not-json"),
        (b'{"uniqueId": "\xff\xfe"}', JSON, 400, "not-utf8"),
        (b"[]", JSON, 422, "invalid"),
        (b'{"uniqueId": 1}', JSON, 422, "invalid"),
        (b'{"unheardOf": 1}', JSON, 422, "invalid"),
        (b" " * (256 * 1024 + 1), JSON, 413, "too-large"),
        (b"{}", {}, 415, "unsupported-media-type"),
        (b"<post/>", {"Content-Type": "application/xml"}, 415, "unsupported-media-type"),
        (b"{}", JSON | {"Idempotency-Key": "x" * 256}, 422, "invalid"),
    ],
)
def test_bad_input_is_a_clear_refusal(
    api: httpx.Client, content: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    answer = api.post("/social/posts", content=content, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["correlationId"] == answer.headers["x-correlation-id"]


def test_keys_and_scopes_decide(
    api: httpx.Client, anonymous: httpx.Client, partner: Callable[..., httpx.Client]
) -> None:
    assert anonymous.get("/partners").status_code == 401
    assert anonymous.post("/social/posts", json=factories.post()).status_code == 401
    assert anonymous.get("/partners", headers={"x-api-key": "nobody"}).status_code in (401, 403)
    narrow = partner("leads:write")
    refused = narrow.post("/social/posts", json=factories.post())
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    # The authorizer's answer is kept for the key alone, so another route must not be decided by it.
    assert narrow.get("/ledger").status_code == 403
    assert api.get("/ledger").status_code == 200


def test_unknown_paths_and_methods(api: httpx.Client) -> None:
    assert api.get("/nowhere").status_code == 404
    assert api.get("/social/posts/led_nothing").status_code == 404
    refused = api.delete("/social/posts")
    assert (refused.status_code, refused.headers["Allow"]) == (405, "POST")


def test_the_open_documents(anonymous: httpx.Client) -> None:
    assert anonymous.get("/health").json()["status"] == "ok"
    assert anonymous.get("/openapi.json").json()["openapi"] == "3.1.0"
    page = anonymous.get("/docs")
    assert page.headers["Content-Type"].startswith("text/html")
    assert "swagger-ui" in page.text


def test_a_partner_lives_and_ends(api: httpx.Client) -> None:
    made = api.post("/partners", json={"name": "short-lived", "scopes": ["social:write"]}).json()
    key = {"x-api-key": made["apiKey"]}
    assert api.get("/social/posts/led_nothing", headers=key).status_code == 404
    second = api.post(f"/partners/{made['partnerId']}/keys")
    assert second.status_code == 201
    assert api.delete(f"/partners/{made['partnerId']}/keys/{made['keyId']}").status_code == 204
    assert api.delete(f"/partners/{made['partnerId']}").status_code == 204
    gone = api.get("/social/posts/led_nothing", headers={"x-api-key": second.json()["apiKey"]})
    assert gone.status_code in (401, 403)
