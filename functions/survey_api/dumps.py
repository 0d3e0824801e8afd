"""/surveys/{surveyId}/dumps: start one, see where it stands; /responses: what the CRM has of a customer."""

import os
from typing import Annotated

from pydantic import Field

from functions.survey_api.invitations import checked, scope_of
from functions.survey_api.models import CustomerResponse, DumpFile, DumpState, NewDump
from switchboard import cursors, work
from switchboard.api import Answer, Api, Call, parse_body
from switchboard.aws import s3
from switchboard.connectors import crm
from switchboard.crm import SurveyKeeper
from switchboard.errors import SwitchboardError
from switchboard.ledger import Entry
from switchboard.models import PageOf, PageQuery, QueryModel
from switchboard.surveys import DUMP
from switchboard.surveys.dumps import dumps, facts, fresh_run

api = Api("surveys")

_URL_SECONDS = 3600


class CustomerQuery(QueryModel):
    """Whose responses."""

    customer_id: Annotated[str, Field(min_length=1, max_length=200)]


def _state(entry: Entry) -> DumpState:
    files = entry.result.get("files", []) if entry.status == "synced" else []
    manifest = entry.result.get("manifest") if entry.status == "synced" else None
    shown = [
        DumpFile(
            format=file["format"],
            url=_url(file["key"]),
            rows=file["rows"],
            sha256=file["sha256"],
            bytes=file["bytes"],
        )
        for file in files
    ]
    return DumpState.model_validate(
        facts(entry) | {"files": shown, "manifest": _url(manifest) if manifest else None}, strict=False
    )


def _url(key: str) -> str:
    return s3().generate_presigned_url(
        "get_object", Params={"Bucket": os.environ["DUMPS_BUCKET"], "Key": key}, ExpiresIn=_URL_SECONDS
    )


@api.post(
    "/surveys/{surveyId}/dumps",
    scope="surveys:write",
    answers={202: DumpState},
    raw_body=lambda: [NewDump],
)
def start_dump(call: Call, survey_id: str) -> Answer:
    """Export every response that is new to the caller, into files and into the CRM; one run at a time."""
    wanted = parse_body(NewDump, call.raw_body, call.headers) if call.raw_body else NewDump()
    entry = dumps().start(
        checked(survey_id),
        partner_id=call.caller.partner_id,
        full=wanted.full,
        run=fresh_run(),
        correlation_id=call.correlation_id,
        by="call",
    )
    return Answer(202, _state(entry), {"Location": f"{call.path}/{entry.ledger_id}"})


@api.get("/surveys/{surveyId}/dumps", scope="surveys:read", answers={200: PageOf[DumpState]})
def list_dumps(call: Call, survey_id: str, query: PageQuery) -> Answer:
    """The survey's dumps, the newest first."""
    found, last = dumps().listed(
        checked(survey_id),
        partner_id=scope_of(call),
        limit=query.limit,
        before=cursors.decode(query.cursor, r"DUMP#[\w#.:-]{1,200}"),
    )
    entries = [work.ledger().get(ledger_id) for ledger_id in dict.fromkeys(i["ledgerId"] for i in found)]
    return Answer(
        200,
        PageOf[DumpState](
            items=[_state(entry) for entry in entries if entry is not None],
            next=cursors.encode(last),
        ),
    )


@api.get("/surveys/{surveyId}/dumps/{dumpId}", scope="surveys:read", answers={200: DumpState})
def get_dump(call: Call, survey_id: str, dump_id: str) -> Answer:
    """One dump; once it is complete, with URLs of its files that work for an hour."""
    entry = work.ledger().get(dump_id)
    if (
        entry is None
        or entry.flow != DUMP
        or entry.payload.get("surveyId") != survey_id
        or not call.caller.sees(entry.partner_id)
    ):
        raise SwitchboardError("not-found", "There is no such dump.")
    return Answer(200, _state(entry))


@api.get("/surveys/{surveyId}/responses", scope="surveys:read", answers={200: PageOf[CustomerResponse]})
def list_responses(call: Call, survey_id: str, query: CustomerQuery) -> Answer:
    """A customer's responses to this survey, as the CRM keeps them."""
    keeper = crm()
    if not isinstance(keeper, SurveyKeeper):
        raise SwitchboardError("not-configured", "This CRM connector keeps no survey responses.")
    found = [each for each in keeper.survey_responses(query.customer_id) if each.survey_id == survey_id]
    items = [
        CustomerResponse(
            survey_id=each.survey_id,
            survey_name=each.survey_name,
            response_id=each.response_id,
            status=each.status,
            responded_at=each.responded_at,
            invitation_id=each.invitation_id,
            answers=[
                {"code": code, "question": question, "answer": answer}
                for code, question, answer in each.answers
            ],
        )
        for each in found
    ]
    return Answer(200, PageOf[CustomerResponse](items=items))
