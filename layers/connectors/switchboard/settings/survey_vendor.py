"""`settings/surveys.vendor`: how the surveys' vendor is spoken to, and how often (source 001)."""

from typing import Annotated, Literal

from pydantic import Field

from switchboard.models import ApiModel

type Member = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,99}$")]


class RpcFields(ApiModel):
    """What the older transports call the members of a call and of its answer. UNVERIFIED, all of them.

    The defaults are those of the JSON API that followed (`questionpro.cx.getSurveyURL`,
    `questionpro.survey.surveyResponses`). One that is null is not sent.
    """

    api_key: Member | None = "apiKey"
    survey_id: Member | None = "id"
    email: Member = "email"
    first_name: Member | None = "firstName"
    last_name: Member | None = "lastName"
    mobile: Member | None = "mobile"
    language: Member | None = "transactionLanguage"
    transaction_date: Member | None = "transactionDate"
    segment_code: Member | None = "segmentCode"
    custom: Annotated[
        Member | None, Field(description="custom1 … are sent under this name and their number.")
    ] = "custom"
    offset: Annotated[Member | None, Field(description="How many responses are skipped")] = (
        "startingResponseCounter"
    )
    page: Annotated[Member | None, Field(description="The page, from 1, where there is no offset")] = None
    page_size: Member | None = None
    since: Member | None = "startDate"
    survey_url: Member = "surveyURL"
    responses: Member = "responses"
    total: Member | None = "totalItems"


class Rpc(ApiModel):
    """The source's older transports, XML-RPC and SOAP."""

    path: Annotated[
        str, Field(max_length=200, pattern=r"^[A-Za-z0-9_./-]*$", description="Below the secret's baseUrl")
    ] = ""
    survey_url_method: Member = "questionpro.cx.getSurveyURL"
    responses_method: Member = "questionpro.survey.surveyResponses"
    arguments: Annotated[
        Literal["struct", "positional"], Field(description="XML-RPC: one struct, or one value after another")
    ] = "struct"
    namespace: Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[!-~]+$")] = (
        "urn:surveyanalytics"
    )
    soap_action: Annotated[
        str, Field(max_length=500, pattern=r"^[!#-~]*$", description="SOAP: {method} is the method's name")
    ] = "{method}"
    qualified: Annotated[bool, Field(description="SOAP: the arguments are in the namespace too")] = True
    responses_per_call: Annotated[int, Field(ge=1, le=1000)] = 100
    fields: RpcFields = RpcFields()
    item_fields: Annotated[
        dict[Member, Member],
        Field(max_length=50, description="REST's name of a response's member -> the name it has here"),
    ] = {}


class VendorSettings(ApiModel):
    """How the vendor is spoken to."""

    transport: Literal["rest", "xmlrpc", "soap"] = "rest"
    calls_per_minute: Annotated[
        int,
        Field(
            ge=1,
            le=1_000_000,
            description="Of all workers together. QuestionPro takes 300 in any 60 seconds for a key.",
        ),
    ] = 270
    rpc: Rpc = Rpc()
