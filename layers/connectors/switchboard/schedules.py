"""Schedule expressions as EventBridge Scheduler has them, evaluated here: `cron(…)`, `rate(…)`.

    cron(minutes hours day-of-month month day-of-week year)    cron(0 2 * * ? *), cron(30 6 ? * MON-FRI *)
    rate(value unit)                                           rate(1 day), rate(15 minutes)

Source: docs.aws.amazon.com/scheduler, "Schedule types": `*`, `,`, `-`, `/`, `?`, `L`, `W`, `#`; Sunday is 1;
one of the two days is `?`. In a zone that changes its clocks, a time that does not exist is passed over and
a time that comes twice counts once, the first time, as there.
"""

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

_RATE = re.compile(r"rate\((\d{1,6}) (minute|minutes|hour|hours|day|days)\)")
_CRON = re.compile(r"cron\(([^()]+)\)")
_MONTHS = {name.upper(): number for number, name in enumerate(calendar.month_abbr) if name}
_DAYS = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), 1)}
_YEARS = (1970, 2199)
_SEARCHED_DAYS = 366 * 9
"""A 29 February comes after 8 years at the latest (around 2100)."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Every so often, counted from the moment that the schedule is first seen."""

    period: timedelta

    def next_after(self, moment: datetime, zone: ZoneInfo) -> datetime | None:
        """The next run."""
        return moment + self.period


