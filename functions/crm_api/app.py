"""/crm/customers and below: read and write the CRM's records; its members are in `members`.

Changes come back as CRM events by the table's stream. With a CRM outside, records are read through, and
nothing is changed here.
"""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.crm_api import logic, members
from functions.crm_api.models import (
    Case,
    CaseChange,
    Customer,
    CustomerChange,
    CustomerQuery,
    Followup,
    NewCase,
    NewCustomer,
    NewFollowup,
    NewTask,
    Task,
    TaskChange,
    shown,
)
from switchboard import work
from switchboard.api import Answer, Api, Call
from switchboard.connectors import crm
from switchboard.connectors.builtin_crm import BuiltinCrm, Record, RecordRef, Records
from switchboard.crm import CustomerFilter, RecordReader
from switchboard.errors import SwitchboardError
from switchboard.models import ApiModel, PageOf, PageQuery

api = Api("crm")
api.include(members.api)

_FLOW = "crm_api"
_CUSTOMERS = "/crm/customers"
_CUSTOMER = f"{_CUSTOMERS}/{{accountId}}"
_CASES = f"{_CUSTOMER}/cases"
_CASE = f"{_CASES}/{{caseId}}"
_FOLLOWUPS = f"{_CASE}/followups"
_FOLLOWUP = f"{_FOLLOWUPS}/{{followupId}}"
_TASKS = f"{_CUSTOMER}/tasks"
_TASK = f"{_TASKS}/{{taskId}}"


def _records() -> Records:
    held = crm()
    if not isinstance(held, BuiltinCrm):
        raise SwitchboardError("crm-elsewhere")
    return held.records


def _reader() -> RecordReader:
    held = crm()
    if not isinstance(held, RecordReader):
        raise SwitchboardError("crm-elsewhere")
    return held


def _read(model: type[ApiModel], ref: RecordRef) -> Answer:
    record = _reader().get_record(
        ref.account_id, case_id=ref.case_id, followup_id=ref.followup_id, task_id=ref.task_id
    )
    headers = {"ETag": logic.etag(record)} if "rev" in record else {}
    return Answer(200, shown(model, record), headers)


def _created(call: Call, model: type[ApiModel], record: Record) -> Answer:
    _log(call, record, "created")
    ref = RecordRef.of(record)
    own_id = list(ref.ids.values())[-1]
    headers = {"Location": f"{call.path.rstrip('/')}/{own_id}", "ETag": logic.etag(record)}
    return Answer(201, shown(model, record), headers)


def _key(call: Call) -> str | None:
    """What names a new record: with an Idempotency-Key a repeat finds what a call that broke has written."""
    return call.work_id() if "idempotency-key" in call.headers else None


def _changed(call: Call, model: type[ApiModel], ref: RecordRef, fields: dict[str, Any]) -> Answer:
    expected = logic.expected_rev(call.headers.get("if-match"))
    record = _records().update(ref, fields, expected_rev=expected)
    _log(call, record, "changed")
    return Answer(200, shown(model, record), {"ETag": logic.etag(record)})


def _deleted(call: Call, ref: RecordRef) -> Answer:
    _records().delete(ref, expected_rev=logic.expected_rev(call.headers.get("if-match")))
    _log(call, {"object": ref.object, "rev": 0, **ref.ids}, "deleted")
    return Answer(204)


def _log(call: Call, record: Record, what: str) -> None:
    """The ledger's entry of a change: which record, who and when, never the data."""
    ref = RecordRef.of(record)
    work.ledger().accept(
        partner_id=call.caller.partner_id,
        flow=_FLOW,
        entity=f"{'/'.join(ref.ids.values())}@{record['rev']}",
        payload={},
        group=ref.account_id,
        correlation_id=call.correlation_id,
        status="synced",
        result={"object": ref.object, "change": what, **ref.ids},
        customer_id=ref.account_id,
    )


def _page_of(model: type[ApiModel], records: list[Record], cursor: str | None) -> Answer:
    items = [shown(model, record) for record in records]
    return Answer(200, PageOf[model](items=items, next=cursor))  # type: ignore[valid-type]


# customers ------------------------------------------------------------------------------------------------


@api.get(_CUSTOMERS, scope="crm:read", answers={200: PageOf[Customer]})
def list_customers(call: Call, query: CustomerQuery) -> Answer:
    """Customers, the newest first; `email`, `phone` and a social profile are found at once by their index."""
    number = logic.searched_phone(query)
    if (query.community is None) != (query.author_id is None):
        missing = "community" if query.community is None else "authorId"
        raise logic.invalid(f"query/{missing}", "community and authorId go together")
    profile = (query.community, query.author_id) if query.community and query.author_id else None
    wanted = CustomerFilter(query.email, number, profile, query.q)
    page = _reader().find_customers(wanted, limit=query.limit, cursor=query.cursor)
    return _page_of(Customer, page.items, page.next)


@api.post(_CUSTOMERS, scope="crm:write", answers={201: Customer})
def create_customer(call: Call, body: NewCustomer) -> Answer:
    """Create a customer."""
    fields = logic.with_phone(logic.fields(body), None)
    return _created(call, Customer, _records().create_customer(fields, key=_key(call)))


@api.get(_CUSTOMER, scope="crm:read", answers={200: Customer})
def get_customer(call: Call, account_id: str) -> Answer:
    """One customer, with its ETag."""
    return _read(Customer, RecordRef(account_id))


