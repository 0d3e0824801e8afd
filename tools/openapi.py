"""The OpenAPI 3.1 document, made from the routes that the steps declare.

`python -m tools.openapi` writes it beside the function that serves it; with `--check` it only says
whether the file is current.
"""

import argparse
import importlib
import inspect
import json
import re
import sys
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from switchboard.api import PROBLEM, Api, Route
from switchboard.models import Problem
from switchboard.partners import SCOPES
from tools.paths import ROOT

DOCUMENT = ROOT / "functions" / "operations" / "openapi.json"

_DESCRIPTION = """Connects a CRM with the systems around it. Errors are problem+json (RFC 9457); lists take
`limit` and `cursor`; POST, PUT and PATCH take `Idempotency-Key`."""
_HEADERS = {"x-correlation-id": {"schema": {"type": "string"}, "description": "as sent, or made"}}
_PROBLEMS = {
    400: "Not JSON, or not UTF-8",
    401: "No key",
    403: "The key lacks the scope",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict, duplicate or in progress",
    412: "If-Match no longer fits",
    413: "Over 256 KiB",
    415: "Not application/json",
    422: "Breaks a rule",
    429: "Too many requests",
    500: "Broken on our side",
    502: "A vendor refused",
    503: "A vendor is away",
}


def apis() -> Iterator[Api]:
    """The `api` of each step that has one."""
    for module in sorted((ROOT / "functions").glob("*/app.py")):
        app = importlib.import_module(f"functions.{module.parent.name}.app")
        if isinstance(found := getattr(app, "api", None), Api):
            yield found


def document() -> dict[str, Any]:
    """The whole document."""
    routes = sorted((route for api in apis() for route in api.routes), key=lambda route: route.path)
    models = {model for route in routes for model in (*_bodies(route), *route.answers.values()) if model}
    modes: list[tuple[type[BaseModel], Any]] = [(Problem, "serialization")]
    for model in sorted(models, key=lambda model: model.__name__):
        is_body = any(model in _bodies(route) for route in routes)
        modes.append((model, "validation" if is_body else "serialization"))
    refs, schemas = models_json_schema(modes, ref_template="#/components/schemas/{model}")
    by_model: dict[Any, Any] = {model: ref for (model, _), ref in refs.items()}
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, by_model)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Switchboard", "version": "1", "description": _DESCRIPTION},
        "servers": [{"url": "."}],
        "security": [{"apiKey": []}],
        "tags": [{"name": tag} for tag in sorted({route.tag for route in routes})],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas["$defs"].items())),
            "responses": {
                str(status): {
                    "description": title,
                    "headers": _HEADERS,
                    "content": {PROBLEM: {"schema": by_model[Problem]}},
                }
                for status, title in _PROBLEMS.items()
            },
            "securitySchemes": {
                "apiKey": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "x-api-key",
                    "description": f"Scopes: {', '.join(SCOPES)}",
                }
            },
        },
    }


def _operation(route: Route, by_model: dict[type[BaseModel], Any]) -> dict[str, Any]:
    summary = inspect.getdoc(route.handler) or ""
    operation: dict[str, Any] = {
        "operationId": f"{route.tag}_{route.handler.__name__}",
        "tags": [route.tag],
        "summary": summary.split("\n", 1)[0],
        "description": summary,
        "parameters": list(_parameters(route)),
        "responses": {str(status): _answer(model, by_model) for status, model in route.answers.items()},
    }
    for status in _problems_of(route):
        operation["responses"].setdefault(str(status), {"$ref": f"#/components/responses/{status}"})
    if route.scope is None:
        operation["security"] = []
    else:
        operation["x-scope"] = route.scope
        operation["description"] += f"\n\nScope: `{route.scope}`."
    if bodies := _bodies(route):
        schemas = [by_model[model] for model in bodies]
        schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation


def _bodies(route: Route) -> list[type[BaseModel]]:
    if route.body is not None:
        return [route.body]
    return list(route.raw_body()) if route.raw_body else []


def _problems_of(route: Route) -> list[int]:
    """Every problem that the route can answer with."""
    problems = {400, 405, 413, 500, 503}
    if route.scope is not None:
        problems |= {401, 403, 429}
    elif route.path.startswith("/hooks/") and "{" not in route.path:  # it proves its caller by what is sent
        problems |= {401, 403}
    if "{" in route.path:
        problems |= {404, 422}
    if route.method != "GET":
        problems |= {404, 409, 415, 422, 502}  # a body may name what is not there
    if route.query is not None:
        problems |= {422}
    if route.path.startswith("/crm/") and route.method in ("PUT", "PATCH", "DELETE"):
        problems |= {412}  # these take If-Match
    return sorted(problems)


def _answer(model: type[BaseModel] | None, by_model: dict[type[BaseModel], Any]) -> dict[str, Any]:
    if model is None:
        return {"description": "Done", "headers": _HEADERS}
    title = (inspect.getdoc(model) or model.__name__).split("\n", 1)[0]
    return {
        "description": title,
        "headers": _HEADERS,
        "content": {"application/json": {"schema": by_model[model]}},
    }


def _parameters(route: Route) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"\{(\w+)\}", route.path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    if route.query is not None:
        schema = route.query.model_json_schema(schema_generator=GenerateJsonSchema)
        for name, member in schema["properties"].items():
            yield {"name": name, "in": "query", "required": False, "schema": member}
    if route.method in ("POST", "PUT", "PATCH") and route.scope is not None:
        yield {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        }


def render() -> str:
    """The document as the file has it."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    """Write the document, or check that it is current."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say whether the file is current")
    text = render()
    if parser.parse_args().check:
        current = DOCUMENT.exists() and DOCUMENT.read_text() == text
        print("openapi.json is current" if current else "openapi.json is old: run `make docs`")
        return 0 if current else 1
    DOCUMENT.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
