"""The check of the permissions: it grants what the template grants, and nothing beside it."""

import pytest

from tests.support.permissions import Asked, asked_for, granted


@pytest.mark.parametrize(
    ("step", "asked", "is_granted"),
    [
        ("sweeper", Asked("dynamodb:Query", "StateTable/index/Open", ("pending#1",)), True),
        ("sweeper", Asked("dynamodb:Query", "StateTable/index/Customer", ("c",)), False),
        ("crm_event_intake", Asked("dynamodb:PutItem", "StateTable", ("TOLD#a",)), True),
        ("crm_event_intake", Asked("dynamodb:PutItem", "StateTable", ("LEDGER#a",)), False),
        ("lead_work", Asked("secretsmanager:GetSecretValue", "MetaSecret"), True),
        ("lead_work", Asked("secretsmanager:GetSecretValue", "SemSecret"), False),
        ("retention", Asked("s3:DeleteObjectVersion", "DumpsBucket/*"), True),
        ("survey_dump", Asked("s3:DeleteObjectVersion", "DumpsBucket/*"), False),
    ],
)
def test_a_role_grants_what_the_template_says(step: str, asked: Asked, is_granted: bool) -> None:
    assert any(grant.covers(asked) for grant in granted()[step]) == is_granted


def test_a_call_asks_for_its_index_and_its_key() -> None:
    query = {
        "TableName": "StateTable",
        "IndexName": "Open",
        "KeyConditionExpression": "openKey = :k AND dueAt < :now",
        "ExpressionAttributeValues": {":k": {"S": "pending#1"}, ":now": {"S": "2026"}},
    }
    assert list(asked_for("dynamodb", "Query", query)) == [
        Asked("dynamodb:Query", "StateTable/index/Open", ("pending#1",))
    ]


def test_a_transaction_asks_for_each_of_its_writes() -> None:
    writes = [
        {"Put": {"TableName": "CrmTable", "Item": {"pk": {"S": "A"}}}},
        {"ConditionCheck": {"TableName": "CrmTable", "Key": {"pk": {"S": "B"}}}},
    ]
    assert list(asked_for("dynamodb", "TransactWriteItems", {"TransactItems": writes})) == [
        Asked("dynamodb:PutItem", "CrmTable", ("A",)),
        Asked("dynamodb:ConditionCheckItem", "CrmTable", ("B",)),
    ]
