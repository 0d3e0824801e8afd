"""The policy test: `template.yaml`, expanded, against every rule of `tests/support/template.py`.

Scanners found none of the faults that hurt here (PITFALLS), so the rules are our own; and each is shown to
find the faults that it is there for.
"""

import copy
import json
import re
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest

from switchboard.dead_letters import QUEUES
from tests.support import published
from tests.support import template as policy
from tests.support.template import Template

type Rule = Callable[[Template], list[str]]
type Fault = Callable[[dict[str, Any]], object]


def within_the_limits(template: Template) -> list[str]:
    return policy.over_the_limits(template, size=len(json.dumps(template)))


RULES: list[Rule] = [
    policy.routes_without_authorizer,
    policy.open_routes_with_authorizer,
    policy.stages_without_safeguards,
    policy.event_sources_without_partial_failures,
    policy.queues_with_short_visibility,
    policy.queues_without_redrive,
    policy.dead_letter_queues_that_lose,
    policy.fifo_queues_with_one_lane,
    policy.schedules_that_lose,
    policy.streams_and_rules_that_lose,
    policy.wildcard_actions,
    policy.wildcard_resources,
    policy.managed_policies,
    policy.shared_roles,
    policy.anonymous_invocations,
    policy.unencrypted,
    policy.plain_http,
    policy.public_buckets,
    policy.state_that_can_be_lost,
    policy.functions_without_logs,
    policy.forbidden_variables,
    policy.unused_queue_urls,
    policy.colliding_names,
    within_the_limits,
    policy.missing_alarms,
    policy.unhelpful_alarms,
    published.functions_without_snapstart,
    published.versions_that_miss_a_change,
]


@cache
def expanded() -> Template:
    return policy.expand()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_template_keeps_the_rule(rule: Rule) -> None:
    assert rule(expanded()) == []


# planted faults: each is found, by the rule that is there for it --------------------------------------------


def properties(logical_id: str, *path: str | int) -> Callable[[dict[str, Any]], Any]:
    def at(found: dict[str, Any]) -> Any:
        value: Any = found[logical_id]["Properties"]
        for step in path:
            value = value[step]
        return value

    return at


def put(logical_id: str, name: str, value: object, *path: str | int) -> Fault:
    """Set a property, or one of a property's own."""
    return lambda found: properties(logical_id, *path)(found).update({name: value})


def drop(logical_id: str, name: str, *path: str | int) -> Fault:
    """Take a property away."""
    return lambda found: properties(logical_id, *path)(found).pop(name)


def attribute(logical_id: str, name: str, value: object) -> Fault:
    """Set an attribute of the resource itself."""
    return lambda found: found[logical_id].update({name: value})


def remove(logical_id: str) -> Fault:
    return lambda found: found.pop(logical_id)


def add(logical_id: str, kind: str, **held: object) -> Fault:
    return lambda found: found.update({logical_id: {"Type": kind, "Properties": held}})


def allow(role: str, action: object, resource: object) -> Fault:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return lambda found: properties(role, "Policies", 0, "PolicyDocument", "Statement")(found).append(
        statement
    )


def replace_text(logical_id: str, name: str, old: str, new: str, *path: str | int) -> Fault:
    def fault(found: dict[str, Any]) -> None:
        held = properties(logical_id, *path)(found)
        held[name] = held[name].replace(old, new)

    return fault


