"""API Gateway REQUEST authorizer: `x-api-key` -> partner and scopes, and a policy for the whole stage.

API Gateway keeps the answer for five minutes under the key alone, whatever route asked first. So the
policy covers every route, and each route checks its own scope against the context that travels with it.
"""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from switchboard import partners
from switchboard.observability import logger


def _policy(effect: str, method_arn: str, principal: str, context: dict[str, str]) -> dict[str, Any]:
    api, stage = method_arn.split("/")[:2]
    statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": f"{api}/{stage}/*"}
    return {
        "principalId": principal,
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        "context": context,
    }


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Allow a known key, deny any other: a denial is cached too, so guessing costs no table reads."""
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    caller = partners.authenticate(headers.get("x-api-key") or "")
    if caller is None:
        logger.info("denied an unknown key")
        return _policy("Deny", event["methodArn"], "unknown", {})
    return _policy(
        "Allow",
        event["methodArn"],
        caller.partner_id,
        {"partnerId": caller.partner_id, "scopes": " ".join(sorted(caller.scopes))},
    )
