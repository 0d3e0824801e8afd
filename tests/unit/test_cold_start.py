"""What the functions behind the API import at a cold start is known, and has its reason."""

import pytest

from benchmarks import first_call, imports
from tests.support import tables
from tests.support import template as policy


def _behind_the_api() -> set[str]:
    """The steps that API Gateway calls, and the authorizer."""
    functions = tables.template()["Resources"]
    handlers = {
        resource["Properties"]["Handler"]
        for name, resource in functions.items()
        if resource["Type"] == "AWS::Serverless::Function"
        and (
            name == "AuthorizerFunction"
            or any(event["Type"] == "Api" for event in resource["Properties"].get("Events", {}).values())
        )
    }
    return {handler.split(".")[1] for handler in handlers}


def test_every_function_behind_the_api_has_its_line_and_its_first_call() -> None:
    assert imports.IMPORTS.keys() == _behind_the_api()
    assert first_call.EVENTS.keys() == _behind_the_api()
    assert all(one.why.endswith(".") for one in imports.IMPORTS.values())


@pytest.mark.parametrize("function", imports.IMPORTS)
def test_a_function_imports_what_it_has_a_reason_for(function: str) -> None:
    assert imports.found(function) == imports.IMPORTS[function].libraries


def test_snapstart_is_priced_for_every_published_function() -> None:
    published = policy.resources(policy.expand(), "AWS::Lambda::Alias")
    text = imports.snapstart()
    assert f"the {len(published)} functions" in text
    assert "$1.95 a month" in text