STATE = {"Fn::GetAtt": ["StateTable", "Arn"]}
ROUTE = ("Body", "paths", "/{proxy+}", "post")
PLANTED: list[tuple[Rule, Fault, str]] = [
    (policy.routes_without_authorizer, drop("Api", "security", *ROUTE), "POST /{proxy+} is open"),
    (
        policy.routes_without_authorizer,
        put("Api", "security", [{"NONE": []}], *ROUTE),
        "POST /{proxy+} is open",
    ),
    (
        policy.routes_without_authorizer,
        put("Api", "security", [{"api_key": []}], *ROUTE),
        "POST /{proxy+} is open",
    ),
    (
        policy.routes_without_authorizer,
        put("Api", "/healthy", {"get": {}}, "Body", "paths"),
        "GET /healthy is open",
    ),
    (
        policy.open_routes_with_authorizer,
        put("Api", "security", [{"ApiKey": []}], "Body", "paths", "/health", "get"),
        "GET /health asks",
    ),
    (
        policy.stages_without_safeguards,
        drop("Apiv1Stage", "ThrottlingRateLimit", "MethodSettings", 0),
        "does not throttle",
    ),
    (
        policy.stages_without_safeguards,
        put("Apiv1Stage", "MetricsEnabled", False, "MethodSettings", 0),
        "no metrics",
    ),
    (
        policy.stages_without_safeguards,
        put("Apiv1Stage", "DataTraceEnabled", True, "MethodSettings", 0),
        "may log bodies",
    ),
    (policy.stages_without_safeguards, put("Apiv1Stage", "TracingEnabled", False), "not traced"),
    (policy.stages_without_safeguards, drop("Apiv1Stage", "AccessLogSetting"), "no access log"),
    (
        policy.stages_without_safeguards,
        replace_text("Apiv1Stage", "Format", "$context.resourcePath", "$context.path", "AccessLogSetting"),
        "logs path",
    ),
    (
        policy.event_sources_without_partial_failures,
        drop("SocialCaseFunctionPosts", "FunctionResponseTypes"),
        "SocialCaseFunctionPosts",
    ),
    (
        policy.queues_with_short_visibility,
        put("SocialPostQueue", "VisibilityTimeout", 120),
        "SocialPostQueue is shorter than 360 s",
    ),
    (policy.queues_with_short_visibility, drop("SocialPostQueue", "VisibilityTimeout"), "SocialPostQueue"),
    (policy.queues_with_short_visibility, put("SocialCaseFunction", "Timeout", 61), "SocialPostQueue"),
    (
        policy.queues_without_redrive,
        put("SocialPostQueue", "maxReceiveCount", 4, "RedrivePolicy"),
        "gives up",
    ),
    (policy.queues_without_redrive, drop("SocialPostQueue", "RedrivePolicy"), "no dead-letter queue"),
    (
        policy.dead_letter_queues_that_lose,
        put("SocialPostDlq", "MessageRetentionPeriod", 345_600),
        "SocialPostDlq does not keep",
    ),
    (
        policy.dead_letter_queues_that_lose,
        drop("SweeperDlq", "MessageRetentionPeriod"),
        "SweeperDlq does not keep",
    ),
    (policy.dead_letter_queues_that_lose, drop("SocialPostDlq", "FifoQueue"), "not of one type"),
    (
        policy.dead_letter_queues_that_lose,
        lambda found: (
            put("SocialPostQueue", "MessageRetentionPeriod", 1_209_600)(found),
            put("SocialPostDlq", "MessageRetentionPeriod", 60)(found),
        ),
        "SocialPostDlq keeps messages for less time than SocialPostQueue",
    ),
    (policy.fifo_queues_with_one_lane, drop("SocialPostQueue", "FifoThroughputLimit"), "SocialPostQueue"),
    (
        policy.fifo_queues_with_one_lane,
        put("SocialPostQueue", "DeduplicationScope", "queue"),
        "SocialPostQueue",
    ),
    (
        policy.schedules_that_lose,
        drop("SweeperFunctionEveryMinute", "DeadLetterConfig", "Target"),
        "no dead-letter queue",
    ),
    (
        policy.schedules_that_lose,
        drop("SweeperFunctionEveryMinute", "RetryPolicy", "Target"),
        "no retry policy",
    ),
    (
        policy.schedules_that_lose,
        remove("SweeperFunctionEventInvokeConfig"),
        "SweeperFunction leaves no trace",
    ),
    (
        policy.streams_and_rules_that_lose,
        add(
            "Changes",
            "AWS::Lambda::EventSourceMapping",
            EventSourceArn={"Fn::GetAtt": ["CrmTable", "StreamArn"]},
            FunctionName={"Ref": "SweeperFunction"},
        ),
        "Changes has no OnFailure",
    ),
    (
        policy.streams_and_rules_that_lose,
        add("Rule", "AWS::Events::Rule", Targets=[{"Arn": STATE, "Id": "a"}]),
        "Rule has a target",
    ),
    (policy.wildcard_actions, allow("SweeperRole", "dynamodb:*", STATE), "SweeperRole may do dynamodb:*"),
    (policy.wildcard_actions, allow("SweeperRole", ["dynamodb:Get*"], STATE), "dynamodb:Get*"),
    (
        policy.wildcard_actions,
        put("QueuePolicy", "Effect", "Allow", "PolicyDocument", "Statement", 0),
        "QueuePolicy lets others do sqs:*",
    ),
    (
        policy.wildcard_actions,
        lambda found: properties("SweeperRole", "Policies", 0, "PolicyDocument", "Statement")(found).append(
            {"Effect": "Allow", "NotAction": "iam:PassRole", "Resource": STATE}
        ),
        "all but some",
    ),
    (
        policy.wildcard_resources,
        allow("SweeperRole", "dynamodb:GetItem", "*"),
        "dynamodb:GetItem to everything",
    ),
    (
        policy.wildcard_resources,
        allow(
            "SweeperRole", "sqs:SendMessage", {"Fn::Sub": "arn:aws:sqs:${AWS::Region}:${AWS::AccountId}:*"}
        ),
        "sqs:SendMessage to everything",
    ),
    (
        policy.wildcard_resources,
        allow("SweeperRole", "dynamodb:Query", "arn:aws:dynamodb:*:*:table/*"),
        "dynamodb:Query to everything",
    ),
    (
        policy.managed_policies,
        put("SweeperRole", "ManagedPolicyArns", ["arn:aws:iam::aws:policy/x"]),
        "SweeperRole carries",
    ),
    (
        policy.shared_roles,
        put("SweeperFunction", "Role", {"Fn::GetAtt": ["SocialCaseRole", "Arn"]}),
        "SocialCaseRole is shared by SocialCaseFunction, SweeperFunction",
    ),
    (policy.shared_roles, put("SweeperFunction", "Role", "arn:aws:iam::1:role/x"), "a role from elsewhere"),
    (
        policy.shared_roles,
        put("SweeperRole", "Principal", {"AWS": "*"}, "AssumeRolePolicyDocument", "Statement", 0),
        "SweeperRole can be taken",
    ),
    (
        policy.anonymous_invocations,
        add("Anybody", "AWS::Lambda::Permission", Principal="*"),
        "Anybody lets anybody",
    ),
    (policy.unencrypted, drop("StateTable", "SSESpecification"), "StateTable"),
    (policy.unencrypted, put("SweeperDlq", "SqsManagedSseEnabled", False), "SweeperDlq"),
    (policy.unencrypted, drop("DumpsBucket", "BucketEncryption"), "DumpsBucket"),
    (policy.unencrypted, put("AlarmTopic", "KmsMasterKeyId", "alias/aws/sns"), "AlarmTopic"),
    (policy.unencrypted, put("AlarmKey", "EnableKeyRotation", False), "AlarmKey"),
    (
        policy.plain_http,
        lambda found: properties("QueuePolicy", "Queues")(found).remove({"Ref": "SocialPostDlq"}),
        "SocialPostDlq takes requests",
    ),
    (
        policy.plain_http,
        drop("QueuePolicy", "Condition", "PolicyDocument", "Statement", 0),
        "SocialPostQueue",
    ),
    (policy.plain_http, remove("DumpsBucketPolicy"), "DumpsBucket takes requests"),
    (
        policy.plain_http,
        lambda found: properties("AlarmTopicPolicy", "PolicyDocument", "Statement")(found).pop(),
        "AlarmTopic takes requests",
    ),
    (
        policy.plain_http,
        lambda found: found.update(Second=copy.deepcopy(found["QueuePolicy"])),
        "SocialPostQueue has 2 policies",
    ),
    (
        policy.public_buckets,
        put("DumpsBucket", "BlockPublicPolicy", False, "PublicAccessBlockConfiguration"),
        "can be made public",
    ),
    (policy.public_buckets, drop("DumpsBucket", "VersioningConfiguration"), "keeps no versions"),
    (policy.public_buckets, drop("DumpsBucket", "LifecycleConfiguration"), "for ever"),
    (policy.state_that_can_be_lost, drop("CrmTable", "PointInTimeRecoverySpecification"), "CrmTable"),
    (
        policy.state_that_can_be_lost,
        attribute("CrmTable", "DeletionPolicy", "Delete"),
        "deleted with the stack",
    ),
    (policy.state_that_can_be_lost, attribute("DumpsBucket", "UpdateReplacePolicy", "Delete"), "replaces it"),
    (
        policy.functions_without_logs,
        drop("SweeperFunction", "LoggingConfig"),
        "SweeperFunction has no log group",
    ),
    (
        policy.functions_without_logs,
        put("SweeperFunction", "LoggingConfig", {"LogGroup": {"Ref": "SocialCaseLogs"}}),
        "SocialCaseLogs is shared",
    ),
    (policy.functions_without_logs, drop("SweeperLogs", "RetentionInDays"), "SweeperLogs never forgets"),
    (
        policy.functions_without_logs,
        drop("SweeperFunction", "TracingConfig"),
        "SweeperFunction is not traced",
    ),
    (
        policy.forbidden_variables,
        put("SweeperFunction", "SIEBEL_PASSWORD", "x", "Environment", "Variables"),
        "SIEBEL_PASSWORD",
    ),
    (
        policy.forbidden_variables,
        put("SweeperFunction", "API_KEY", "x", "Environment", "Variables"),
        "may hold a secret in API_KEY",
    ),
    (
        policy.forbidden_variables,
        put("SweeperFunction", "AWS_REGION", "x", "Environment", "Variables"),
        "which is Lambda's",
    ),
    (
        policy.unused_queue_urls,
        drop("SweeperFunction", "SOCIAL_POST_QUEUE_URL", "Environment", "Variables"),
        "SweeperFunction is not told",
    ),
    (
        policy.unused_queue_urls,
        put("AuthorizerFunction", "X_QUEUE_URL", {"Ref": "SocialPostQueue"}, "Environment", "Variables"),
        "AuthorizerFunction may not send",
    ),
    (policy.colliding_names, put("StateTable", "TableName", "state"), "StateTable has the fixed name"),
    (
        policy.colliding_names,
        put("SweeperFunction", "FunctionName", {"Fn::Sub": "sweeper-${Stage}"}),
        "SweeperFunction has the fixed name",
    ),
    (policy.colliding_names, put("SweeperFunctionEveryMinute", "Name", "tick"), "SweeperFunctionEveryMinute"),
    (
        within_the_limits,
        lambda found: found.update({f"Queue{n}": {"Type": "AWS::SQS::Queue"} for n in range(500)}),
        "resources",
    ),
    (within_the_limits, put("AlarmTopic", "DisplayName", "x" * 1_000_000), "bytes"),
    (
        published.functions_without_snapstart,
        replace_text(
            "Api",
            "Fn::Sub",
            "SocialIntakeFunctionAliaslive",
            "SocialIntakeFunction.Arn",
            *("Body", "paths", "/social/{proxy+}", "get", "x-amazon-apigateway-integration", "uri"),
        ),
        "SocialIntakeFunction is called past its alias",
    ),
    (
        published.functions_without_snapstart,
        drop("AuthorizerFunction", "SnapStart"),
        "AuthorizerFunction does not follow",
    ),
    (
        published.versions_that_miss_a_change,
        put("LeadCreateFunction", "Timeout", {"Ref": "ThrottleRate"}),
        "LeadCreateFunction keeps the old ThrottleRate",
    ),
    (
        published.versions_that_miss_a_change,
        drop("CrmApiFunction", "Architectures"),
        "CrmApiFunction has nothing of Architecture",
    ),
    (
        published.versions_that_miss_a_change,
        lambda found: [
            one.update({"DeletionPolicy": "Retain"})
            for name, one in found.items()
            if name.startswith("ChargingFunctionVersion")
        ],
        "old versions of ChargingFunction are kept",
    ),
    (policy.missing_alarms, remove("SocialPostDlqNotEmpty"), "SocialPostDlq is not empty"),
    (policy.missing_alarms, remove("SocialPostQueueAge"), "SocialPostQueue falls behind"),
    (policy.missing_alarms, remove("SocialIntakeErrors"), "SocialIntakeFunction fails"),
    (policy.missing_alarms, remove("CrmTableWriteThrottles"), "WriteThrottleEvents of CrmTable"),
    (policy.missing_alarms, remove("ApiErrors"), "5XXError"),
    (policy.missing_alarms, remove("FunctionThrottles"), "Throttles"),
    (policy.missing_alarms, remove("SweeperStopped"), "SweeperFunction stops"),
    (
        policy.missing_alarms,
        put("SweeperStopped", "TreatMissingData", "notBreaching"),
        "SweeperFunction stops",
    ),
    (policy.unhelpful_alarms, drop("ApiErrors", "AlarmActions"), "ApiErrors reaches nobody"),
    (policy.unhelpful_alarms, put("ApiErrors", "AlarmDescription", "Oh no"), "does not say what to do"),
    (policy.unhelpful_alarms, put("ApiErrors", "Metrics", []), "metric math"),
    (policy.unhelpful_alarms, drop("ApiErrors", "TreatMissingData"), "what silence means"),
]