@dataclass(frozen=True, slots=True)
class Cron:
    """At the times that the fields name. The two days are kept as text, because `L`, `W` need the month."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: str
    months: frozenset[int]
    weekdays: str
    years: frozenset[int]

    def next_after(self, moment: datetime, zone: ZoneInfo) -> datetime | None:
        """The first run after `moment`, in UTC; None when there is none in the next nine years."""
        local = moment.astimezone(zone)
        for offset in range(_SEARCHED_DAYS):
            day = local.date() + timedelta(days=offset)
            if day.year > _YEARS[1]:
                return None
            if not self._takes(day):
                continue
            for hour in sorted(self.hours):
                for minute in sorted(self.minutes):
                    run = _existing(datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone))
                    if run is not None and run > moment:
                        return run
        return None

    def _takes(self, day: date) -> bool:
        if day.year not in self.years or day.month not in self.months:
            return False
        if self.weekdays == "?":
            return day.day in _days_of_month(self.days, day.year, day.month)
        return day.day in _days_of_week(self.weekdays, day.year, day.month)


type Schedule = Rate | Cron


def _existing(local: datetime) -> datetime | None:
    """The moment in UTC, None for a time that the clocks skip; of a repeated one the first (`fold` 0)."""
    moment = local.astimezone(UTC)
    return (
        moment if moment.astimezone(local.tzinfo).replace(tzinfo=None) == local.replace(tzinfo=None) else None
    )


@lru_cache(maxsize=256)
def parse(expression: str) -> Schedule:
    """The schedule; raises ValueError with a sentence that says what is wrong with it."""
    text = " ".join(expression.split())
    if found := _RATE.fullmatch(text):
        return _rate(int(found[1]), found[2])
    if found := _CRON.fullmatch(text):
        return _cron(found[1].upper().split())
    raise ValueError(
        "a schedule is cron(minutes hours day-of-month month day-of-week year) or rate(value unit)"
    )


def _rate(value: int, unit: str) -> Rate:
    if value < 1 or (value == 1) == unit.endswith("s"):
        raise ValueError("a rate is 1 minute, hour or day, or several minutes, hours or days")
    return Rate(timedelta(**{unit.rstrip("s") + "s": value}))


def _cron(fields: list[str]) -> Cron:
    if len(fields) != 6:
        raise ValueError("cron takes six fields: minutes hours day-of-month month day-of-week year")
    minutes, hours, days, months, weekdays, years = fields
    if (days == "?") == (weekdays == "?"):
        raise ValueError("exactly one of day-of-month and day-of-week is ?")
    cron = Cron(
        _numbers("minutes", minutes, 0, 59),
        _numbers("hours", hours, 0, 23),
        days,
        _numbers("month", months, 1, 12, _MONTHS),
        weekdays,
        _numbers("year", years, *_YEARS),
    )
    # The days' syntax shows in any month.
    if weekdays == "?":
        _days_of_month(days, 2026, 1)
    else:
        _days_of_week(weekdays, 2026, 1)
    return cron


def _numbers(
    name: str, field: str, lowest: int, highest: int, names: dict[str, int] | None = None
) -> frozenset[int]:
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        if step and (not step.isdecimal() or int(step) < 1):
            raise ValueError(f"{name}: {part} has no such step")
        if span == "*":
            first, last = lowest, highest
        else:
            begin, _, end = span.partition("-")
            first = _number(name, begin, names)
            last = _number(name, end, names) if end else (highest if step else first)
        if not lowest <= first <= highest or not lowest <= last <= highest:
            raise ValueError(f"{name}: {part} is not within {lowest} and {highest}")
        if first > last:  # FRI-MON
            found |= set(range(first, highest + 1)) | set(range(lowest, last + 1))
        else:
            found |= set(range(first, last + 1, int(step or 1)))
    return frozenset(found)


def _number(name: str, text: str, names: dict[str, int] | None) -> int:
    if names and text in names:
        return names[text]
    if not text.isdecimal() or len(text) > 4:
        raise ValueError(f"{name}: {text or 'nothing'} is no value")
    return int(text)


def _days_of_month(field: str, year: int, month: int) -> frozenset[int]:
    length = calendar.monthrange(year, month)[1]
    if field == "L":
        return frozenset({length})
    if field == "LW":
        return frozenset({_nearest_workday(length, year, month)})
    if field.endswith("W"):
        wanted = _number("day-of-month", field[:-1], None)
        if not 1 <= wanted <= 31:
            raise ValueError(f"day-of-month: {field} is not within 1 and 31")
        return frozenset({_nearest_workday(wanted, year, month)} if wanted <= length else ())
    return _numbers("day-of-month", field, 1, 31)


def _nearest_workday(day: int, year: int, month: int) -> int:
    length = calendar.monthrange(year, month)[1]
    match calendar.weekday(year, month, day):
        case 5:
            return day - 1 if day > 1 else day + 2
        case 6:
            return day + 1 if day < length else day - 2
        case _:
            return day


def _days_of_week(field: str, year: int, month: int) -> frozenset[int]:
    length = calendar.monthrange(year, month)[1]
    if "#" in field:
        name, _, nth = field.partition("#")
        if nth not in ("1", "2", "3", "4", "5"):
            raise ValueError(f"day-of-week: {field} is not within #1 and #5")
        days = _on_weekdays(_weekday(name), year, month)
        return frozenset(days[int(nth) - 1 : int(nth)])
    if field == "L":
        return frozenset(_on_weekdays(frozenset({7}), year, month))
    if field.endswith("L"):
        return frozenset(_on_weekdays(_weekday(field[:-1]), year, month)[-1:])
    wanted = _numbers("day-of-week", field, 1, 7, _DAYS)
    return frozenset(day for day in range(1, length + 1) if _sunday_is_1(year, month, day) in wanted)


def _weekday(name: str) -> frozenset[int]:
    number = _number("day-of-week", name, _DAYS)
    if not 1 <= number <= 7:
        raise ValueError("day-of-week: not within 1 and 7")
    return frozenset({number})


def _on_weekdays(wanted: frozenset[int], year: int, month: int) -> list[int]:
    length = calendar.monthrange(year, month)[1]
    return [day for day in range(1, length + 1) if _sunday_is_1(year, month, day) in wanted]


def _sunday_is_1(year: int, month: int, day: int) -> int:
    return (calendar.weekday(year, month, day) + 1) % 7 + 1
