"""What the alarms and the dashboard watch is what the code publishes: name, dimensions and their values."""

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from itertools import batched
from typing import get_args

import pytest

from functions.metrics_rollup import logic
from switchboard import clock, errors, observability, standing
from switchboard.breaker import State
from switchboard.counts import Move
from switchboard.errors import ErrorClass
from switchboard.standing import Flow, Standing
from tests.support import template as policy
from tests.unit.test_template import expanded, flows_of_the_queues
from tools.paths import ROOT

type Published = tuple[str, frozenset[str]]
"""A metric's name and the names of its dimensions."""

OWN = "Switchboard/${AWS::StackName}"
SEARCH = re.compile(r"""SEARCH\('\{"([^"]+)",([\w,]+)\} MetricName="(\w+)"'""")


def sources() -> Iterator[ast.AST]:
    for folder in ("functions", "layers/connectors/switchboard"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield ast.parse(path.read_text())


def noted_in(tree: ast.AST) -> Iterator[Published]:
    """What a module gives to `observability`; `**whose` is the dictionary of that name beside it."""
    shared = {
        node.targets[0].id: {str(key.value) for key in node.value.keys if isinstance(key, ast.Constant)}
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Dict)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="observability"), attr="count" | "measure"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                dimensions: set[str] = {"service"}
                for keyword in node.keywords:
                    if keyword.arg is None:
                        assert isinstance(keyword.value, ast.Name)
                        dimensions |= shared[keyword.value.id]
                    elif keyword.arg != "unit":
                        dimensions.add(keyword.arg)
                yield name, frozenset(dimensions)


def counted_by_the_rollup() -> Iterator[Published]:
    """What `metrics_rollup` makes of moves, of what waits and of a breaker."""
    moment = "2026-03-01T09:30:00.000Z"
    whats = ("accepted", "done", "failed", "retried")
    moves = [Move(what, "lead", "p", "2026-03-01T09", "data" if what == "failed" else None) for what in whats]
    waits = Standing({"lead": Flow(waiting=1, retrying=1, failed=1, oldest_at=moment)})
    states = [State("siebel", is_open=True, opened_at=moment)]
    for name, _, _, dimensions in (
        *logic.of_moves(moves),
        *logic.of_standing(waits, clock.parse(moment)),
        *logic.of_breakers(states, {"siebel": 1}, clock.parse(moment)),
    ):
        yield name, frozenset({*dimensions, "service"})


@cache
def published() -> frozenset[Published]:
    return frozenset({*counted_by_the_rollup(), *(one for tree in sources() for one in noted_in(tree))})


def alarms() -> Iterator[tuple[str, str, dict[str, str]]]:
    """Each alarm of our own metrics: its logical name, the metric, its dimensions."""
    for name, alarm in policy.resources(expanded(), "AWS::CloudWatch::Alarm").items():
        if alarm.get("Namespace") == {"Fn::Sub": OWN}:
            yield name, alarm["MetricName"], {one["Name"]: one["Value"] for one in alarm["Dimensions"]}


def widgets() -> Iterator[tuple[str, str, dict[str, str]]]:
    """Each of our metrics on the dashboard; a search names its dimensions, but no values."""
    [dashboard] = policy.resources(expanded(), "AWS::CloudWatch::Dashboard").values()
    for widget in json.loads(dashboard["DashboardBody"]["Fn::Sub"])["widgets"]:
        properties = widget["properties"]
        for metric in properties.get("metrics", []):
            if metric[0] == OWN:
                yield properties["title"], metric[1], dict(batched(metric[2:], 2, strict=True))
            elif isinstance(metric[0], dict) and (found := SEARCH.match(metric[0]["expression"])):
                assert found[1] == OWN
                yield properties["title"], found[3], dict.fromkeys(found[2].split(","), "")


WATCHED = [*alarms(), *widgets()]


@pytest.mark.parametrize(("where", "metric", "dimensions"), WATCHED, ids=lambda one: str(one)[:40])
def test_what_is_watched_is_published(where: str, metric: str, dimensions: dict[str, str]) -> None:
    assert (metric, frozenset(dimensions)) in published(), where
    may_be = {
        "service": {observability.MEASURED_BY, *steps()},
        "flow": {*FLOWS_WITHOUT_A_QUEUE, *flows_of_the_queues()},
        "class": set(get_args(ErrorClass)),
        "connector": set(standing.CONNECTORS),
    }
    for name, value in dimensions.items():
        if name == "code" and value:
            assert errors.find(value), where
        elif value:
            assert value in may_be.get(name, {value}), where


FLOWS_WITHOUT_A_QUEUE = ("trigger_delivery", "crm_api", "campaign_query")


def steps() -> set[str]:
    """The names under which the steps measure: each its folder's."""
    functions = policy.resources(expanded(), "AWS::Lambda::Function").values()
    variables = [one.get("Environment", {}).get("Variables", {}) for one in functions]
    named = {one["POWERTOOLS_SERVICE_NAME"] for one in variables if "POWERTOOLS_SERVICE_NAME" in one}
    assert named - {observability.MEASURED_BY} <= {path.name for path in (ROOT / "functions").iterdir()}
    return named


def test_the_searches_of_the_dashboard_are_all_understood() -> None:
    [dashboard] = policy.resources(expanded(), "AWS::CloudWatch::Dashboard").values()
    body = dashboard["DashboardBody"]["Fn::Sub"]
    assert body.count("Switchboard/${AWS::StackName}") == len([*widgets()])
    assert len([*alarms()]) > 15


def test_the_api_on_the_dashboard_is_the_api_that_is_deployed() -> None:
    [api] = policy.resources(expanded(), "AWS::ApiGateway::RestApi").values()
    [stage] = policy.resources(expanded(), "AWS::ApiGateway::Stage").values()
    [dashboard] = policy.resources(expanded(), "AWS::CloudWatch::Dashboard").values()
    name = api.get("Name") or api["Body"]["info"]["title"]
    assert name in ({"Ref": "AWS::StackName"}, {"Fn::Sub": "${AWS::StackName}"})
    shown = f'"ApiName", "${{AWS::StackName}}", "Stage", "{stage["StageName"]}"'
    assert shown in dashboard["DashboardBody"]["Fn::Sub"]