@pytest.mark.parametrize(
    ("rule", "fault", "finding"), PLANTED, ids=[f"{rule.__name__}: {finding}" for rule, _, finding in PLANTED]
)
def test_planted_fault_is_found(rule: Rule, fault: Fault, finding: str) -> None:
    faulty = copy.deepcopy(expanded())
    fault(faulty["Resources"])

    assert any(finding in found for found in rule(faulty)), rule(faulty)


def test_every_rule_has_a_planted_fault() -> None:
    assert {rule.__name__ for rule in RULES} == {rule.__name__ for rule, _, _ in PLANTED}


def test_a_new_layer_publishes_the_functions_behind_the_api_anew() -> None:
    versions, anew = (
        policy.resources(one, "AWS::Lambda::Version")
        for one in (expanded(), policy.expand(layer="s3://artifacts/other.zip"))
    )

    assert len(versions) == len(anew) >= 11
    assert not versions.keys() & anew.keys()


# what the rules do not say ----------------------------------------------------------------------------------


def test_a_local_stack_is_never_a_real_one() -> None:
    rule = expanded()["Rules"]["LocalStackIsNeverARealStage"]

    assert rule["RuleCondition"] == {"Fn::Equals": [{"Ref": "LocalStack"}, "true"]}
    [stages, stage] = rule["Assertions"][0]["Assert"]["Fn::Contains"]
    assert "prod" not in stages
    assert stage == {"Ref": "Stage"}
    assert expanded()["Parameters"]["LocalStack"]["Default"] == "false"


