"""The lead path by FastAPI and httpx, as one writes it: a model, the calls one after the other, 201.

    uvicorn benchmarks.lead_fastapi:app

`CALLS` is a JSON file of the calls: URL, kind and body.
"""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

_CALLS: list[dict[str, str]] = json.loads(Path(os.environ["CALLS"]).read_text())
_clients: list[httpx.AsyncClient] = []


@asynccontextmanager
async def _connected(_: FastAPI) -> AsyncIterator[None]:
    async with httpx.AsyncClient(timeout=5) as client:
        _clients.append(client)
        yield


app = FastAPI(lifespan=_connected)


class Lead(BaseModel):
    """What a form sends."""

    model_config = ConfigDict(extra="allow")

    last_name: Annotated[str, Field(alias="lastName", min_length=1, max_length=200)]
    email: Annotated[str, Field(max_length=254, pattern=r"^[^@\s]+@[^@\s]+$")]


@app.post("/leads", status_code=201)  # type: ignore[untyped-decorator,unused-ignore]
async def create(lead: Lead) -> dict[str, Any]:
    """Every call of the flow, its answer parsed."""
    answers = []
    for call in _CALLS:
        headers = {"content-type": "application/x-amz-json-1.0", "x-amz-target": call["target"]}
        answer = await _clients[0].post(call["url"], content=call["body"], headers=headers)
        answers.append(answer.json())
    return {"leadId": "lea_1", "customerId": "cus_1", "status": "created", "email": lead.email}
