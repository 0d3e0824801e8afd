"""`settings/surveys`: each survey with its trigger scope, its schedule, its reminders (source 001)."""

from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, model_validator

from switchboard import schedules
from switchboard.conditions import Where
from switchboard.models import ApiModel
from switchboard.settings.survey_mail import Mail
from switchboard.settings.survey_vendor import VendorSettings

type Name = Annotated[str, Field(min_length=1, max_length=200)]
type RecordField = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.]{0,99}$")]
type SurveyId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
type ParameterName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,39}$")]
type CustomVariable = Annotated[str, Field(pattern=r"^custom[1-9]\d{0,2}$")]
type TimeOfDay = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]


def _expression(text: str) -> str:
    schedules.parse(text)
    return text


def _time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("not a time zone of the IANA database") from None
    return name


type Expression = Annotated[str, Field(max_length=200), AfterValidator(_expression)]
type TimeZone = Annotated[str, AfterValidator(_time_zone)]


class QuietHours(ApiModel):
    """Hours of the day in which nobody is written to; over midnight when `from` is later than `to`."""

    from_: Annotated[TimeOfDay, Field(alias="from")]
    to: TimeOfDay
    time_zone: TimeZone = "UTC"

    def left(self, now: datetime) -> timedelta:
        """How long they still last; zero outside of them."""
        local = now.astimezone(ZoneInfo(self.time_zone))
        begin, end, at = time.fromisoformat(self.from_), time.fromisoformat(self.to), local.time()
        inside = begin <= at < end if begin <= end else at >= begin or at < end
        if not inside:
            return timedelta()
        until = local.replace(hour=end.hour, minute=end.minute, second=0, microsecond=0)
        # In UTC: in the night in which the clocks change, the difference of the two local times is wrong.
        return (until if until > local else until + timedelta(days=1)).astimezone(UTC) - now


class Rule(ApiModel):
    """The trigger scope: a CRM event, and a condition on its record."""

    object: Literal["customer", "case", "followup", "task"]
    event: Literal["create", "edit"]
    where: Where = {}
    parameters: Annotated[
        dict[ParameterName, RecordField],
        Field(max_length=20, description="Extra parameters, each from a field; customer.<field> too"),
    ] = {}
    cooldown_days: Annotated[
        float, Field(ge=0, le=3650, description="A person is not asked again for so many days")
    ] = 0
    sampling_rate: Annotated[float, Field(ge=0, le=1, description="The share that is asked")] = 1
    quiet_hours: QuietHours | None = None


class Schedule(ApiModel):
    """When the survey is dumped: `cron(…)` or `rate(…)` as EventBridge Scheduler has them."""

    expression: Expression
    time_zone: TimeZone = "UTC"
    full: bool = False

    @property
    def zone(self) -> ZoneInfo:
        """The zone that a cron expression is read in."""
        return ZoneInfo(self.time_zone)


class Reminders(ApiModel):
    """How often those who have not answered are reminded."""

    max: Annotated[int, Field(ge=0, le=20)] = 3
    after_days: Annotated[
        float | None, Field(gt=0, le=365, description="By themselves, so many days apart; null: only by call")
    ] = None
    quiet_hours: Annotated[
        QuietHours | None,
        Field(description="In which none goes out by itself; null: those of all the survey's rules"),
    ] = None


class Survey(ApiModel):
    """One survey."""

    name: Name | None = None
    rules: Annotated[list[Rule], Field(max_length=50)] = []
    delivery: Annotated[
        Literal["caller", "crm", "mail"] | None,
        Field(description="Who sends the mail; null: who asked, or the CRM where a rule asked"),
    ] = None
    mail: Mail | None = None
    schedule: Schedule | None = None
    reminders: Reminders = Reminders()
    expires_days: Annotated[float, Field(gt=0, le=3650)] = 90
    segment_code: Name | None = None
    variables: Annotated[
        dict[ParameterName, CustomVariable],
        Field(max_length=50, description="Which custom variable a parameter goes into; else the next free"),
    ] = {}
    page_size: Annotated[int, Field(ge=1, le=1000, description="Responses in one call of the dump")] = 100
    parquet: Annotated[bool, Field(description="The dump writes the CSV's table as Parquet, too")] = False
    overlap_hours: Annotated[
        int, Field(ge=9, le=24 * 90, description="An incremental dump looks back so far for late arrivals")
    ] = 24

    @model_validator(mode="after")
    def _has_one_parameter_a_variable(self) -> Self:
        if len(set(self.variables.values())) != len(self.variables):
            raise ValueError("two parameters share a custom variable")
        return self

    @model_validator(mode="after")
    def _reaches_people(self) -> Self:
        if self.delivery == "mail" and self.mail is None:
            raise ValueError("delivery by mail needs mail, the templates")
        if self.delivery == "caller" and self.rules:
            raise ValueError("rules have no caller: their delivery is crm or mail")
        return self

    def quiet_for_reminders(self, now: datetime) -> timedelta:
        """How long no reminder goes out by itself; zero when one may go now."""
        rules = [rule.quiet_hours for rule in self.rules if rule.quiet_hours]
        quiet = [self.reminders.quiet_hours] if self.reminders.quiet_hours else rules
        return max((each.left(now) for each in quiet), default=timedelta())

    @property
    def lifetime(self) -> timedelta:
        """How long an invitation is open."""
        return timedelta(days=self.expires_days)


class SurveysSettings(ApiModel):
    """The area `surveys`."""

    surveys: Annotated[dict[SurveyId, Survey], Field(max_length=500)] = {}
    vendor: VendorSettings = VendorSettings()

    def survey(self, survey_id: str) -> Survey:
        """The survey's settings; the defaults for one that nobody has configured."""
        return self.surveys.get(survey_id) or Survey()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if sum(len(survey.rules) for survey in self.surveys.values()) > 500:
            raise ValueError("at most 500 rules in all surveys together")
        return self
