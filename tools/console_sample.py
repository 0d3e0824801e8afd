"""Answers of the API as they may be on some day: what the screenshots show, and what views are tested with.

They stand for a deployment with a little of everything; `tests/unit/test_console.py` holds them against the
API's own models.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from switchboard.ledger import action_for
from tools.browser import Answer

NOW = datetime(2026, 11, 22, 14, 25, 30, tzinfo=UTC)
KEY = "sbk_sample_key"


def at(*, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> str:
    """So long before `NOW`, as the API writes times."""
    moment = NOW - timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


_TIDE = (2, 1, 1, 0, 1, 2, 5, 9, 14, 18, 21, 20, 17, 19, 23, 22, 18, 14, 11, 8, 6, 5, 3, 2)


def _flow(
    name: str,
    scale: float,
    *,
    failed: dict[int, int] | None = None,
    waiting: int = 0,
    retrying: int = 0,
    failing: int = 0,
    oldest: str | None = None,
) -> dict[str, Any]:
    lost = failed or {}
    hours = [
        {
            "at": at(hours=23 - i, minutes=25, seconds=30),
            "accepted": round(tide * scale),
            "done": max(0, round(tide * scale) - lost.get(i, 0)),
            "failed": lost.get(i, 0),
        }
        for i, tide in enumerate(_TIDE)
    ]
    total = {key: sum(hour[key] for hour in hours) for key in ("accepted", "done", "failed")}  # type: ignore[misc]
    now = {"waiting": waiting, "retrying": retrying, "failed": failing, "oldestAt": oldest}
    return {"flow": name, "last24Hours": total, "now": now, "hours": hours}


OVERVIEW: dict[str, Any] = {
    "at": at(),
    "flows": [
        _flow("charging", 4.2),
        _flow("lead", 1.1, failed={11: 1}, failing=1),
        _flow(
            "member",
            12.4,
            failed={19: 14, 20: 22, 21: 9},
            waiting=3,
            retrying=31,
            failing=14,
            oldest=at(minutes=47),
        ),
        _flow("social_post", 6.3, waiting=2, oldest=at(seconds=8)),
        _flow("survey_invitation", 2.6),
        _flow("trigger_delivery", 17.5, failed={15: 3}, retrying=2, failing=3, oldest=at(minutes=4)),
    ],
    "connectors": [
        {
            "connector": "crowdtwist",
            "configured": True,
            "breaker": "open",
            "openSince": at(minutes=47),
            "nextProbeAt": at(seconds=-18),
            "held": 28,
        },
        *(
            {
                "connector": name,
                "configured": configured,
                "breaker": "closed",
                "openSince": None,
                "nextProbeAt": None,
                "held": 0,
            }
            for name, configured in (("questionpro", True), ("ocsio", True), ("vcc", True), ("siebel", False))
        ),
        {
            "connector": "sem",
            "configured": True,
            "breaker": "half-open",
            "openSince": at(minutes=6),
            "nextProbeAt": at(seconds=-40),
            "held": 2,
        },
    ],
}
QUEUES: dict[str, Any] = {
    "items": [
        {"queue": name, "waiting": waiting, "inFlight": busy, "deadLetters": dead}
        for name, waiting, busy, dead in (
            ("ChargingQueue", 0, 0, 0),
            ("MemberQueue", 3, 8, 0),
            ("SocialPostQueue", 2, 1, 0),
            ("SurveyDumpQueue", 0, 0, 0),
            ("TriggerDeliveryQueue", 0, 4, 2),
        )
    ]
}
SUMMARY: dict[str, Any] = {
    "items": [
        {
            "flow": "member",
            "code": "already-taken",
            "count": 11,
            "retrying": 0,
            "sample": "led_01kasample0000000000000001",
            "action": action_for("already-taken"),
        },
        {
            "flow": "trigger_delivery",
            "code": "delivery-failed",
            "count": 3,
            "retrying": 0,
            "sample": "led_01kasample0000000000000002",
            "action": action_for("delivery-failed"),
        },
        {
            "flow": "member",
            "code": "remote-auth",
            "count": 3,
            "retrying": 0,
            "sample": "led_01kasample0000000000000003",
            "action": action_for("remote-auth"),
        },
        {
            "flow": "lead",
            "code": "ambiguous-lead",
            "count": 1,
            "retrying": 0,
            "sample": "led_01kasample0000000000000004",
            "action": action_for("ambiguous-lead"),
        },
    ]
}
_LISTED: dict[str, Any] = {
    "ledgerId": "led_01kasample0000000000000001",
    "flow": "member",
    "status": "data_error",
    "code": "already-taken",
    "detail": "Email Address is already taken",
    "action": SUMMARY["items"][0]["action"],
    "attempts": 1,
    "version": 3,
    "partnerId": "prt_01kaacme",
    "customerId": "acc_01kahopper",
    "correlationId": "cor_01kaf83wq2",
    "createdAt": at(hours=2, minutes=10),
    "updatedAt": at(hours=2, minutes=9),
}
ENTRY: dict[str, Any] = _LISTED | {
    "result": {"crowdTwistId": "4711"},
    "history": [
        {"at": at(hours=2, minutes=10), "status": "pending", "correlationId": "cor_01kaf83wq2"},
        {
            "at": at(hours=2, minutes=9, seconds=58),
            "status": "in_progress",
            "correlationId": "cor_01kaf83wq2",
        },
        {
            "at": at(hours=2, minutes=9.8),
            "status": "data_error",
            "code": "already-taken",
            "attempt": 1,
            "correlationId": "cor_01kaf83wq2",
            "detail": "Email Address is already taken",
            "calls": ["crowdtwist PUT /v2/users/… 400"],
        },
    ],
}
LEDGER: dict[str, Any] = {
    "items": [
        _LISTED | {"ledgerId": f"led_01kasample000000000000000{i}", "updatedAt": at(hours=i)}
        for i in range(1, 6)
    ],
    "next": None,
}
DRY_RUN: dict[str, Any] = {
    "items": [
        {"ledgerId": f"led_01kasample00000000000000{i:02}", "would": "update the member"}
        for i in range(1, 12)
    ],
    "matched": 11,
    "lookedUp": 11,
}


def _trigger(number: int, **held: Any) -> dict[str, Any]:
    return {
        "triggerId": f"trg_01ka{number}",
        "secret": None,
        "status": "active",
        "url": "https://hooks.example.com/switchboard",
        "object": "case",
        "event": "create",
        "format": "query",
        "method": "GET",
        "where": {},
        "ordered": False,
        "description": None,
        "maxPerSecond": None,
        "disabledReason": None,
        "warning": None,
        "createdAt": at(days=41),
        "updatedAt": at(days=2),
    } | held


TRIGGERS: list[dict[str, Any]] = [
    _trigger(
        1,
        url="https://desk.example.com/hooks/case-opened?team=north",
        description="A ticket at the desk",
    ),
    _trigger(
        2,
        url="https://billing.example.net/crm",
        object="customer",
        event="edit",
        format="webhook",
        method="POST",
        description="Keeps billing addresses in step",
        warning={"perCent": 50, "failingSince": at(days=2, hours=12), "disablesAt": at(days=-2.5)},
    ),
    _trigger(
        3,
        url="https://data.example.org/ingest/crm-events",
        object="*",
        event="*",
        format="webhook",
        method="POST",
        description="Everything, for the warehouse",
        ordered=True,
        maxPerSecond=20,
    ),
    _trigger(
        4,
        url="https://old.example.com/task",
        object="task",
        event="delete",
        status="disabled",
        disabledReason="failing",
    ),
]
DELIVERIES: dict[str, Any] = {
    "items": [
        {
            "deliveryId": f"dlv_{i}",
            "triggerId": "trg_01ka2",
            "eventId": f"evt_01kaq{i}",
            "type": "customer.edit",
            "status": status,
            "attempts": [
                {"at": at(minutes=9 * i), "statusCode": code, "errorClass": error, "durationMs": 118 + 7 * i}
            ]
            * (1 if code == 200 else 3),
            "nextAttemptAt": at(minutes=-24) if status == "retrying" else None,
            "answer": None if code == 200 else "upstream is down",
            "createdAt": at(minutes=9 * i + 1),
            "updatedAt": at(minutes=9 * i),
        }
        for i, (status, code, error) in enumerate(
            (
                ("retrying", 503, "status"),
                ("retrying", None, "timeout"),
                ("delivered", 200, None),
                ("delivered", 200, None),
            ),
            start=1,
        )
    ],
    "next": None,
}
CUSTOMER: dict[str, Any] = {
    "accountId": "acc_01kahopper",
    "rev": 7,
    "createdAt": at(days=212),
    "updatedAt": at(hours=2),
    "firstName": "Grace",
    "lastName": "Hopper",
    "email": "grace@example.com",
    "phone": "+12025550143",
    "company": "Example Navy",
    "country": "US",
    "temporary": False,
    "profiles": [{"community": "twitter", "authorId": "42", "authorName": "gracehopper", "handle": None}],
    "surveyInvitations": {},
}


def _moment(flow: str, status: str, number: int, came: str, **ids: str) -> dict[str, Any]:
    ledger_id = f"led_01kasample000000000000000{number}"
    return {"at": came, "updatedAt": came, "flow": flow, "status": status, "ledgerId": ledger_id} | ids


TIMELINE: dict[str, Any] = {
    "items": [
        _moment("member", "data_error", 1, at(hours=2, minutes=9), memberNumber="M-100482"),
        _moment("survey_invitation", "synced", 6, at(hours=5), surveyId="8093442"),
        _moment("social_post", "synced", 7, at(hours=26), postId="pst_01ka77", caseId="cas_01ka31"),
        _moment("charging", "synced", 8, at(days=3), operationId="op_01ka55"),
        _moment("lead", "synced", 9, at(days=212), leadId="lea_01ka02"),
    ],
    "next": None,
}
SURVEYS: dict[str, Any] = {
    "surveys": {
        "8093442": {
            "name": "After a closed case",
            "rules": [
                {
                    "object": "case",
                    "event": "edit",
                    "where": {"status": "closed"},
                    "parameters": {"agent": "assignedTo", "priority": "priority"},
                    "cooldownDays": 30.0,
                    "samplingRate": 0.5,
                    "quietHours": {"from": "20:00", "to": "08:00", "timeZone": "Europe/Vienna"},
                }
            ],
            "schedule": {"expression": "cron(0 2 * * ? *)", "timeZone": "Europe/Vienna", "full": False},
            "reminders": {"max": 2, "afterDays": 5.0},
            "expiresDays": 30.0,
            "segmentCode": None,
            "variables": {"agent": "custom1"},
            "pageSize": 100,
            "overlapHours": 24,
        }
    }
}


def _invitation(number: int, status: str, **held: Any) -> dict[str, Any]:
    return {
        "invitationId": f"inv_{number}",
        "surveyUrl": f"https://survey.example.com/t/{number}",
        "status": status,
        "surveyId": "8093442",
        "email": f"person{number}@example.com",
        "firstName": None,
        "lastName": None,
        "customerId": f"acc_01ka{number}",
        "transactionId": None,
        "delivery": "mail",
        "reminders": 0,
        "createdAt": at(days=number),
        "expiresAt": at(days=number - 30),
        "remindedAt": None,
        "respondedAt": None,
        "responseId": None,
    } | held


INVITATIONS: dict[str, Any] = {
    "items": [
        _invitation(1, "issued"),
        _invitation(2, "responded", respondedAt=at(days=1), responseId="r2"),
        _invitation(6, "reminded", reminders=1, remindedAt=at(days=1)),
        _invitation(12, "responded", reminders=1, respondedAt=at(days=9), responseId="r12"),
    ],
    "next": None,
}


def _dump(number: int, **held: Any) -> dict[str, Any]:
    return {
        "dumpId": f"dmp_{number}",
        "surveyId": "8093442",
        "status": "complete",
        "full": False,
        "from": at(days=number + 1),
        "to": at(days=number),
        "rows": 412,
        "imported": 409,
        "unmatched": 3,
        "files": [
            {
                "format": name,
                "url": f"https://dumps.example.com/{name}",
                "rows": 412,
                "sha256": "0" * 64,
                "bytes": size,
            }
            for name, size in (("jsonl", 981_233), ("csv", 411_010))
        ],
        "manifest": "https://dumps.example.com/manifest",
        "countCheck": {"survey": 18_240, "ours": 18_240, "agrees": True},
        "code": None,
        "error": None,
        "action": None,
        "startedAt": at(days=number, hours=12),
        "updatedAt": at(days=number, hours=12),
    } | held


DUMPS: dict[str, Any] = {
    "items": [
        _dump(
            0, status="running", rows=180, imported=180, unmatched=0, files=[], manifest=None, countCheck=None
        ),
        _dump(1),
    ],
    "next": None,
}
SOCIAL: dict[str, Any] = {
    "criteria": {
        "communities": ["twitter", "facebook"],
        "languages": ["en", "de"],
        "keywords": ["outage", "no signal"],
        "topics": [],
        "sentiments": ["negative"],
    },
    "assignmentRules": [
        {
            "when": {
                "community": "twitter",
                "language": None,
                "sentiment": "negative",
                "topics": [],
                "keywords": ["outage"],
            },
            "assignTo": "network-desk",
        }
    ],
    "ownAccounts": [{"community": "twitter", "authorId": "1001"}],
    "engagement": {
        "replyMethod": "PUT",
        "replyPath": "engage/v1/messages/{messageId}",
        "activityPath": "engage/v1/messages/{messageId}/activities/{replyId}",
        "replyField": "reply",
        "idField": "id",
        "textField": "body",
        "agentField": "agentId",
    },
    "reopenWindowDays": 7,
}
PARTNERS: dict[str, Any] = {
    "items": [
        {
            "partnerId": f"prt_01ka{i}",
            "name": name,
            "scopes": scopes,
            "createdAt": at(days=300 - i),
            "keys": [
                {"keyId": f"01kakey{i}{letter}", "createdAt": at(days=age)}
                for letter, age in zip("ab", ages, strict=False)
            ],
        }
        for i, (name, scopes, ages) in enumerate(
            (
                ("Listening platform", ["social:write"], [210]),
                ("Loyalty CRM", ["members:read", "members:write", "ledger:read", "ledger:write"], [190, 2]),
                ("Contact centre", ["crm:read", "crm:write", "triggers:read", "triggers:write"], [120]),
            )
        )
    ],
    "next": None,
}
AUDIT: dict[str, Any] = {
    "items": [
        {
            "auditId": f"aud_{number}",
            "at": moment,
            "by": "admin",
            "action": action,
            "target": target,
            "outcome": "done",
            "correlationId": f"cor_{number}",
        }
        for number, (moment, action, target) in enumerate(
            (
                (at(hours=3), "settings.change", {"area": "social"}),
                (at(days=2), "key.create", {"partnerId": "prt_01ka1"}),
                (at(days=9), "customer.erase", {"customerId": "acc_01k9zz"}),
            )
        )
    ],
    "next": None,
}


def _versions(settings: object) -> dict[str, Any]:
    return {
        "items": [
            {"version": n, "settings": settings, "updatedAt": at(days=9 - n), "updatedBy": "admin"}
            for n in (3, 2, 1)
        ],
        "next": None,
    }


def _settings(area: str) -> dict[str, Any]:
    held = {"social": SOCIAL, "surveys": SURVEYS}.get(area, {})
    return {"version": 3, "settings": held, "updatedAt": at(days=6), "updatedBy": "admin"}


def answer(
    method: str, path: str, query: dict[str, str], headers: dict[str, str], body: bytes | None
) -> Answer:
    """The sample's answer to one call; 404 for what it does not have."""
    from switchboard.settings.areas import areas

    if headers.get("x-api-key") != KEY:
        return 401, {"message": "Unauthorized"}
    match method, path.split("/")[1:]:
        case "GET", ["settings"]:
            stamps = {"version": 3, "updatedAt": at(days=6), "updatedBy": "admin"}
            return 200, {"items": [{"area": area} | stamps for area in areas()], "next": None}
        case "GET", ["settings", area, "schema"]:
            return 200, areas()[area].model_json_schema(mode="validation")
        case "GET", ["settings", area, "versions"]:
            return 200, _versions(_settings(area)["settings"])
        case "GET", ["settings", area]:
            return 200, _settings(area)
        case "GET", ["triggers", trigger_id]:
            return 200, next(one for one in TRIGGERS if one["triggerId"] == trigger_id)
        case "GET", ["triggers", _, "deliveries"]:
            return 200, DELIVERIES
        case "GET", ["ledger", "summary"]:
            return 200, SUMMARY
        case "GET", ["ledger", _]:
            return 200, ENTRY
        case "POST", ["ledger", "resubmissions"]:
            return 200, DRY_RUN
        case "GET", ["crm", "customers", "acc_01kahopper"]:
            return 200, CUSTOMER
        case "GET", ["customers", "acc_01kahopper", "timeline"]:
            return 200, TIMELINE
        case "GET", ["surveys", _, "invitations"]:
            return 200, INVITATIONS
        case "GET", ["surveys", _, "dumps"]:
            return 200, DUMPS
        case "GET", [name]:
            lists: dict[str, Any] = {
                "me": {"partnerId": "admin", "name": "Administrator", "scopes": ["admin"]},
                "overview": OVERVIEW,
                "queues": QUEUES,
                "ledger": LEDGER,
                "triggers": {"items": TRIGGERS, "next": None},
                "partners": PARTNERS,
                "audit": AUDIT,
            }
            if name in lists:
                return 200, lists[name]
    return 404, {"title": "Not found", "detail": "Not found", "status": 404, "code": "not-found"}
