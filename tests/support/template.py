"""The policy of the deployment: rules over `template.yaml` as CloudFormation gets it, after SAM.

Each rule takes the expanded template and returns its findings, one line each. `tests/unit/test_template.py`
holds the real template against every rule, and plants a fault for every rule to show that it is found.
"""

import json
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from samcli.yamlhelper import yaml_parse  # type: ignore[import-untyped]
from samtranslator.translator.transform import transform  # type: ignore[import-untyped]

type Template = dict[str, Any]
type Resource = dict[str, Any]

TEMPLATE = Path(__file__).parents[2] / "template.yaml"

OPEN_ROUTES = re.compile(r"/health|/openapi\.json|/docs|/console|/console/\{asset\}|/hooks/.+")
"""The routes that need no key by contract; each hook proves its caller itself, the console is only files."""

WILDCARD_ACTIONS = {
    "xray:PutTraceSegments": "X-Ray's writes know no resources",
    "xray:PutTelemetryRecords": "X-Ray's writes know no resources",
}
"""The actions that may stand with the resource `*`, and why."""

WILDCARD_KEY_STATEMENTS = {
    "AccountAdministers": "without it nobody could administer the key, not even its owner",
}
"""The statements of a KMS key policy that may allow every action, and why."""

MANAGED_POLICIES = {
    "ApiGatewayAccountLogRole": "API Gateway insists on this policy for the account's log role",
}
"""The roles that may carry a managed policy, and why."""

MAX_RESOURCES = 500
MAX_TEMPLATE_BYTES = 1_000_000
FOURTEEN_DAYS = 14 * 24 * 3600
RECEIVES = 5
VISIBILITY_FACTOR = 6

NAME_PROPERTIES = {
    "AWS::ApiGateway::RestApi": "Name",
    "AWS::CloudWatch::Alarm": "AlarmName",
    "AWS::CloudWatch::Dashboard": "DashboardName",
    "AWS::DynamoDB::Table": "TableName",
    "AWS::Events::EventBus": "Name",
    "AWS::Events::Rule": "Name",
    "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
    "AWS::IAM::Role": "RoleName",
    "AWS::KMS::Alias": "AliasName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Lambda::LayerVersion": "LayerName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::S3::Bucket": "BucketName",
    "AWS::SNS::Topic": "TopicName",
    "AWS::SQS::Queue": "QueueName",
    "AWS::Scheduler::Schedule": "Name",
    "AWS::Scheduler::ScheduleGroup": "Name",
    "AWS::SecretsManager::Secret": "Name",
}

_METHODS = {
    "get",
    "put",
    "post",
    "delete",
    "options",
    "head",
    "patch",
    "trace",
    "x-amazon-apigateway-any-method",
}
_TLS_ONLY = {"Bool": {"aws:SecureTransport": "false"}}


class _NoManagedPolicies:
    """Stands in for the loader that would ask IAM for its managed policies."""

    def load(self) -> dict[str, str]:
        return {}


def expand(path: Path = TEMPLATE, *, layer: str = "s3://artifacts/code.zip") -> Template:
    """The template after the SAM transform, offline; code locations are placeholders."""
    template: Template = yaml_parse(path.read_text())
    for resource in template["Resources"].values():
        for location in {"CodeUri", "ContentUri"} & resource.get("Properties", {}).keys():
            code = layer if location == "ContentUri" else "s3://artifacts/code.zip"
            resource["Properties"][location] = code
    logging.getLogger("samtranslator").setLevel(logging.ERROR)
    with patch.dict(os.environ, {"AWS_DEFAULT_REGION": "us-east-1", "AWS_REGION": "us-east-1"}):
        expanded = transform(template, {}, _NoManagedPolicies())
    unshared: Template = json.loads(json.dumps(expanded))  # YAML's aliases are one object in many places
    return unshared


# reading a template -----------------------------------------------------------------------------------------


def resources(template: Template, kind: str) -> dict[str, Resource]:
    """Logical id to properties, of each resource of a type."""
    return {
        logical_id: resource.get("Properties", {})
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] == kind
    }