@api.patch(_CUSTOMER, scope="crm:write", answers={200: Customer})
def change_customer(call: Call, account_id: str, body: CustomerChange) -> Answer:
    """Change what is named. With If-Match only the revision that was read: 412 for any other."""
    ref = RecordRef(account_id)
    fields = logic.fields(body, required=["lastName"])
    country = _records().get(ref).get("country") if logic.needs_country(fields) else None
    return _changed(call, Customer, ref, logic.with_phone(fields, country))


@api.delete(_CUSTOMER, scope="crm:write", answers={204: None})
def delete_customer(call: Call, account_id: str) -> Answer:
    """Delete a customer and all that belongs to him; a tombstone without personal data stays."""
    return _deleted(call, RecordRef(account_id))


# cases ----------------------------------------------------------------------------------------------------


@api.get(_CASES, scope="crm:read", answers={200: PageOf[Case]})
def list_cases(call: Call, account_id: str, query: PageQuery) -> Answer:
    """A customer's cases, the oldest first."""
    page = _reader().list_records("case", account_id, limit=query.limit, cursor=query.cursor)
    return _page_of(Case, page.items, page.next)


@api.post(_CASES, scope="crm:write", answers={201: Case})
def create_case(call: Call, account_id: str, body: NewCase) -> Answer:
    """Open a case of a customer."""
    return _created(call, Case, _records().create_case(account_id, _set(body), key=_key(call)))


@api.get(_CASE, scope="crm:read", answers={200: Case})
def get_case(call: Call, account_id: str, case_id: str) -> Answer:
    """One case, with its ETag."""
    return _read(Case, RecordRef(account_id, case_id))


@api.patch(_CASE, scope="crm:write", answers={200: Case})
def change_case(call: Call, account_id: str, case_id: str, body: CaseChange) -> Answer:
    """Change what is named; closing a case is `status`."""
    fields = logic.fields(body, required=["subject", "status"])
    return _changed(call, Case, RecordRef(account_id, case_id), fields)


@api.delete(_CASE, scope="crm:write", answers={204: None})
def delete_case(call: Call, account_id: str, case_id: str) -> Answer:
    """Delete a case and its followups."""
    return _deleted(call, RecordRef(account_id, case_id))


# followups ------------------------------------------------------------------------------------------------


@api.get(_FOLLOWUPS, scope="crm:read", answers={200: PageOf[Followup]})
def list_followups(call: Call, account_id: str, case_id: str, query: PageQuery) -> Answer:
    """A case's followups, the oldest first."""
    page = _reader().list_records("followup", account_id, case_id, limit=query.limit, cursor=query.cursor)
    return _page_of(Followup, page.items, page.next)


@api.post(_FOLLOWUPS, scope="crm:write", answers={201: Followup})
def create_followup(call: Call, account_id: str, case_id: str, body: NewFollowup) -> Answer:
    """Add a followup to a case."""
    made = _records().create_followup(account_id, case_id, _set(body), key=_key(call))
    return _created(call, Followup, made)


@api.get(_FOLLOWUP, scope="crm:read", answers={200: Followup})
def get_followup(call: Call, account_id: str, case_id: str, followup_id: str) -> Answer:
    """One followup."""
    return _read(Followup, RecordRef(account_id, case_id, followup_id))


@api.delete(_FOLLOWUP, scope="crm:write", answers={204: None})
def delete_followup(call: Call, account_id: str, case_id: str, followup_id: str) -> Answer:
    """Delete a followup."""
    return _deleted(call, RecordRef(account_id, case_id, followup_id))


# tasks ----------------------------------------------------------------------------------------------------


@api.get(_TASKS, scope="crm:read", answers={200: PageOf[Task]})
def list_tasks(call: Call, account_id: str, query: PageQuery) -> Answer:
    """A customer's tasks, the oldest first."""
    page = _reader().list_records("task", account_id, limit=query.limit, cursor=query.cursor)
    return _page_of(Task, page.items, page.next)


@api.post(_TASKS, scope="crm:write", answers={201: Task})
def create_task(call: Call, account_id: str, body: NewTask) -> Answer:
    """Create a task for a customer."""
    return _created(call, Task, _records().create_task(account_id, _set(body), key=_key(call)))


@api.get(_TASK, scope="crm:read", answers={200: Task})
def get_task(call: Call, account_id: str, task_id: str) -> Answer:
    """One task, with its ETag."""
    return _read(Task, RecordRef(account_id, task_id=task_id))


@api.patch(_TASK, scope="crm:write", answers={200: Task})
def change_task(call: Call, account_id: str, task_id: str, body: TaskChange) -> Answer:
    """Change what is named."""
    return _changed(
        call, Task, RecordRef(account_id, task_id=task_id), logic.fields(body, required=["subject"])
    )


@api.delete(_TASK, scope="crm:write", answers={204: None})
def delete_task(call: Call, account_id: str, task_id: str) -> Answer:
    """Delete a task."""
    return _deleted(call, RecordRef(account_id, task_id=task_id))


def _set(body: ApiModel) -> dict[str, Any]:
    """A new record's fields; a null is the same as nothing."""
    return {name: value for name, value in logic.fields(body).items() if value is not None}


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """API Gateway entry."""
    return api(event, context)