def test_gateway_responses_are_problem_documents() -> None:
    [api] = policy.resources(expanded(), "AWS::ApiGateway::RestApi").values()
    answers = api["Body"]["x-amazon-apigateway-gateway-responses"]

    assert answers.keys() >= {"DEFAULT_4XX", "DEFAULT_5XX", "UNAUTHORIZED", "ACCESS_DENIED", "THROTTLED"}
    for kind, answer in answers.items():
        problem = json.loads(answer["responseTemplates"]["application/json"])
        assert problem["type"] == f"urn:switchboard:problem:{problem['code']}", kind
        assert problem["correlationId"] == "$context.requestId", kind
        assert problem.keys() >= {"title", "detail", "instance", "errors"}, kind
        assert answer.get("statusCode") == (str(problem["status"]) if "status" in problem else None), kind
        headers = answer["responseParameters"]
        assert headers["gatewayresponse.header.Content-Type"] == "'application/problem+json'", kind
        if answer.get("statusCode") == "429" or kind == "DEFAULT_5XX":
            assert re.fullmatch(r"'\d+'", headers["gatewayresponse.header.Retry-After"]), kind


def test_the_access_log_is_json() -> None:
    [stage] = policy.resources(expanded(), "AWS::ApiGateway::Stage").values()

    line = json.loads(stage["AccessLogSetting"]["Format"])

    assert line.keys() >= {"requestId", "route", "status", "latencyMs", "partnerId"}


