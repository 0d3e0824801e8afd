"""What the history of an entry says of the calls of an attempt."""

import pytest

from switchboard import calls


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("v2/users", "/v2/users"),
        ("/v2/users/jane%40example.com", "/v2/users/…"),
        ("v2/users/4711?id_type=third_party_id", "/v2/users/…"),
        ("data/Service%20Request/Service%20Request", "/data/Service Request/Service Request"),
        ("surveys/3154843/responses", "/surveys/…/responses"),
        ("people/+4930123456", "/people/…"),
        ("", "/"),
    ],
)
def test_of_a_path_only_words_stay(path: str, told: str) -> None:
    with calls.collected() as made:
        calls.note("vendor", "GET", path, 404)
    assert made == [f"vendor GET {told} 404"]


def test_the_last_calls_are_told_and_how_many_came_before() -> None:
    with calls.collected() as made:
        for status in range(200, 208):
            calls.note("vendor", "GET", "pages", status)
    assert calls.told(made) == ["3 before", *[f"vendor GET /pages {status}" for status in range(203, 208)]]
    assert calls.told(made[:2]) == made[:2]
    assert calls.told([]) is None


def test_no_answer_is_told_and_outside_of_an_attempt_nothing_is_noted() -> None:
    calls.note("vendor", "GET", "pages", 200)
    with calls.collected() as made:
        calls.note("vendor", "POST", "pages", None)
    assert made == ["vendor POST /pages no answer"]