def target(value: Any) -> str | None:
    """The logical id that a `Ref` or a `Fn::GetAtt` points at."""
    match value:
        case {"Ref": str(logical_id)}:
            return logical_id
        case {"Fn::GetAtt": [str(logical_id), *_]}:
            return logical_id
        case {"Fn::GetAtt": str(path)}:
            return path.partition(".")[0]
        case _:
            return None


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def methods(template: Template) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and definition, of every method of every API."""
    for api in resources(template, "AWS::ApiGateway::RestApi").values():
        for path, operations in api["Body"]["paths"].items():
            for method, operation in operations.items():
                if method in _METHODS:
                    yield path, method, operation


def role_statements(template: Template) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every statement of every policy that a role (or a policy resource) carries, with who carries it."""
    for logical_id, role in resources(template, "AWS::IAM::Role").items():
        for policy in role.get("Policies", []):
            for statement in _as_list(policy["PolicyDocument"]["Statement"]):
                yield logical_id, statement
    for kind in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):
        for logical_id, policy in resources(template, kind).items():
            for statement in _as_list(policy["PolicyDocument"]["Statement"]):
                yield logical_id, statement


def dead_letter_queues(template: Template) -> set[str]:
    """Queues that a queue, a schedule, a bus rule, a stream or a function sends its failures to."""
    found: set[str | None] = set()
    for queue in resources(template, "AWS::SQS::Queue").values():
        found.add(target(queue.get("RedrivePolicy", {}).get("deadLetterTargetArn")))
    for schedule in resources(template, "AWS::Scheduler::Schedule").values():
        found.add(target(schedule["Target"].get("DeadLetterConfig", {}).get("Arn")))
    for rule in resources(template, "AWS::Events::Rule").values():
        found |= {target(each.get("DeadLetterConfig", {}).get("Arn")) for each in rule.get("Targets", [])}
    for function in resources(template, "AWS::Lambda::Function").values():
        found.add(target(function.get("DeadLetterConfig", {}).get("TargetArn")))
    for kind in ("AWS::Lambda::EventInvokeConfig", "AWS::Lambda::EventSourceMapping"):
        for config in resources(template, kind).values():
            on_failure = config.get("DestinationConfig", {}).get("OnFailure", {})
            found.add(target(on_failure.get("Destination")))
    return {queue for queue in found if queue is not None and queue in template["Resources"]}


def _alarmed(template: Template, namespace: str, metric: str) -> set[str]:
    """The resources whose metric an alarm watches."""
    return {
        logical_id
        for alarm in resources(template, "AWS::CloudWatch::Alarm").values()
        if (alarm.get("Namespace"), alarm.get("MetricName")) == (namespace, metric)
        for dimension in alarm.get("Dimensions", [])
        if (logical_id := target(dimension["Value"])) is not None
    }


def _denies_plain_http(document: dict[str, Any]) -> bool:
    return any(
        statement["Effect"] == "Deny"
        and statement.get("Principal") in ("*", {"AWS": "*"})
        and statement.get("Condition") == _TLS_ONLY
        and any(action.partition(":")[2] in ("*", "Publish") for action in _as_list(statement["Action"]))
        for statement in _as_list(document["Statement"])
    )


# API --------------------------------------------------------------------------------------------------------


def routes_without_authorizer(template: Template) -> list[str]:
    """Every method asks the authorizer, but for the open routes."""
    found = []
    for api in resources(template, "AWS::ApiGateway::RestApi").values():
        body = api["Body"]
        schemes = body.get("securityDefinitions") or body.get("components", {}).get("securitySchemes", {})
        authorizers = {name for name, scheme in schemes.items() if "x-amazon-apigateway-authorizer" in scheme}
        for path, method, operation in methods(template):
            asked = {name for requirement in operation.get("security", []) for name in requirement}
            if not (asked and asked <= authorizers) and not OPEN_ROUTES.fullmatch(path):
                found.append(f"{method.upper()} {path} is open to everybody")
    return found


def open_routes_with_authorizer(template: Template) -> list[str]:
    """The routes that need no key by contract ask for none."""
    return [
        f"{method.upper()} {path} asks for a key"
        for path, method, operation in methods(template)
        if OPEN_ROUTES.fullmatch(path) and operation.get("security") != [{"NONE": []}]
    ]