def test_the_dashboard_asks_whether_anything_is_stuck_and_whose_fault_it_is() -> None:
    [dashboard] = policy.resources(expanded(), "AWS::CloudWatch::Dashboard").values()

    widgets = json.loads(dashboard["DashboardBody"]["Fn::Sub"])["widgets"]

    texts = [widget["properties"]["markdown"] for widget in widgets if widget["type"] == "text"]
    assert [text.partition("\n")[0] for text in texts[:2]] == [
        "# Is anything stuck?",
        "# Whose fault is it?",
    ]
    places = [(widget["x"], widget["y"]) for widget in widgets]
    assert len(set(places)) == len(places)
    shown = json.dumps(widgets)
    for metric in ("OldestOpenSeconds", "BreakerOpenSeconds", "VendorFailures", "Failed", "Parked"):
        assert metric in shown


RUNBOOKS = policy.TEMPLATE.parent / "docs" / "runbooks"


def test_every_alarm_has_its_runbook_and_every_runbook_its_alarm() -> None:
    alarms = policy.resources(expanded(), "AWS::CloudWatch::Alarm")
    named = {
        page
        for alarm in alarms.values()
        for page in re.findall(r"docs/runbooks/([a-z0-9-]+)\.md", alarm["AlarmDescription"])
    }

    assert named == {page.stem for page in RUNBOOKS.glob("*.md")}


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("*.md")), ids=lambda page: page.stem)
def test_a_runbook_says_what_it_means_where_to_look_and_what_to_do(page: Path) -> None:
    text = page.read_text()

    for heading in ("**What it means.**", "**Look.**", "**Put it right.**", "**See it gone.**"):
        assert heading in text
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert (page.parent / link).exists(), link


