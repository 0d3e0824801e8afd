"""The log canaries sing: each kind of personal data and secret is found in a line, and ids are not."""

import json

import pytest

from tests.support import canaries


def line(**fields: object) -> str:
    return json.dumps({"level": "INFO", "message": "recorded", **fields})


@pytest.mark.parametrize(
    "told",
    [
        "jane.7@example.com",
        "called +4930123456 back",
        "Jane Miller",
        "Jürgen Müller",
        "jane_12",
        "sbk_01m81dv8_abcdefghijkl",
        "the-admin-key-of-the-tests-0123456789",
        "whsec_abcdefghijklmnop",
        "sha256=" + "0f" * 32,
        "v1," + "A" * 43 + "=",
        "Bearer sandbox-sem-token",
        "sandbox-crowdtwist-key",
    ],
)
def test_a_line_that_tells_too_much_is_found(told: str) -> None:
    assert canaries.breaches(f"first\n{line(detail=told)}\n")


@pytest.mark.parametrize(
    "text",
    [
        line(ledger_id="led_01m81dv8q9f648hmnb45th62ep", milliseconds=12, code="duplicate-lead"),
        "jane@example.com in a line that no function wrote",
        '{"email": "jane@example.com"}',
        '{"level": "INFO", "half": ',
        line(at="2026-11-22T10:00:00.123+00:00", sequence=4930123456789),
    ],
)
def test_what_tells_nothing_is_left_alone(text: str) -> None:
    assert canaries.breaches(text) == []
