"""`settings/members`: how CrowdTwist is spoken to (source 003)."""

from typing import Annotated, Literal

from pydantic import Field

from switchboard.models import ApiModel


class MemberSettings(ApiModel):
    """The area `members`."""

    calls_per_minute: Annotated[
        int,
        Field(ge=1, le=1_000_000, description="Of all workers together. CrowdTwist's own limit is 10,000."),
    ] = 9_000
    authentication: Annotated[
        Literal["apiKey", "hmac"],
        Field(description="hmac is UNVERIFIED; the secret then needs hmacPublicKey and hmacPrivateKey."),
    ] = "apiKey"
