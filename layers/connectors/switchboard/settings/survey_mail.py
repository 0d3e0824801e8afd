"""`settings/surveys.surveys.<id>.mail`: the mails of a survey, where we send them ourselves."""

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from switchboard.models import ApiModel

PLACEHOLDER = re.compile(r"\{([A-Za-z]+)(?:\|([^{}|]{0,100}))?\}")
"""`{name}`, or `{name|what stands there when it is empty}`."""

PLACEHOLDERS = frozenset({"firstName", "lastName", "surveyName", "surveyUrl", "optOutUrl"})


def _known(text: str) -> str:
    unknown = {found[1] for found in PLACEHOLDER.finditer(text)} - PLACEHOLDERS
    if unknown:
        raise ValueError(f"{{{min(unknown)}}} is no placeholder; there are {', '.join(sorted(PLACEHOLDERS))}")
    return text


def _with_url(text: str) -> str:
    if "{surveyUrl}" not in text:
        raise ValueError("{surveyUrl} is missing")
    return _known(text)


type Language = Annotated[str, Field(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")]
type Subject = Annotated[
    str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$"), AfterValidator(_known)
]
type Body = Annotated[str, Field(min_length=1, max_length=50_000), AfterValidator(_with_url)]
type Address = Annotated[str, Field(max_length=254, pattern=r"^[!-?A-~]+@[!-?A-~]+$")]
type SenderName = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Template(ApiModel):
    """One mail in one language, with placeholders: {firstName|customer}, {lastName}, {surveyUrl} …"""

    subject: Subject
    text: Body
    html: Annotated[Body | None, Field(description="What is put in is escaped")] = None


class Mail(ApiModel):
    """The mails of a survey; the sender's address is the deployment's parameter MailFrom."""

    from_name: SenderName | None = None
    reply_to: Address | None = None
    default_language: Language
    templates: Annotated[dict[Language, Template], Field(min_length=1, max_length=50)]
    reminders: Annotated[
        dict[Language, Template], Field(max_length=50, description="Else the invitation's are sent again")
    ] = {}

    @model_validator(mode="after")
    def _has_the_default(self) -> Self:
        if self.default_language not in self.templates:
            raise ValueError("there is no template in the default language")
        return self

    def template(self, language: str | None, *, reminder: bool) -> Template:
        """The mail in this language, else in its main language (`de` for `de-AT`), else in the default."""
        held = self.templates | self.reminders if reminder else self.templates
        by_name = {name.lower(): template for name, template in held.items()}
        wanted = re.sub(r"[_ ]", "-", language or "").lower()
        for name in (wanted, wanted.partition("-")[0]):
            if name in by_name:
                return by_name[name]
        return held[self.default_language]
