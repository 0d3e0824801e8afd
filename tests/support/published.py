"""Rules over the functions behind the API, which are published and called by an alias: see `template.py`."""

import re
from collections.abc import Iterator
from typing import Any

from tests.support.template import Template, methods, resources, target

NOT_PUBLISHED = {"ConsoleFunction": "hands out files and imports nothing that takes time"}
"""The functions behind the API that SnapStart would not help, and why."""


def functions_without_snapstart(template: Template) -> list[str]:
    """Each function behind the API, and the authorizer, is called by an alias and can be restored."""
    functions = resources(template, "AWS::Lambda::Function")
    aliases = {
        name: str(target(alias["FunctionName"]))
        for name, alias in resources(template, "AWS::Lambda::Alias").items()
    }
    uris = [operation["x-amazon-apigateway-integration"]["uri"] for _, _, operation in methods(template)]
    uris += [
        scheme["x-amazon-apigateway-authorizer"]["authorizerUri"]
        for api in resources(template, "AWS::ApiGateway::RestApi").values()
        for scheme in api["Body"].get("components", {}).get("securitySchemes", {}).values()
        if "x-amazon-apigateway-authorizer" in scheme
    ]
    called = {name for uri in uris for name in _names(uri) if name in functions or name in aliases}
    direct = (called & functions.keys()) - NOT_PUBLISHED.keys()
    found = [f"{name} is called past its alias" for name in sorted(direct)]
    for alias in sorted(called & aliases.keys()):
        wanted = {"ApplyOn": {"Fn::If": ["UsesSnapStart", "PublishedVersions", "None"]}}
        if functions[aliases[alias]].get("SnapStart") != wanted:
            found.append(f"{aliases[alias]} does not follow the parameter SnapStart")
    return found


def versions_that_miss_a_change(template: Template) -> list[str]:
    """A version's description names the very parameters that its function is configured by.

    SAM publishes anew when the template's text changes, not when a parameter's value does. A new description
    is a new version, too; but one of a function that has not changed fails the deployment.
    """
    functions = resources(template, "AWS::Lambda::Function")
    found = []
    for name, version in resources(template, "AWS::Lambda::Version").items():
        function = str(target(version["FunctionName"]))
        described = _parameters(template, version.get("Description"))
        configured = _parameters(template, functions[function])
        found += [f"{function} keeps the old {one}" for one in sorted(configured - described)]
        found += [f"{function} has nothing of {one}" for one in sorted(described - configured)]
        if template["Resources"][name].get("DeletionPolicy") != "Delete":
            found.append(f"old versions of {function} are kept, and their snapshots paid for")
    return found


def _parameters(template: Template, value: Any) -> set[str]:
    """The template's parameters in a value, also those that its conditions ask."""
    names = set(_names(value))
    conditions = template.get("Conditions", {})
    asked = {name for condition in names & conditions.keys() for name in _names(conditions[condition])}
    return (names | asked) & set(template["Parameters"])


def _names(value: Any) -> Iterator[str]:
    """What a value refers to, and its conditions."""
    match value:
        case {"Ref": str(name)}:
            yield name
        case {"Fn::Sub": [str(text), {**variables}]}:
            yield from re.findall(r"\$\{([A-Za-z0-9]+)", text)
            yield from _names(list(variables.values()))
        case {"Fn::Sub": str(text)}:
            yield from re.findall(r"\$\{([A-Za-z0-9]+)", text)
        case {"Fn::If": [str(condition), *ways]}:
            yield condition
            yield from _names(ways)
        case dict():
            for one in value.values():
                yield from _names(one)
        case list():
            for one in value:
                yield from _names(one)
        case _:
            return
