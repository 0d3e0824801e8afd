"""Conditions on a record: the `where` of triggers, of survey rules and of provisioning rules.

    {"status": "closed", "priority": {"$in": ["high", "urgent"]}, "$not": {"country": "US"}}

A plain value is `$eq`. All members must hold. `$or` takes a list of conditions, `$not` one. A dotted name
goes into a map. A field that the record lacks equals nothing, and only `{"$exists": false}` holds for it.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator

type Scalar = str | int | float | bool | None

_DEPTH = 5
_MEMBERS = 50
_SCALARS = (str, int, float, bool, type(None))


def _comparable(held: Any, wanted: Any) -> bool:
    numbers = (int, float)
    if isinstance(held, bool) or isinstance(wanted, bool):
        return False
    return (isinstance(held, str) and isinstance(wanted, str)) or (
        isinstance(held, numbers) and isinstance(wanted, numbers)
    )


def _equal(held: Any, wanted: Any) -> bool:
    return type(held) is type(wanted) and bool(held == wanted)


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": _equal,
    "$in": lambda held, wanted: any(_equal(held, one) for one in wanted),
    "$gte": lambda held, wanted: _comparable(held, wanted) and held >= wanted,
    "$lte": lambda held, wanted: _comparable(held, wanted) and held <= wanted,
}


def check(where: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    """The condition when it is well formed; raises ValueError with a sentence that says where it is not."""
    if depth > _DEPTH or len(where) > _MEMBERS:
        raise ValueError(f"a condition has at most {_DEPTH} levels of {_MEMBERS} members")
    for name, wanted in where.items():
        match name, wanted:
            case "$or", list() if wanted and all(isinstance(one, dict) for one in wanted):
                for one in wanted:
                    check(one, depth + 1)
            case "$not", dict():
                check(wanted, depth + 1)
            case str(), dict() if wanted and not name.startswith("$"):
                _check_operators(name, wanted)
            case str(), str() | int() | float() | bool() | None if not name.startswith("$"):
                pass
            case _:
                raise ValueError(f"{name!r} has no such condition")
    return where


def _check_operators(name: str, wanted: dict[str, Any]) -> None:
    for operator, value in wanted.items():
        match operator, value:
            case "$exists", bool():
                pass
            case "$in", list() if value and len(value) <= _MEMBERS:
                if not all(isinstance(one, _SCALARS) for one in value):
                    raise ValueError(f"{name}: $in takes a list of plain values")
            case "$eq" | "$gte" | "$lte", str() | int() | float() | bool() | None:
                pass
            case _:
                raise ValueError(f"{name}: {operator} is no operator, or takes another value")


type Where = Annotated[dict[str, Any], AfterValidator(check)]
"""A condition as a model's field."""


def holds(where: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    """Whether the record fulfils a (checked) condition."""
    for name, wanted in where.items():
        if name == "$or":
            if not any(holds(one, record) for one in wanted):
                return False
        elif name == "$not":
            if holds(wanted, record):
                return False
        elif not _field_holds(record, name, wanted):
            return False
    return True


def _field_holds(record: Mapping[str, Any], name: str, wanted: Any) -> bool:
    held: Any = record
    for part in name.split("."):
        held = held.get(part) if isinstance(held, Mapping) else None
    if not isinstance(wanted, Mapping):
        return held is not None and _equal(held, wanted)
    for operator, value in wanted.items():
        if operator == "$exists":
            if (held is not None) is not value:
                return False
        elif held is None or not _OPERATORS[operator](held, value):
            return False
    return True