def stages_without_safeguards(template: Template) -> list[str]:
    """Each stage throttles, traces, counts, logs access without queries or headers, and never logs bodies."""
    found = []
    for logical_id, stage in resources(template, "AWS::ApiGateway::Stage").items():
        everything = [
            setting
            for setting in stage.get("MethodSettings", [])
            if (setting.get("ResourcePath"), setting.get("HttpMethod")) == ("/*", "*")
        ]
        if not any(
            {"ThrottlingRateLimit", "ThrottlingBurstLimit"} <= setting.keys() for setting in everything
        ):
            found.append(f"{logical_id} does not throttle")
        if not any(setting.get("MetricsEnabled") is True for setting in everything):
            found.append(f"{logical_id} has no metrics")
        if any(setting.get("DataTraceEnabled") is not False for setting in stage.get("MethodSettings", [])):
            found.append(f"{logical_id} may log bodies")
        if stage.get("TracingEnabled") is not True:
            found.append(f"{logical_id} is not traced")
        access_log = stage.get("AccessLogSetting", {})
        if target(access_log.get("DestinationArn")) not in resources(template, "AWS::Logs::LogGroup"):
            found.append(f"{logical_id} has no access log")
        variables = set(re.findall(r"\$context\.([A-Za-z.]+)", access_log.get("Format", "")))
        for personal in variables & {"path", "identity.sourceIp", "identity.apiKey", "identity.userAgent"}:
            found.append(f"{logical_id} logs {personal}")
    return found


# events -----------------------------------------------------------------------------------------------------


def event_sources_without_partial_failures(template: Template) -> list[str]:
    """Each event source reports failures item by item, or one bad message repeats its whole batch."""
    return [
        f"{logical_id} lacks ReportBatchItemFailures"
        for logical_id, mapping in resources(template, "AWS::Lambda::EventSourceMapping").items()
        if "ReportBatchItemFailures" not in mapping.get("FunctionResponseTypes", [])
    ]


def queues_with_short_visibility(template: Template) -> list[str]:
    """A queue hides a message for at least 6 times its function's time-out."""
    found = []
    queues = resources(template, "AWS::SQS::Queue")
    functions = resources(template, "AWS::Lambda::Function")
    for mapping in resources(template, "AWS::Lambda::EventSourceMapping").values():
        queue, function = target(mapping.get("EventSourceArn")), target(mapping["FunctionName"])
        if queue in queues and function in functions:
            wanted = VISIBILITY_FACTOR * functions[function].get("Timeout", 3)
            if queues[queue].get("VisibilityTimeout", 30) < wanted:
                found.append(f"{queue} is shorter than {wanted} s, 6 times the time-out of {function}")
    return found


def queues_without_redrive(template: Template) -> list[str]:
    """A queue that a function reads gives up after 5 receives or more, and into a dead-letter queue."""
    found = []
    queues = resources(template, "AWS::SQS::Queue")
    for mapping in resources(template, "AWS::Lambda::EventSourceMapping").values():
        queue = target(mapping.get("EventSourceArn"))
        if queue in queues:
            redrive = queues[queue].get("RedrivePolicy", {})
            if target(redrive.get("deadLetterTargetArn")) not in queues:
                found.append(f"{queue} has no dead-letter queue")
            if redrive.get("maxReceiveCount", 0) < RECEIVES:
                found.append(f"{queue} gives up after less than {RECEIVES} receives")
    return found


def dead_letter_queues_that_lose(template: Template) -> list[str]:
    """A dead-letter queue keeps messages 14 days, no shorter than its source, and is of the same type."""
    found = []
    queues = resources(template, "AWS::SQS::Queue")
    for logical_id in sorted(dead_letter_queues(template)):
        if queues[logical_id].get("MessageRetentionPeriod") != FOURTEEN_DAYS:
            found.append(f"{logical_id} does not keep messages for 14 days")
    for logical_id, queue in queues.items():
        dead = target(queue.get("RedrivePolicy", {}).get("deadLetterTargetArn"))
        if dead in queues:
            if queue.get("FifoQueue", False) != queues[dead].get("FifoQueue", False):
                found.append(f"{dead} and {logical_id} are not of one type")
            if queue.get("MessageRetentionPeriod", 345_600) > queues[dead].get(
                "MessageRetentionPeriod", 345_600
            ):
                found.append(f"{dead} keeps messages for less time than {logical_id}")
    return found


