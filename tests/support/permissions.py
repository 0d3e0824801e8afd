"""Who may do what in AWS: each step, in a mocked account, has its own role, its own variables and memory.

moto lets everybody do everything, and a test runs all steps in one process. Where `SWITCHBOARD_STRICT` is set
(`make prove`), a step has what its function has on AWS and no more:

- each AWS call of its code is held against the role that the template gives to its function: the action, the
  resource (a table or one of its indexes, a queue, a secret, the bucket or its objects, the bus) and the
  role's condition on leading keys. A call that is not granted fails the test even where the code goes on
  without its answer;
- a variable that the template does not give to its function is not there;
- at a step's first turn, what the process has cached for others is forgotten.

What was used is written down (`SWITCHBOARD_ACTIONS_USED`, a file of JSON Lines), so that a grant which no
test needs can be found after a whole run (`python -m tools.prove`).
"""

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.signers import RequestSigner

from tests.support import template as policy

USED_FILE = "SWITCHBOARD_ACTIONS_USED"
STRICT = "SWITCHBOARD_STRICT"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a call needs.

    Attributes:
        action: of IAM.
        resource: the logical id of what it is done to, `Table/index/Name` or `Bucket/*` where it is a part of
            it; "" where a test has made it, or the call does not say.
        keys: the partition keys that a call of DynamoDB names.
    """

    action: str
    resource: str = ""
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Grant:
    """What a statement of a role allows: `leading` are patterns of leading keys, None for all keys."""

    action: str
    resource: str
    leading: tuple[str, ...] | None = None

    def covers(self, asked: Asked) -> bool:
        """Whether it is enough for a call."""
        return (
            self.action == asked.action
            and (not asked.resource or self.resource in (asked.resource, ""))
            and (
                self.leading is None
                or all(any(fnmatchcase(key, pattern) for pattern in self.leading) for key in asked.keys)
            )
        )


_PREFIX = {"dynamodbstreams": "dynamodb", "sesv2": "ses"}
_TRANSACTED = {
    "Put": "dynamodb:PutItem",
    "Update": "dynamodb:UpdateItem",
    "Delete": "dynamodb:DeleteItem",
    "ConditionCheck": "dynamodb:ConditionCheckItem",
}
_SAME_AS = {
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    "s3:HeadObject": "s3:GetObject",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:ListObjectVersions": "s3:ListBucketVersions",
    "s3:CreateMultipartUpload": "s3:PutObject",
    "s3:UploadPart": "s3:PutObject",
    "s3:CompleteMultipartUpload": "s3:PutObject",
}
_OF_A_VERSION = {"s3:GetObject": "s3:GetObjectVersion", "s3:DeleteObject": "s3:DeleteObjectVersion"}
_OF_THE_BUCKET = frozenset({"s3:ListBucket", "s3:ListBucketVersions"})
_HANDED_OVER = frozenset({"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"})
"""What Lambda does with a function's role on its own, to feed it."""

NOT_SEEN_HERE = _HANDED_OVER | {
    *("logs:CreateLogStream", "logs:PutLogEvents", "xray:PutTraceSegments", "xray:PutTelemetryRecords"),
    *("dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams"),
    *("kms:Decrypt", "kms:GenerateDataKey"),
}
"""Actions that the service itself does for a function, so no test can see them."""


class NotAllowed(Exception):
    """A step used an action that its role does not grant, or a variable that its function does not have."""


_acting: list[str] = []
_started: set[str] = set()
_denied: list[str] = []
_used: set[tuple[str, str, str]] = set()
_added: set[tuple[str, str]] = set()
_forget: list[Callable[[], None]] = []


@contextmanager
def acting_as(step: str) -> Iterator[None]:
    """Within this block a step runs, with empty caches the first time; with "", the test itself."""
    if step and _forget and step not in _started:
        _started.add(step)
        _forget[-1]()
    _acting.append(step)
    try:
        yield
    finally:
        _acting.pop()


