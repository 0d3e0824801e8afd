"""A person in every flow, and a look into every place where something of him could be kept."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

from switchboard import aws
from tests.support.deployment import Deployment
from tests.support.tables import table_resources

FIRST, LAST = "Canaryna", "Vögelchen"
EMAIL = "canaryna.voegel@example.com"
PHONE = "+4930987654321"
CANARIES = (FIRST.casefold(), LAST.casefold(), EMAIL, "987654321")
"""What must not be found any more, in any place; compared without case."""


def tables() -> dict[str, list[dict[str, Any]]]:
    """Every item of every table, as DynamoDB holds it."""
    found = {}
    for name in table_resources():
        items: list[dict[str, Any]] = []
        for page in aws.dynamodb().get_paginator("scan").paginate(TableName=name):
            items += page["Items"]
        found[name] = items
    return found


def objects() -> Iterator[tuple[str, str]]:
    """Every version of every object of the bucket, as text."""
    versions = aws.s3().list_object_versions(Bucket="dumps")
    for version in versions.get("Versions", []):
        held = aws.s3().get_object(Bucket="dumps", Key=version["Key"], VersionId=version["VersionId"])
        content = held["Body"].read()
        text = gzip.decompress(content) if version["Key"].endswith(".gz") else content
        yield version["Key"], text.decode(errors="replace")


def messages(deployment: Deployment) -> Iterator[tuple[str, str]]:
    """What waits in the queues; it is seen again at once."""
    for name, url in deployment.queue_urls.items():
        while found := aws.sqs().receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in found:
                yield name, message["Body"]


def found(deployment: Deployment, *, queues: bool = True) -> set[str]:
    """The places in which the person still is: a table's or an object's name, with what was found."""
    places = set()
    for name, items in tables().items():
        for item in items:
            key = item.get("pk", item.get("id", {})).get("S", "")
            places |= {f"{name} {key}: {canary}" for canary in _in(json.dumps(item))}
    for name, text in objects():
        places |= {f"{name}: {canary}" for canary in _in(text)}
    for name, text in messages(deployment) if queues else ():
        places |= {f"{name}: {canary}" for canary in _in(text)}
    return places


def _in(text: str) -> Iterator[str]:
    # Texts inside of JSON inside of JSON: take every layer of escapes away.
    for _ in range(3):
        text = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace").replace("\\\\", "\\")
    folded = _unescaped(text).casefold()
    squeezed = "".join(sign for sign in folded if sign not in " ()-./")
    for canary in CANARIES:
        if canary in folded or canary in squeezed:
            yield canary


def _unescaped(text: str) -> str:
    """`\\u00f6` and the like as they are."""
    import re

    return re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)