def fifo_queues_with_one_lane(template: Template) -> list[str]:
    """A FIFO queue counts its limits by message group, and takes no de-duplication by content."""
    return [
        f"{logical_id} is not in high throughput mode"
        for logical_id, queue in resources(template, "AWS::SQS::Queue").items()
        if queue.get("FifoQueue")
        and (
            queue.get("DeduplicationScope") != "messageGroup"
            or queue.get("FifoThroughputLimit") != "perMessageGroupId"
            or queue.get("ContentBasedDeduplication", False)
        )
    ]


def schedules_that_lose(template: Template) -> list[str]:
    """Each schedule has a dead-letter queue and a retry policy, and so has the function that it starts."""
    found = []
    safe = {
        target(config["FunctionName"])
        for config in resources(template, "AWS::Lambda::EventInvokeConfig").values()
        if config.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")
    }
    for logical_id, schedule in resources(template, "AWS::Scheduler::Schedule").items():
        if not schedule["Target"].get("DeadLetterConfig", {}).get("Arn"):
            found.append(f"{logical_id} has no dead-letter queue")
        if not schedule["Target"].get("RetryPolicy"):
            found.append(f"{logical_id} has no retry policy")
        function = target(schedule["Target"]["Arn"])
        if function in resources(template, "AWS::Lambda::Function") and function not in safe:
            found.append(f"a failed run of {function} leaves no trace: it has no OnFailure destination")
    return found


def streams_and_rules_that_lose(template: Template) -> list[str]:
    """What has no queue of its own (a stream's batch, a bus rule's target) has a place for its failures."""
    found = []
    queues = resources(template, "AWS::SQS::Queue")
    for logical_id, mapping in resources(template, "AWS::Lambda::EventSourceMapping").items():
        on_failure = mapping.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")
        if target(mapping.get("EventSourceArn")) not in queues and not on_failure:
            found.append(f"{logical_id} has no OnFailure destination")
    for logical_id, rule in resources(template, "AWS::Events::Rule").items():
        for each in rule.get("Targets", []):
            if not each.get("DeadLetterConfig", {}).get("Arn"):
                found.append(f"{logical_id} has a target without a dead-letter queue")
    return found


# permissions ------------------------------------------------------------------------------------------------


def wildcard_actions(template: Template) -> list[str]:
    """Actions are named in full."""
    found = []
    for logical_id, statement in role_statements(template):
        if "NotAction" in statement:
            found.append(f"{logical_id} allows all but some actions")
        found += [
            f"{logical_id} may do {action}"
            for action in _as_list(statement.get("Action", []))
            if "*" in action
        ]
    for kind in ("AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy", "AWS::SNS::TopicPolicy", "AWS::KMS::Key"):
        for logical_id, properties in resources(template, kind).items():
            document = properties.get("PolicyDocument") or properties.get("KeyPolicy")
            for statement in _as_list((document or {}).get("Statement", [])):
                allowed = (
                    statement["Effect"] == "Allow" and statement.get("Sid") not in WILDCARD_KEY_STATEMENTS
                )
                found += [
                    f"{logical_id} lets others do {action}"
                    for action in _as_list(statement["Action"])
                    if allowed and "*" in action
                ]
    return found


def wildcard_resources(template: Template) -> list[str]:
    """Resources are named too; only an action that knows no resources stands with `*`."""
    found = []
    for logical_id, statement in role_statements(template):
        texts = [part for part in _as_list(statement.get("Resource", "*")) for part in _resource_texts(part)]
        if any(_names_nothing(text) for text in texts):
            found += [
                f"{logical_id} may do {action} to everything"
                for action in _as_list(statement.get("Action", []))
                if action not in WILDCARD_ACTIONS
            ]
    return found


def _names_nothing(resource: str) -> bool:
    """`*`, or an ARN that says no more than the kind: `arn:aws:sqs:…:*`, `arn:aws:dynamodb:…:table/*`."""
    arn = re.sub(r"\$\{[^}]*\}", "x", resource)
    return arn == "*" or re.fullmatch(r"arn(:[^:]*){4}:([A-Za-z0-9-]+[:/])?\*", arn) is not None


