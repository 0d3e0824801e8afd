"""The check is checked: each rule finds a history that breaks it, and none finds anything in a clean one."""

from collections.abc import Callable

import pytest

from tests.proof.simulation.history import Effect, Ended, History, Seen, Sent, violations

POST = ("post", "kestrel", "1")
MEMBER = ("member", "kestrel", "1")


def clean() -> History:
    """A post and two versions of a member, both accepted and done."""
    return History(
        sent=[Sent(POST, 1, True), Sent(MEMBER, 1, True), Sent(MEMBER, 2, True), Sent(MEMBER, 3, False)],
        effects=[Effect(POST, 1, "case"), Effect(MEMBER, 0, "user")],
        entries=[
            Ended("led_1", "post", "synced", ("pending", "retrying", "synced")),
            Ended("led_2", "member", "synced", ("pending", "synced", "pending", "synced")),
            Ended("led_3", "charging", "remote_failure", ("pending", "remote_failure"), told=True),
        ],
        seen=[Seen("kestrel", "kestrel's post", "GET /social/posts/1"), Seen("osprey", "{}", "GET /ledger")],
        last={MEMBER: [2]},
        needed={"post": ("case",), "member": ("user",)},
        words={"kestrel": "kestrel", "osprey": "osprey"},
    )


def test_a_clean_history_has_no_violation() -> None:
    assert violations(clean()) == []


def test_a_version_whose_answer_was_lost_may_be_the_newest() -> None:
    history = clean()
    history.last[MEMBER] = [3]
    assert violations(history) == []


BREACHES: list[tuple[str, Callable[[History], object]]] = [
    ("unfinished", lambda h: h.entries.append(Ended("led_4", "post", "retrying", ("pending", "retrying")))),
    (
        "ended twice",
        lambda h: h.entries.append(Ended("led_4", "post", "synced", ("pending", "data_error", "synced"))),
    ),
    (
        "given up",
        lambda h: h.entries.append(Ended("led_4", "post", "data_error", ("pending", "data_error"))),
    ),
    ("lost", lambda h: h.effects.clear()),
    ("lost", lambda h: h.sent.append(Sent(("post", "osprey", "1"), 1, True))),
    ("done twice", lambda h: h.effects.append(Effect(POST, 1, "case"))),
    ("stale", lambda h: h.last.update({MEMBER: [1]})),
    ("stale", lambda h: h.last.update({MEMBER: [2, 2]})),
    ("stale", lambda h: h.last.update({MEMBER: []})),
    ("stale", lambda h: h.last.update({MEMBER: [4]})),
    ("told to others", lambda h: h.seen.append(Seen("osprey", "of kestrel", "GET /social/posts/1"))),
]


@pytest.mark.parametrize(
    ("rule", "breach"), BREACHES, ids=[f"{rule} {n}" for n, (rule, _) in enumerate(BREACHES)]
)
def test_each_rule_finds_its_breach(rule: str, breach: Callable[[History], object]) -> None:
    history = clean()
    breach(history)
    found = violations(history)
    assert found
    assert all(line.startswith(f"{rule}: ") for line in found)
