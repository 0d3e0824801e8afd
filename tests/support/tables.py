"""A mocked AWS account (moto) with the tables of `template.yaml`, so that tests and deployment agree.

`mocked_aws()` is the whole of it:

    @pytest.fixture(autouse=True)
    def aws() -> Iterator[None]:
        with mocked_aws():
            yield
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber
from moto.core.serialize import BaseJSONSerializer
from samcli.yamlhelper import yaml_parse  # type: ignore[import-untyped]

from switchboard import aws

TEMPLATE = Path(__file__).parents[2] / "template.yaml"

_TAKEN_OVER = (
    "AttributeDefinitions",
    "KeySchema",
    "GlobalSecondaryIndexes",
    "LocalSecondaryIndexes",
    "BillingMode",
)


@cache
def template() -> dict[str, Any]:
    """The template as it stands in the repository; intrinsic functions as `{"Ref": …}` and `{"Fn::…": …}`."""
    parsed: dict[str, Any] = yaml_parse(TEMPLATE.read_text())
    return parsed


def table_resources() -> dict[str, dict[str, Any]]:
    """Logical id to properties, of each `AWS::DynamoDB::Table`."""
    return {
        logical_id: resource["Properties"]
        for logical_id, resource in template()["Resources"].items()
        if resource["Type"] == "AWS::DynamoDB::Table"
    }


def table_environment() -> dict[str, str]:
    """The functions' environment variables that name a table; a mocked table is called by its logical id."""
    variables = template()["Globals"]["Function"]["Environment"]["Variables"]
    tables = table_resources()
    return {
        name: value["Ref"]
        for name, value in variables.items()
        if isinstance(value, dict) and value.get("Ref") in tables
    }


def create_tables() -> None:
    """Make the template's tables in the present (mocked) account."""
    for logical_id, properties in table_resources().items():
        request: dict[str, Any] = {name: properties[name] for name in _TAKEN_OVER if name in properties}
        if "StreamSpecification" in properties:
            request["StreamSpecification"] = properties["StreamSpecification"] | {"StreamEnabled": True}
        aws.dynamodb().create_table(TableName=logical_id, **request)
        if "TimeToLiveSpecification" in properties:
            aws.dynamodb().update_time_to_live(
                TableName=logical_id, TimeToLiveSpecification=properties["TimeToLiveSpecification"]
            )


@contextmanager
def mocked_aws() -> Iterator[None]:
    """A fresh account with empty tables, its names and dummy credentials in the environment."""
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB", "AWS_SESSION_TOKEN"):
            patch.delenv(name, raising=False)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
            patch.setenv(name, "eu-central-1")
        for name, value in table_environment().items():
            patch.setenv(name, value)
        _one_request_at_a_time(patch)
        _items_as_they_are(patch)
        create_tables()
        yield


def _one_request_at_a_time(patch: pytest.MonkeyPatch) -> None:
    """DynamoDB serializes transactions; moto takes no lock, so threads would mix them up."""
    lock = threading.Lock()
    unguarded = BotocoreStubber.process_request

    def guarded(stubber: BotocoreStubber, request: Any) -> Any:
        with lock:
            return unguarded(stubber, request)

    patch.setattr(BotocoreStubber, "process_request", guarded)


def _items_as_they_are(patch: pytest.MonkeyPatch) -> None:
    """moto's items are in wire form already; looking at each member again takes most of an answer's time."""
    serialize = BaseJSONSerializer._serialize_type_structure

    def quick(self: BaseJSONSerializer, serialized: Any, value: Any, shape: Any, key: str) -> None:
        if shape.name == "AttributeValue" and isinstance(value, dict):
            serialized[key] = value
        else:
            serialize(self, serialized, value, shape, key)

    patch.setattr(BaseJSONSerializer, "_serialize_type_structure", quick)