def _resource_texts(value: Any) -> list[str]:
    match value:
        case str():
            return [value]
        case {"Fn::Sub": str(text)}:
            return [text]
        case {"Fn::Sub": [str(text), *_]}:
            return [text]
        case _:
            return []


def managed_policies(template: Template) -> list[str]:
    """No role carries a managed policy: those that SAM adds reach every queue of the account."""
    return [
        f"{logical_id} carries a managed policy"
        for logical_id, role in resources(template, "AWS::IAM::Role").items()
        if role.get("ManagedPolicyArns") and logical_id not in MANAGED_POLICIES
    ]


def shared_roles(template: Template) -> list[str]:
    """Each function has a role of its own, made here, that only Lambda can take."""
    found = []
    roles = resources(template, "AWS::IAM::Role")
    users: dict[str, list[str]] = {}
    for logical_id, function in resources(template, "AWS::Lambda::Function").items():
        role = target(function.get("Role"))
        if role is None or role not in roles:
            found.append(f"{logical_id} has a role from elsewhere")
            continue
        users.setdefault(role, []).append(logical_id)
        trusted = [
            statement.get("Principal") for statement in roles[role]["AssumeRolePolicyDocument"]["Statement"]
        ]
        if trusted != [{"Service": "lambda.amazonaws.com"}]:
            found.append(f"{role} can be taken by more than Lambda")
    found += [f"{role} is shared by {', '.join(sorted(ids))}" for role, ids in users.items() if len(ids) > 1]
    return found


def anonymous_invocations(template: Template) -> list[str]:
    """A permission to call a function names who calls, and from where."""
    return [
        f"{logical_id} lets anybody call"
        for logical_id, permission in resources(template, "AWS::Lambda::Permission").items()
        if permission.get("Principal") == "*" or not ({"SourceArn", "SourceAccount"} & permission.keys())
    ]


# data at rest and on the way --------------------------------------------------------------------------------


def unencrypted(template: Template) -> list[str]:
    """Tables, queues, buckets and topics are encrypted at rest."""
    found = [
        f"{logical_id} is not encrypted by KMS"
        for logical_id, table in resources(template, "AWS::DynamoDB::Table").items()
        if table.get("SSESpecification", {}).get("SSEEnabled") is not True
    ]
    found += [
        f"{logical_id} is not encrypted"
        for logical_id, queue in resources(template, "AWS::SQS::Queue").items()
        if queue.get("SqsManagedSseEnabled") is not True and not queue.get("KmsMasterKeyId")
    ]
    found += [
        f"{logical_id} is not encrypted"
        for logical_id, bucket in resources(template, "AWS::S3::Bucket").items()
        if not bucket.get("BucketEncryption", {}).get("ServerSideEncryptionConfiguration")
    ]
    keys = resources(template, "AWS::KMS::Key")
    found += [
        # AWS's own key (alias/aws/sns) does not let CloudWatch in: its alarms would be dropped.
        f"{logical_id} is not encrypted by a key of this stack"
        for logical_id, topic in resources(template, "AWS::SNS::Topic").items()
        if target(topic.get("KmsMasterKeyId")) not in keys
    ]
    found += [
        f"{logical_id} is not rotated"
        for logical_id, key in keys.items()
        if key.get("EnableKeyRotation") is not True
    ]
    return found


def plain_http(template: Template) -> list[str]:
    """Each queue, bucket and topic refuses whoever comes without TLS; and each has one policy only."""
    found = []
    kinds = (
        ("AWS::SQS::Queue", "AWS::SQS::QueuePolicy", "Queues"),
        ("AWS::S3::Bucket", "AWS::S3::BucketPolicy", "Bucket"),
        ("AWS::SNS::Topic", "AWS::SNS::TopicPolicy", "Topics"),
    )
    for kind, policy_kind, attached in kinds:
        policies = resources(template, policy_kind)
        for logical_id in resources(template, kind):
            own = [
                policy["PolicyDocument"]
                for policy in policies.values()
                if logical_id in [target(each) for each in _as_list(policy[attached])]
            ]
            if not any(_denies_plain_http(document) for document in own):
                found.append(f"{logical_id} takes requests without TLS")
            if len(own) > 1:
                found.append(f"{logical_id} has {len(own)} policies, and the last one to be written wins")
    return found


