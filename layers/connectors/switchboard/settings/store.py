"""Settings in the Config table: the present version of each area, and every version before it."""

from dataclasses import dataclass

from pydantic import ValidationError

from switchboard import clock, config
from switchboard.dynamo import Item, TransactionCancelled, Write, transact
from switchboard.errors import SwitchboardError
from switchboard.models import ApiModel

_FIRST = 0


@dataclass(frozen=True, slots=True)
class Stored[T: ApiModel]:
    """One version of an area. Version 0 is the defaults, before anybody has changed a thing."""

    version: int
    settings: T
    updated_at: str | None
    updated_by: str | None


_cache: dict[type[ApiModel], tuple[int, ApiModel]] = {}


def _pk(area: str) -> str:
    return f"SETTINGS#{area}"


def _stored[T: ApiModel](model: type[T], item: Item) -> Stored[T]:
    return Stored(
        item["version"], model.model_validate_json(item["settings"]), item["updatedAt"], item["updatedBy"]
    )


def current[T: ApiModel](area: str, model: type[T]) -> T:
    """The settings in force, as a step reads them: cached, at most `config.STALENESS` old."""
    epoch = config.epoch()
    cached = _cache.get(model)
    if cached is None or cached[0] != epoch:
        cached = (epoch, read(area, model).settings)
        _cache[model] = cached
    settings = cached[1]
    assert isinstance(settings, model)  # noqa: S101 - the cache is keyed by the model
    return settings


def read[T: ApiModel](area: str, model: type[T]) -> Stored[T]:
    """The present version, from the table."""
    item = config.config_table().get(_pk(area), "CURRENT")
    return _stored(model, item) if item else Stored(_FIRST, model(), None, None)


def write[T: ApiModel](area: str, settings: T, *, updated_by: str) -> Stored[T]:
    """Make these the settings in force; returns once no worker uses the old ones.

    Raises:
        SwitchboardError: `conflict` when somebody else has written in between.
    """
    before = read(area, type(settings)).version
    item: Item = {
        "pk": _pk(area),
        "version": before + 1,
        "settings": settings.model_dump_json(by_alias=True, exclude_defaults=True),
        "updatedAt": clock.timestamp(),
        "updatedBy": updated_by,
    }
    table = config.config_table()
    try:
        transact(
            [
                Write(
                    table,
                    put=item | {"sk": "CURRENT"},
                    condition="attribute_not_exists(pk) OR version = :before",
                    values={":before": before},
                ),
                Write(table, put=item | {"sk": f"VERSION#{before + 1:08d}"}),
                config.next_epoch(),
            ]
        )
    except TransactionCancelled:
        raise SwitchboardError("conflict", "The settings were changed by someone else meanwhile.") from None
    config.wait_until_seen()
    return _stored(type(settings), item)


def versions(area: str, *, limit: int, before: str | None) -> tuple[list[Item], str | None]:
    """One page of the versions of an area, the newest first, and the number (8 digits) to go on before."""
    found = config.config_table().query(
        "pk = :pk AND begins_with(sk, :version)",
        {":pk": _pk(area), ":version": "VERSION#"},
        forward=False,
        limit=limit,
        start={"pk": _pk(area), "sk": f"VERSION#{before}"} if before else None,
    )
    return found.items, found.next_key["sk"].removeprefix("VERSION#") if found.next_key else None


def version[T: ApiModel](area: str, model: type[T], number: int) -> T:
    """The settings of an earlier version; 0 is the defaults.

    Raises:
        SwitchboardError: `not-found` for a version that never was, `invalid` for one that today's rules
            refuse.
    """
    if number == _FIRST:
        return model()
    item = config.config_table().get(_pk(area), f"VERSION#{number:08d}")
    if item is None:
        raise SwitchboardError("not-found", f"There is no version {number}.")
    try:
        return _stored(model, item).settings
    except ValidationError:
        raise SwitchboardError("invalid", f"Version {number} breaks a rule of today.") from None


def forget() -> None:
    """Drop what this process has cached."""
    _cache.clear()
