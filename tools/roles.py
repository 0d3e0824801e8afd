"""A deployed stack whose functions may do only what their roles grant.

Under `SWITCHBOARD_STRICT` the emulator gives each function its role's credentials and evaluates the role's
policies. Two things it cannot hold are set aside in the template that is deployed; a third lets all pass:

- it speaks plain HTTP on loopback, which the policies of queues and bucket refuse (held by the policy test);
- a call of a table's stream is to it a call of everything (held by `tests/support/permissions.py`);
- it knows no leading keys, so that a condition on them always fits (held by the same).
"""

import os
from pathlib import Path
from typing import Any

from samcli.yamlhelper import yaml_dump, yaml_parse  # type: ignore[import-untyped]

STRICT = "SWITCHBOARD_STRICT"


def hold() -> bool:
    """Whether functions may do only what their roles grant."""
    return STRICT in os.environ


def possible(template: Path) -> Path:
    """The built template as the emulator can hold it, in a file beside it."""
    held = yaml_parse(template.read_text())
    resources = held["Resources"]
    for logical_id, resource in list(resources.items()):
        match resource["Type"]:
            case "AWS::SQS::QueuePolicy" | "AWS::S3::BucketPolicy":
                document = resource["Properties"]["PolicyDocument"]
                document["Statement"] = [one for one in document["Statement"] if not _refuses_http(one)]
                if not document["Statement"]:
                    del resources[logical_id]
            case "AWS::IAM::Role":
                for policy in resource["Properties"].get("Policies", []):
                    policy["PolicyDocument"]["Statement"] = [
                        one | {"Resource": "*"} if _reads_a_stream(one) else one
                        for one in policy["PolicyDocument"]["Statement"]
                    ]
            case _:
                pass
    target = template.with_name("template-roles.yaml")
    target.write_text(yaml_dump(held))
    return target


def _refuses_http(statement: dict[str, Any]) -> bool:
    return statement["Effect"] == "Deny" and "aws:SecureTransport" in str(statement.get("Condition"))


def _reads_a_stream(statement: dict[str, Any]) -> bool:
    return "dynamodb:GetRecords" in statement["Action"]