def public_buckets(template: Template) -> list[str]:
    """Buckets are closed to the public, keep versions, and let go of what is old."""
    found = []
    closed = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
    for logical_id, bucket in resources(template, "AWS::S3::Bucket").items():
        block = bucket.get("PublicAccessBlockConfiguration", {})
        if not all(block.get(name) is True for name in closed):
            found.append(f"{logical_id} can be made public")
        if bucket.get("VersioningConfiguration", {}).get("Status") != "Enabled":
            found.append(f"{logical_id} keeps no versions")
        if not bucket.get("LifecycleConfiguration", {}).get("Rules"):
            found.append(f"{logical_id} keeps everything for ever")
    return found


def state_that_can_be_lost(template: Template) -> list[str]:
    """Tables can be restored to any second, and outlive the stack; so do buckets."""
    found = []
    for logical_id, table in resources(template, "AWS::DynamoDB::Table").items():
        recovery = table.get("PointInTimeRecoverySpecification", {})
        if recovery.get("PointInTimeRecoveryEnabled") is not True:
            found.append(f"{logical_id} has no point-in-time recovery")
    for kind in ("AWS::DynamoDB::Table", "AWS::S3::Bucket"):
        for logical_id in resources(template, kind):
            resource = template["Resources"][logical_id]
            if resource.get("DeletionPolicy") not in ("Retain", "RetainExceptOnCreate"):
                found.append(f"{logical_id} is deleted with the stack")
            if resource.get("UpdateReplacePolicy") != "Retain":
                found.append(f"{logical_id} is deleted when an update replaces it")
    return found


# functions --------------------------------------------------------------------------------------------------


def functions_without_logs(template: Template) -> list[str]:
    """Each function writes to a log group of its own that forgets after a while, and is traced."""
    found = []
    groups = resources(template, "AWS::Logs::LogGroup")
    users: dict[str, list[str]] = {}
    for logical_id, function in resources(template, "AWS::Lambda::Function").items():
        group = target(function.get("LoggingConfig", {}).get("LogGroup"))
        if group is None or group not in groups:
            found.append(f"{logical_id} has no log group of its own")
        else:
            users.setdefault(group, []).append(logical_id)
        if function.get("TracingConfig", {}).get("Mode") != "Active":
            found.append(f"{logical_id} is not traced")
    found += [
        f"{group} is shared by {', '.join(sorted(ids))}" for group, ids in users.items() if len(ids) > 1
    ]
    found += [
        f"{logical_id} never forgets"
        for logical_id, group in groups.items()
        if not group.get("RetentionInDays")
    ]
    return found


def forbidden_variables(template: Template) -> list[str]:
    """No secret in the environment, only where to find it; nothing that Lambda keeps for itself."""
    found = []
    for logical_id, function in resources(template, "AWS::Lambda::Function").items():
        for name in function.get("Environment", {}).get("Variables", {}):
            words = set(name.upper().split("_"))
            if words & {"PASSWORD", "TOKEN", "KEY", "SECRET", "CREDENTIALS"} and not name.endswith("_ARN"):
                found.append(f"{logical_id} may hold a secret in {name}")
            if name.startswith(("AWS_", "LAMBDA_", "_")):
                found.append(f"{logical_id} sets {name}, which is Lambda's")
    return found


def unused_queue_urls(template: Template) -> list[str]:
    """A function has a queue's URL when, and only when, its role may send to that queue."""
    found = []
    queues = resources(template, "AWS::SQS::Queue")
    dead = dead_letter_queues(template)
    granted: dict[str, set[str]] = {}
    for role, statement in role_statements(template):
        if "sqs:SendMessage" in _as_list(statement.get("Action", [])):
            for resource in _as_list(statement["Resource"]):
                if (queue := target(resource)) in queues and queue is not None:
                    granted.setdefault(role, set()).add(queue)
    for logical_id, function in resources(template, "AWS::Lambda::Function").items():
        variables = function.get("Environment", {}).get("Variables", {})
        known = {target(value) for name, value in variables.items() if name.endswith("_QUEUE_URL")}
        allowed = granted.get(target(function.get("Role")) or "", set())
        found += [f"{logical_id} may not send to {queue}" for queue in sorted(map(str, known - allowed))]
        found += [f"{logical_id} is not told the URL of {queue}" for queue in sorted(allowed - known - dead)]
    return found


