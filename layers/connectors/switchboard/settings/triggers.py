"""`settings/triggers`: what 8x8 calls things where no page says so (source 004)."""

from typing import Annotated

from pydantic import Field

from switchboard.models import ApiModel

type Element = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,63}$")]


class VccSettings(ApiModel):
    """How 8x8's followups look on the wire (UNVERIFIED: no page names their elements), and the sweep."""

    followup_number: Element = "FOLLOWUPNUM"
    followup_body: Annotated[list[Element], Field(min_length=1, max_length=10)] = [
        "COMMENTS",
        "DESCRIPTION",
        "BODY",
    ]
    sweep: bool = True


class TriggersSettings(ApiModel):
    """The area `triggers`."""

    vcc: VccSettings = VccSettings()