def test_the_work_has_an_alarm_for_every_flow_and_every_class_of_failure() -> None:
    from switchboard.errors import ErrorClass

    alarms = policy.resources(expanded(), "AWS::CloudWatch::Alarm").values()
    watched = {
        (dimension["Name"], dimension["Value"])
        for alarm in alarms
        if alarm.get("MetricName") == "Failed"
        for dimension in alarm["Dimensions"]
    }

    assert {value for name, value in watched if name == "class"} == set(get_args(ErrorClass))
    assert {value for name, value in watched if name == "flow"} >= flows_of_the_queues() | {
        "trigger_delivery"
    }


def test_the_dead_letters_of_every_queue_can_be_seen_and_redriven() -> None:
    queues = policy.resources(expanded(), "AWS::SQS::Queue")
    redriven = {name for name, queue in queues.items() if "RedrivePolicy" in queue}
    operations = policy.resources(expanded(), "AWS::Lambda::Function")["OperationsFunction"]
    variables = operations["Environment"]["Variables"]
    named = {name: policy.target(variables.get(f"{held}_QUEUE_URL")) for name, held in QUEUES.items()}
    assert set(named.values()) == redriven
    takes = {
        policy.target(one)
        for role, statement in policy.role_statements(expanded())
        if role == "OperationsRole" and "sqs:ReceiveMessage" in statement["Action"]
        for one in statement["Resource"]
    }
    dead = {policy.target(queues[name]["RedrivePolicy"]["deadLetterTargetArn"]) for name in redriven}
    assert takes == dead
    alarms = policy.resources(expanded(), "AWS::CloudWatch::Alarm").values()
    told = {name for alarm in alarms for name in REDRIVE.findall(alarm["AlarmDescription"])}
    assert told == set(named)


REDRIVE = re.compile(r"POST /queues/(\w+)/redrive")


def flows_of_the_queues() -> set[str]:
    """The flows that the sweeper looks after."""
    variables = policy.resources(expanded(), "AWS::Lambda::Function")["SweeperFunction"]["Environment"]
    names = [name for name in variables["Variables"] if name.endswith("_QUEUE_URL")]
    # The steps of a resubmission move entries of other flows, and are no entries themselves.
    return {name.removesuffix("_QUEUE_URL").lower() for name in names} - {"resubmission"}


def test_whoever_calls_a_vendor_may_read_and_move_its_breaker() -> None:
    functions = policy.resources(expanded(), "AWS::Lambda::Function")
    granted: dict[str, set[str]] = {}
    for role, statement in policy.role_statements(expanded()):
        keys = str(statement.get("Condition", "BREAKER"))
        if "BREAKER" in keys and policy.target(statement["Resource"]) == "StateTable":
            actions = statement["Action"]
            granted.setdefault(role, set()).update([actions] if isinstance(actions, str) else actions)
    only_the_hooks_token = {"CrmEventIntakeFunction"}
    callers = {
        logical_id
        for logical_id, function in functions.items()
        for name in function.get("Environment", {}).get("Variables", {})
        if name.endswith("_SECRET_ARN") and name != "ADMIN_KEY_SECRET_ARN"
    } - only_the_hooks_token

    for caller in callers:
        role = policy.target(functions[caller]["Role"]) or ""
        assert granted.get(role, set()) >= {"dynamodb:GetItem", "dynamodb:UpdateItem"}, caller


def test_outputs_name_every_connector_secret() -> None:
    secrets = policy.resources(expanded(), "AWS::SecretsManager::Secret")

    assert len(secrets) == 8
    for logical_id, secret in secrets.items():
        assert expanded()["Outputs"][f"{logical_id}Arn"]["Value"] == {"Fn::GetAtt": [logical_id, "Id"]}
        assert secret.get("SecretString", "{}") == "{}"


def test_samconfig_fits_the_template() -> None:
    config = tomllib.loads((policy.TEMPLATE.parent / "samconfig.toml").read_text())
    parameters = expanded()["Parameters"]

    assert {"default", "local", "prod"} <= config.keys()
    for environment in ("default", "local", "prod"):
        commands = config[environment]
        given = dict(pair.split("=") for pair in commands["deploy"]["parameters"]["parameter_overrides"])
        assert given.keys() <= parameters.keys(), environment
        built = commands["build"]["parameters"].get("parameter_overrides", [])
        architectures = {pair for pair in built if pair.startswith("Architecture=")}
        assert architectures <= {f"Architecture={given.get('Architecture')}"}, environment
    local = config["local"]["deploy"]["parameters"]["parameter_overrides"]
    assert {"Stage=local", "LocalStack=true"} <= set(local)