# names and limits -------------------------------------------------------------------------------------------


def colliding_names(template: Template) -> list[str]:
    """A name is CloudFormation's, or carries the stack's: two deployments fit into one account."""
    found = []
    for kind, name_property in NAME_PROPERTIES.items():
        for logical_id, properties in resources(template, kind).items():
            name = properties.get(name_property)
            if name is not None and "AWS::StackName" not in str(name):
                found.append(f"{logical_id} has the fixed name {name}")
    return found


def over_the_limits(template: Template, *, size: int) -> list[str]:
    """What CloudFormation takes; `size` is the template's in bytes."""
    found = []
    if len(template["Resources"]) >= MAX_RESOURCES:
        found.append(f"{len(template['Resources'])} resources, CloudFormation takes {MAX_RESOURCES}")
    if size >= MAX_TEMPLATE_BYTES:
        found.append(f"{size} bytes, CloudFormation takes {MAX_TEMPLATE_BYTES}")
    return found


# alarms -----------------------------------------------------------------------------------------------------


def missing_alarms(template: Template) -> list[str]:
    """An alarm for each dead-letter queue, each working queue's age, each function's errors, and the API."""
    found = []
    dead = dead_letter_queues(template)
    queues = resources(template, "AWS::SQS::Queue").keys()
    visible = _alarmed(template, "AWS/SQS", "ApproximateNumberOfMessagesVisible")
    age = _alarmed(template, "AWS/SQS", "ApproximateAgeOfOldestMessage")
    errors = _alarmed(template, "AWS/Lambda", "Errors")
    found += [f"nobody hears when {queue} is not empty" for queue in sorted(dead - visible)]
    found += [f"nobody hears when {queue} falls behind" for queue in sorted(queues - dead - age)]
    functions = resources(template, "AWS::Lambda::Function").keys()
    found += [f"nobody hears when {function} fails" for function in sorted(functions - errors)]
    for table in sorted(resources(template, "AWS::DynamoDB::Table")):
        for metric in ("ReadThrottleEvents", "WriteThrottleEvents"):
            if table not in _alarmed(template, "AWS/DynamoDB", metric):
                found.append(f"nobody hears of {metric} of {table}")
    watched = {
        (str(alarm.get("Namespace")), alarm.get("MetricName"))
        for alarm in resources(template, "AWS::CloudWatch::Alarm").values()
    }
    always = {("AWS/ApiGateway", "5XXError"), ("AWS/ApiGateway", "Latency"), ("AWS/Lambda", "Throttles")}
    found += [f"nobody hears of {' '.join(pair)}" for pair in sorted(always - watched)]
    scheduled = {
        target(schedule["Target"]["Arn"])
        for schedule in resources(template, "AWS::Scheduler::Schedule").values()
    }
    stopped = {
        target(dimension["Value"])
        for alarm in resources(template, "AWS::CloudWatch::Alarm").values()
        if alarm.get("MetricName") == "Invocations" and alarm.get("TreatMissingData") == "breaching"
        for dimension in alarm["Dimensions"]
    }
    found += [f"nobody hears when {function} stops" for function in sorted(map(str, scheduled - stopped))]
    return found


def unhelpful_alarms(template: Template) -> list[str]:
    """Each alarm reaches the topic, and says what to do and where to read on; none uses metric math."""
    found = []
    topics = resources(template, "AWS::SNS::Topic")
    for logical_id, alarm in resources(template, "AWS::CloudWatch::Alarm").items():
        if not [action for action in alarm.get("AlarmActions", []) if target(action) in topics]:
            found.append(f"{logical_id} reaches nobody")
        if not re.search(r"docs/runbooks/[a-z0-9-]+\.md", alarm.get("AlarmDescription", "")):
            found.append(f"{logical_id} does not say what to do")
        if "Metrics" in alarm:
            found.append(f"{logical_id} uses metric math, which the local stack cannot deploy")
        if "TreatMissingData" not in alarm:
            found.append(f"{logical_id} does not say what silence means")
    return found