@contextmanager
def enforced(forget: Callable[[], None]) -> Iterator[None]:
    """Give each step what its function has, under `SWITCHBOARD_STRICT`; `forget` empties all caches."""
    if STRICT not in os.environ:
        yield
        return
    make = BaseClient._make_api_call  # type: ignore[attr-defined]
    presign = RequestSigner.generate_presigned_url

    def call(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
        if step := acting():
            for asked in asked_for(client.meta.service_model.service_name, operation, arguments):
                _check(step, asked)
        return make(client, operation, arguments)

    def sign(signer: Any, **options: Any) -> Any:
        if step := acting():  # whoever has the URL acts with the role that signed it
            _check(step, Asked(f"s3:{options['operation_name']}", "DumpsBucket/*"))
        return presign(signer, **options)

    granted()  # reads the template, which asks for variables itself
    _named_by_variables()
    _denied.clear()
    _started.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", call)
        patch.setattr(RequestSigner, "generate_presigned_url", sign)
        patch.setattr(os, "environ", _Environment(os.environ))
        _forget.append(forget)
        try:
            yield
        finally:
            _forget.pop()
    if _denied:  # though the code may have gone on without it
        raise NotAllowed("\n".join(dict.fromkeys(_denied)))


# who acts ---------------------------------------------------------------------------------------------------

_ROOT = Path(__file__).parents[2]
_FUNCTIONS = f"{_ROOT / 'functions'}/"
_TESTS = f"{_ROOT / 'tests'}/"
_API_CALL = "_api_call"


def acting() -> str:
    """The step whose code is running, by its frames; "" for a test's own."""
    frame = sys._getframe(1)
    # A fault that stands around the client's call is no one of its own.
    named: Any = frame
    while named is not None and not (
        named.f_code.co_name == _API_CALL and "botocore" in named.f_code.co_filename
    ):
        named = named.f_back
    found: Any = named or frame.f_back
    while found is not None:
        path = found.f_code.co_filename
        if path.startswith(_FUNCTIONS):
            return str(path.removeprefix(_FUNCTIONS).partition("/")[0])
        if path.startswith(_TESTS) and path != __file__:
            return ""
        found = found.f_back
    return _acting[-1] if _acting else ""  # a thread, which does not say whose it is


# what is asked for ------------------------------------------------------------------------------------------


def asked_for(service: str, operation: str, arguments: Mapping[str, Any]) -> Iterator[Asked]:
    """What a call needs of a role."""
    action = f"{_PREFIX.get(service, service)}:{operation}"
    action = _SAME_AS.get(action, action)
    match service:
        case "dynamodb":
            yield from _of_tables(action, arguments)
        case "dynamodbstreams":
            arn = arguments.get("StreamArn", "")
            yield Asked(action, f"{arn.split('/')[1]}/stream" if arn else "")
        case "sqs":
            name = arguments.get("QueueName") or arguments["QueueUrl"].rpartition("/")[2]
            yield Asked(action, _queue(name))
        case "s3":
            if "VersionId" in arguments:
                action = _OF_A_VERSION.get(action, action)
            yield Asked(action, "DumpsBucket" if action in _OF_THE_BUCKET else "DumpsBucket/*")
        case "events":
            yield Asked(action, "CrmEventBus")
        case "secretsmanager":
            yield Asked(action, _secret(arguments["SecretId"]))
        case _:
            yield Asked(action)


def _of_tables(action: str, arguments: Mapping[str, Any]) -> Iterator[Asked]:
    if action == "dynamodb:TransactWriteItems":
        for item in arguments["TransactItems"]:
            [(kind, body)] = item.items()
            yield Asked(_TRANSACTED[kind], body["TableName"], _keys(body))
        return
    if "RequestItems" in arguments:
        for table, body in arguments["RequestItems"].items():
            yield Asked(action, table, tuple(key for one in body["Keys"] for key in _keys({"Key": one})))
        return
    table = arguments["TableName"]
    index = arguments.get("IndexName")
    yield Asked(action, f"{table}/index/{index}" if index else table, _keys(arguments))


def _keys(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """The partition keys of a request, of the table or of the index."""
    item = arguments.get("Key") or arguments.get("Item")
    if item is not None:
        [key] = [item[name]["S"] for name in ("pk", "id") if name in item]
        return (key,)
    condition = arguments.get("KeyConditionExpression")
    if condition is None:  # a scan has none, and then no condition of a role holds it back
        return ()
    hashed = _hash_key(arguments["TableName"], arguments.get("IndexName"))
    names = arguments.get("ExpressionAttributeNames", {})
    for name, value in re.findall(r"([#\w]+)\s*=\s*(:\w+)", condition):
        if names.get(name, name) == hashed:
            return (arguments["ExpressionAttributeValues"][value]["S"],)
    raise AssertionError(f"no partition key in {condition}")


@cache
def _hash_key(table: str, index: str | None) -> str:
    schemas = {
        None: _tables()[table]["KeySchema"],
        **{one["IndexName"]: one["KeySchema"] for one in _tables()[table].get("GlobalSecondaryIndexes", [])},
    }
    [name] = [key["AttributeName"] for key in schemas[index] if key["KeyType"] == "HASH"]
    return str(name)


@cache
def _template() -> policy.Template:
    return policy.expand()


@cache
def _tables() -> dict[str, Any]:
    return policy.resources(_template(), "AWS::DynamoDB::Table")


def _queue(name: str) -> str:
    """A mocked queue is called as the variable that holds its URL, and its dead-letter queue `dead_…`."""
    own = name.removeprefix("dead_").removesuffix(".fifo").upper()
    queue = _named_by_variables().get(own, "")
    if queue and name.startswith("dead_"):
        policy_of = policy.resources(_template(), "AWS::SQS::Queue")[queue]["RedrivePolicy"]
        return policy.target(policy_of["deadLetterTargetArn"]) or ""
    return queue


def _secret(arn: str) -> str:
    """The template's secret whose ARN a test has put into the variable."""
    for name, logical_id in _named_by_variables().items():
        if name.endswith("_SECRET_ARN") and _behind().get(name) == arn:
            return logical_id
    return ""


@cache
def _named_by_variables() -> dict[str, str]:
    """Each variable that holds the name of one resource, and that resource."""
    return {
        name: policy.target(value) or ""
        for variables in variables_of().values()
        for name, value in variables.items()
        if isinstance(value, dict)
    }


# what is granted --------------------------------------------------------------------------------------------


def _check(step: str, asked: Asked) -> None:
    grants = granted().get(step)
    if grants is None:  # a step that the template does not name has no role to be held against
        return
    if not any(grant.covers(asked) for grant in grants):
        keys = f" with the keys {sorted(set(asked.keys))}" if asked.keys else ""
        _denied.append(
            f"{step} may not do {asked.action} to {asked.resource or 'this'}{keys}:"
            " its role does not grant it"
        )
        raise NotAllowed(_denied[-1])
    use = (step, asked.action, asked.resource)
    if use not in _used:
        _used.add(use)
        if path := _behind().get(USED_FILE):
            with open(path, "a") as file:
                file.write(json.dumps(use) + "\n")


@cache
def granted() -> dict[str, frozenset[Grant]]:
    """What each step's role grants."""
    step_of = {}
    for logical_id, function in policy.resources(_template(), "AWS::Lambda::Function").items():
        role = policy.target(function["Role"])
        if role is not None:
            step_of[role] = _snake(logical_id.removesuffix("Function"))
    found: dict[str, set[Grant]] = {step: set() for step in step_of.values()}
    for role, statement in policy.role_statements(_template()):
        if role not in step_of or statement["Effect"] != "Allow":
            continue
        condition = statement.get("Condition", {})
        leading = condition.get("ForAllValues:StringLike", {}).get("dynamodb:LeadingKeys")
        for action in _as_list(statement["Action"]):
            for resource in _as_list(statement["Resource"]):
                held = tuple(_as_list(leading)) if leading is not None else None
                found[step_of[role]].add(Grant(action, _named(resource), held))
    return {step: frozenset(grants) for step, grants in found.items()}


def _named(resource: Any) -> str:
    """A statement's resource as `Asked` writes it; "" for what has no logical id, as a mail's sender."""
    match resource:
        case {"Fn::GetAtt": [str(logical_id), "StreamArn"]}:
            return f"{logical_id}/stream"
        case {"Fn::GetAtt": [str(logical_id), _]} | {"Ref": str(logical_id)}:
            return logical_id
        case {"Fn::Sub": str(text)} if found := re.fullmatch(r"\$\{(\w+)\.Arn\}(/.+)", text):
            return found[1] + found[2]
        case _:
            return ""


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


# what a function's environment has --------------------------------------------------------------------------

_AMBIENT = frozenset(os.environ)
"""What was there before any deployment; Lambda has variables of its own too."""


@cache
def variables_of() -> dict[str, dict[str, Any]]:
    """Each step's variables, as the template gives them."""
    return {
        _snake(logical_id.removesuffix("Function")): function.get("Environment", {}).get("Variables", {})
        for logical_id, function in policy.resources(_template(), "AWS::Lambda::Function").items()
    }


@contextmanager
def given_too(step: str, *names: str) -> Iterator[None]:
    """Within this block a step's function has these variables too, as an extension's template has it."""
    _added.update((step, name) for name in names)
    try:
        yield
    finally:
        _added.difference_update((step, name) for name in names)


class _Environment(MutableMapping[str, str]):
    """The environment as the acting step has it: what its function is not given is not there."""

    def __init__(self, behind: MutableMapping[str, str]) -> None:
        self.behind = behind

    def _is_hidden(self, name: str) -> bool:
        if name in _AMBIENT or name.startswith("AWS_") or name not in self.behind:
            return False
        step = acting()
        given = variables_of().get(step)
        return given is not None and name not in given and (step, name) not in _added

    def __getitem__(self, name: str) -> str:
        if self._is_hidden(name):
            _denied.append(f"{acting()} reads {name}, which its function is not given")
            raise KeyError(name)
        return self.behind[name]

    def get(self, name: str, default: Any = None) -> Any:
        """A step may ask what it has."""
        return self.behind.get(name, default) if not self._is_hidden(name) else default

    def __contains__(self, name: object) -> bool:
        return name in self.behind and not self._is_hidden(str(name))

    def __setitem__(self, name: str, value: str) -> None:
        self.behind[name] = value

    def __delitem__(self, name: str) -> None:
        del self.behind[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in self.behind if not self._is_hidden(name))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def copy(self) -> dict[str, str]:
        """All of it, as `os.environ.copy()`."""
        return dict(self)


def _behind() -> MutableMapping[str, str]:
    environment = os.environ
    return environment.behind if isinstance(environment, _Environment) else environment
