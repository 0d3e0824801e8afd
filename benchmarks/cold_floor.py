"""The floor of a cold start: the same requests to AWS, signed, by `http.client`, and the recorded answer.

No library but Python's own. `AWS_ENDPOINT_URL`, `AWS_CA_BUNDLE` and `FLOOR` (a JSON file of the requests and
the answer) are its environment.
"""

import hashlib
import hmac
import http.client
import json
import os
import ssl
import time
from typing import Any

with open(os.environ["FLOOR"]) as _file:
    _KNOWN = json.load(_file)
_HOST = os.environ["AWS_ENDPOINT_URL"].removeprefix("https://")
_connections: dict[str, http.client.HTTPSConnection] = {}


def _connection(service: str) -> http.client.HTTPSConnection:
    """One a service, as each has an endpoint of its own at AWS."""
    if service not in _connections:
        context = ssl.create_default_context(cafile=os.environ["AWS_CA_BUNDLE"])
        _connections[service] = http.client.HTTPSConnection(_HOST, timeout=5, context=context)
    return _connections[service]


def _signed(request: dict[str, str], body: bytes) -> dict[str, str]:
    """AWS Signature Version 4."""
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = f"{now[:8]}/{os.environ['AWS_REGION']}/{request['service']}/aws4_request"
    headers = {
        "content-type": request["content_type"],
        "host": _HOST,
        "x-amz-date": now,
        "x-amz-target": request["target"],
    }
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    canonical = f"POST\n/\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{os.environ['AWS_SECRET_ACCESS_KEY']}".encode()
    for part in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{digest}"):
        key = hmac.digest(key, part.encode(), "sha256")
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={os.environ['AWS_ACCESS_KEY_ID']}/{scope}, SignedHeaders={names},"
        f" Signature={key.hex()}"
    )
    return headers


def lambda_handler(event: dict[str, Any], context: object) -> Any:
    """Read the event, ask AWS what the function asked, and answer what it answered."""
    if event.get("body"):
        json.loads(event["body"])
    for request in _KNOWN["requests"]:
        body = request["body"].encode()
        connection = _connection(request["service"])
        connection.request("POST", "/", body, _signed(request, body))
        content = connection.getresponse().read()
        if content:
            json.loads(content)
    return _KNOWN["answer"]
