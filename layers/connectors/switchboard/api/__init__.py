"""The HTTP side of a step: routes with a scope, validated bodies, problem+json, Idempotency-Key.

    api = Api("social")

    @api.post("/social/posts", scope="social:write", answers={202: Accepted})
    def accept_post(call: Call, body: Post) -> Answer: ...

A route's parameters are read from its signature: `call` always comes first, the names in the path's
braces are strings (`postId` becomes `post_id`), `body` is a pydantic model of the JSON body, `query` one
of the query string. The same declarations make the OpenAPI document (`tools/openapi.py`).

Powertools routes and catches; validation is pydantic's alone, on the raw bytes: it costs a cold start half
of what the resolver's own validation does, and a body that is not UTF-8 is a 400 here, not a 500.
"""

from switchboard.api.application import PROBLEM, Api
from switchboard.api.requests import parse_body, problem_fields
from switchboard.api.routes import Answer, Call, Handler, Route, matches

__all__ = ["PROBLEM", "Answer", "Api", "Call", "Handler", "Route", "matches", "parse_body", "problem_fields"]
