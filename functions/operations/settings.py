"""/settings: what an administrator changes without a deployment, with every version kept."""

import json
from typing import Any

from pydantic import Field

from switchboard import config, cursors
from switchboard.api import Answer, Api, Call, parse_body
from switchboard.errors import SwitchboardError
from switchboard.models import ApiModel, PageOf, PageQuery
from switchboard.settings import store
from switchboard.settings.areas import areas

api = Api("settings")


class StoredSettings(ApiModel):
    """An area's settings, and who changed them when. Version 0 is the defaults."""

    version: int
    settings: dict[str, Any]
    updated_at: str | None
    updated_by: str | None


class Area(ApiModel):
    """An area, and where its settings stand."""

    area: str
    version: int
    updated_at: str | None
    updated_by: str | None


class SettingsVersion(ApiModel):
    """One version of an area."""

    version: int
    settings: dict[str, Any]
    updated_at: str
    updated_by: str


class Rollback(ApiModel):
    """Which version shall be in force again."""

    version: int = Field(ge=0, lt=10**8)


class Reloaded(ApiModel):
    """Every worker reads settings and secrets anew."""

    status: str = "reloaded"


def _model(area: str) -> type[ApiModel]:
    try:
        return areas()[area]
    except KeyError:
        raise SwitchboardError("not-found", f"The areas are {', '.join(areas())}.") from None


def _answer(stored: store.Stored[Any]) -> Answer:
    return Answer(
        200,
        StoredSettings(
            version=stored.version,
            settings=json.loads(stored.settings.model_dump_json(by_alias=True)),
            updated_at=stored.updated_at,
            updated_by=stored.updated_by,
        ),
    )


@api.get("/settings", scope="admin", answers={200: PageOf[Area]})
def list_areas(call: Call) -> Answer:
    """Every area, with the version in force."""
    items = []
    for area, model in areas().items():
        stored = store.read(area, model)
        items.append(
            Area(
                area=area,
                version=stored.version,
                updated_at=stored.updated_at,
                updated_by=stored.updated_by,
            )
        )
    return Answer(200, PageOf[Area](items=items))


@api.get("/settings/{area}/schema", scope="admin", answers={200: None})
def read_schema(call: Call, area: str) -> Answer:
    """What an area's settings may be, as a JSON schema (2020-12): what a form is made from."""
    schema = _model(area).model_json_schema(mode="validation")
    return Answer(200, json.dumps(schema, ensure_ascii=False), content_type="application/schema+json")


@api.get("/settings/{area}", scope="admin", answers={200: StoredSettings})
def read_settings(call: Call, area: str) -> Answer:
    """The settings in force."""
    return _answer(store.read(area, _model(area)))


@api.put("/settings/{area}", scope="admin", answers={200: StoredSettings}, raw_body=lambda: areas().values())
def write_settings(call: Call, area: str) -> Answer:
    """Replace an area's settings; what breaks a rule is refused with pointers, and nothing changes."""
    settings = parse_body(_model(area), call.raw_body, call.headers)
    return _answer(store.write(area, settings, updated_by=call.caller.partner_id))


@api.get("/settings/{area}/versions", scope="admin", answers={200: PageOf[SettingsVersion]})
def list_versions(call: Call, area: str, query: PageQuery) -> Answer:
    """Every version that was ever in force, the newest first."""
    _model(area)
    page, last = store.versions(area, limit=query.limit, before=cursors.decode(query.cursor, r"\d{8}"))
    listed = [
        SettingsVersion(
            version=item["version"],
            settings=json.loads(item["settings"]),
            updated_at=item["updatedAt"],
            updated_by=item["updatedBy"],
        )
        for item in page
    ]
    return Answer(200, PageOf[SettingsVersion](items=listed, next=cursors.encode(last)))


@api.post("/settings/{area}/rollback", scope="admin", answers={200: StoredSettings})
def roll_back(call: Call, area: str, body: Rollback) -> Answer:
    """Put an earlier version in force again, as a new version."""
    settings = store.version(area, _model(area), body.version)
    return _answer(store.write(area, settings, updated_by=call.caller.partner_id))


@api.post("/settings/reload", scope="admin", answers={200: Reloaded})
def reload(call: Call) -> Answer:
    """Have every worker read settings and secrets anew; answers once none works with the old ones."""
    config.bump()
    return Answer(200, Reloaded())
